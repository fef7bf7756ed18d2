"""The shipped scripts on a real Slurm cluster of two nodes."""

import os
import re
import subprocess
import sys

import pytest
from outcome import SHIPPED, assert_complete, ranks, shards, wait_for
from slurm_cluster import ENDED

from pipeline.launch import mpiexec_path

pytestmark = pytest.mark.timeout(600)

ONE_RANK = {"#SBATCH --ntasks-per-node=32": "#SBATCH --ntasks-per-node=1\n#SBATCH --exclusive"}
WAITS = ENDED | {"PENDING"}
SOLVE = [sys.executable, "-m", "pipeline.cli", "solve"]


def text(folder):
    """All that the jobs whose output is in a folder have said."""
    return "\n".join(path.read_text() for path in sorted(folder.glob("*.log")))


def test_a_job_over_two_nodes_goes_on_after_its_time_is_up(slurm, env, spec, edit, tmp_path):
    script, root = edit() / "generate.sbatch", tmp_path / "data"
    options = ["--nodes=2", "--ntasks-per-node=1", "--exclusive", f"--chdir={tmp_path}"]
    job = slurm.submit(*options, script, spec, "--root", root, env=env)
    wait_for(lambda: shards(root))
    solving = ranks(root)
    slurm.signal(job)
    slurm.wait(job, lambda found: found["JobState"] == "PENDING")
    assert {told["SLURMD_NODENAME"] for told, _ in solving} == {"one", "two"}
    assert all(set(cores) == os.sched_getaffinity(0) for _, cores in solving)
    assert "stopped by SIGTERM; committed shards are kept" in text(tmp_path)
    before = shards(root)
    assert 0 < len(before) < 60
    slurm.begin_now(job)
    assert slurm.wait_for_end(job) == [("COMPLETED", "0")], text(tmp_path)
    assert slurm.job(job)["Restarts"] == "1"
    assert before.items() <= shards(root).items()
    assert_complete(root, 240)


def test_an_array_with_a_part_whose_time_is_up(slurm, env, spec, edit, tmp_path):
    folder, root = edit(array_sbatch=ONE_RANK, generate_sbatch=ONE_RANK), tmp_path / "data"
    done = subprocess.run(
        [folder / "submit.sh", "2", spec, "--root", root],
        cwd=tmp_path,
        env=env | slurm.env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    prepare, array, last = re.fullmatch(
        r"prepare (\d+), 2 parts (\d+), last (\d+); .*\n", done.stdout
    ).groups()
    assert slurm.wait_for_end(prepare) == [("COMPLETED", "0")], text(tmp_path)
    wait_for(lambda: shards(root))
    slurm.signal(f"{array}_2")
    slurm.wait(f"{array}_2", lambda found: found["JobState"] == "PENDING")
    slurm.wait(f"{array}_1", lambda found: found["JobState"] == "COMPLETED")
    assert slurm.job(last)["JobState"] == "PENDING", "it waits for the part in the queue"
    slurm.begin_now(f"{array}_2")
    assert slurm.wait_for_end(last) == [("COMPLETED", "0")], text(tmp_path)
    assert [found["Restarts"] for found in (slurm.job(f"{array}_{k}") for k in (1, 2))] == [
        "0",
        "1",
    ]
    assert_complete(root, 240)


def test_submit_stops_where_slurm_refuses(slurm, env, spec):
    nowhere = env | slurm.env | {"SBATCH_PARTITION": "nowhere"}
    command = [SHIPPED / "submit.sh", "2", spec]
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "invalid partition" in done.stderr
    assert slurm.run("squeue", "-h").stdout == ""


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_time_limit_itself(slurm, env, spec, edit, tmp_path):
    """A minute, of which the signal takes the last 1 to 31 seconds: Slurm looks twice a minute."""
    script, root = edit() / "generate.sbatch", tmp_path / "data"
    options = ["--ntasks-per-node=2", "--time=1", "--signal=B:TERM@1", f"--chdir={tmp_path}"]
    more = ["--root", root, "--set", "samples=8000", "--set", "storage.shard_size=40"]
    job = slurm.submit(*options, script, spec, *more, env=env)
    slurm.wait(job, lambda found: found["JobState"] == "RUNNING")
    while slurm.wait(job, lambda found: found["JobState"] in WAITS)[0]["JobState"] == "PENDING":
        slurm.begin_now(job)
        slurm.wait(job, lambda found: found["JobState"] != "PENDING")
    assert slurm.wait_for_end(job) == [("COMPLETED", "0")], text(tmp_path)
    assert int(slurm.job(job)["Restarts"]) > 0
    assert_complete(root, 8000)


def test_srun_that_starts_single_processes_is_refused(slurm, env, spec, tmp_path):
    done = slurm.run("srun", "-n2", *SOLVE, spec, "--root", tmp_path, env=env, timeout=240)
    (message,) = (line for line in done.stderr.splitlines() if line.startswith("rekrylov"))
    assert done.returncode == 2
    assert "2 tasks were started (SLURM_STEP_NUM_TASKS=2) but MPI sees 1" in message
    assert f"type: {mpiexec_path()} -n 2 rekrylov solve SPEC" in message
    assert not list(tmp_path.iterdir())


def test_srun_with_pmi2_starts_ranks(slurm, env, spec, tmp_path):
    few = ["--root", tmp_path, "--set", "samples=8", "--set", "solve.ranks_per_solve=2"]
    done = slurm.run("srun", "--mpi=pmi2", "-n2", *SOLVE, spec, *few, env=env, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("8 of 8 samples stored in 2 shards") == 1
