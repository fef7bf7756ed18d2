"""Clusters in a batch system: the jobs that the settings make, and a real Slurm."""

import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

sys.path.append(str(Path(__file__).parents[1] / "batch"))
from slurm_cluster import cluster_or_skip  # noqa: E402

from flows.dask_cluster import cluster_options, task_runner  # noqa: E402
from flows.scale import (  # noqa: E402
    Local,
    Pbs,
    Queue,
    Scheduler,
    Slurm,
    check_ranks,
    read_scale,
)
from pipeline.spec_errors import SpecError  # noqa: E402
from storage import open_dataset  # noqa: E402

pytest.importorskip("dask_jobqueue")
pytestmark = pytest.mark.timeout(300)

SETTINGS = {
    "jobs": 3,
    "cores": 8,
    "memory": "16 GB",
    "walltime": "02:00:00",
    "queue": "short",
    "account": "maths",
    "directives": ["--exclusive"],
    "prologue": ["module load gcc", "export XDG_CACHE_HOME=/scratch/cache"],
}


def script(scale: Queue, folder: Path) -> list[str]:
    """The lines of the job, as they would be submitted."""
    import dask_jobqueue

    kind = {"slurm": dask_jobqueue.SLURMCluster, "pbs": dask_jobqueue.PBSCluster}[scale.kind]
    job = {k: v for k, v in cluster_options(scale, folder).items() if k != "scheduler_options"}
    return kind.job_cls("tcp://10.0.0.1:8786", name="one", **job).job_script().splitlines()


def test_the_job_of_slurm(tmp_path):
    lines = script(Slurm(**SETTINGS), tmp_path)
    logs = tmp_path / "runs" / "jobs"
    assert lines[0].startswith("#!") and logs.is_dir()
    assert [line for line in lines if line.startswith("#SBATCH")] == [
        "#SBATCH -J rekrylov",
        f"#SBATCH -e {logs}/rekrylov-%J.err",
        f"#SBATCH -o {logs}/rekrylov-%J.out",
        "#SBATCH -p short",
        "#SBATCH -A maths",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --mem=15G",
        "#SBATCH -t 02:00:00",
        "#SBATCH --exclusive",
    ]
    assert_worker(lines)


def test_the_job_of_pbs(tmp_path):
    settings = SETTINGS | {"directives": ["-l place=excl"], "interface": "lo"}
    lines = script(Pbs(**settings), tmp_path)
    assert [line for line in lines if line.startswith("#PBS")] == [
        "#PBS -N rekrylov",
        "#PBS -q short",
        "#PBS -A maths",
        "#PBS -l select=1:ncpus=8:mem=15GB",
        "#PBS -l walltime=02:00:00",
        f"#PBS -e {tmp_path / 'runs' / 'jobs'}/",
        f"#PBS -o {tmp_path / 'runs' / 'jobs'}/",
        "#PBS -l place=excl",
    ]
    assert_worker(lines)
    assert "--interface lo" in lines[-1]


def assert_worker(lines: list[str]) -> None:
    """One process with eight threads, which says that it has eight cores; after the prologue."""
    at = lines.index("module load gcc")
    assert lines[at + 1] == "export XDG_CACHE_HOME=/scratch/cache"
    worker = lines[-1]
    assert worker.startswith(f"{sys.executable} -m distributed.cli.dask_worker tcp://10.0.0.1:8786")
    assert "--nthreads 8" in worker and "--resources cores=8" in worker
    assert "--nworkers" not in worker and "--nanny" in worker


def test_jobs_are_replaced_when_their_time_is_up(tmp_path):
    runner = task_runner(Slurm(**SETTINGS), tmp_path)
    assert runner.adapt_kwargs == {"minimum_jobs": 3, "maximum_jobs": 3}
    assert task_runner(Scheduler(address="tcp://h:1"), tmp_path).address == "tcp://h:1"
    assert task_runner(Local(), tmp_path).cluster_kwargs["resources"] == {"cores": 1}


def test_settings_are_read_from_braces_or_a_file(tmp_path):
    file = tmp_path / "slurm.yaml"
    file.write_text(yaml.safe_dump({"kind": "slurm"} | SETTINGS))
    assert read_scale(str(file)) == Slurm(**SETTINGS)
    assert read_scale("{kind: local, workers: 3}") == Local(workers=3)
    assert read_scale('{"kind": "scheduler", "address": "tcp://h:1"}').address == "tcp://h:1"
    assert read_scale(None) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{kind: local, workers: 0}", "scale.workers: .*got 0"),
        ("{kind: local, worker: 2}", "unknown key 'worker'; allowed here: .*workers"),
        ("{kind: cloud}", "got 'cloud'; allowed: .*slurm"),
        ("{workers: 2}", "missing key 'kind'"),
        ("{kind: slurm, cores: 4}", "scale.memory: missing; Memory of a job"),
        ("{kind: local", "expected a YAML file"),
        ("none.yaml", "none.yaml.*expected a YAML file"),
    ],
)
def test_bad_settings_are_told_in_a_line(given, words):
    with pytest.raises(SpecError, match=words) as caught:
        read_scale(given)
    assert len(caught.value.mistakes) == 1


def test_a_solve_needs_a_worker_with_as_many_cores():
    check_ranks(None, 64)
    check_ranks(Scheduler(address="tcp://h:1"), 64)
    check_ranks(Local(cores=2), 2)
    for scale in (Local(cores=2), Slurm(cores=2, memory="1 GB")):
        with pytest.raises(SpecError, match="scale.cores: got 2; allowed here: at least 3"):
            check_ranks(scale, 3)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A Slurm of two nodes, whose commands find it."""
    with ExitStack() as stack:
        (tmp_path / "slurm").mkdir()
        made = cluster_or_skip(tmp_path / "slurm", stack)
        for name, value in made.env.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.mark.long
def test_a_lost_job_of_a_real_slurm_is_replaced(server, slurm, tmp_path):
    from flows.generate import generate
    from tests.flows.conftest import TINY

    root, lost = tmp_path / "data", []
    raw = yaml.safe_load(TINY) | {"samples": 400, "storage": {"shard_size": 10}}
    raw["mesh"]["resolution"] = 32
    scale = Slurm(jobs=1, cores=2, memory="1 GB", walltime="00:10:00")

    def lose():
        end = time.monotonic() + 200
        while not list(root.glob("*/shards/*.json")) and time.monotonic() < end:
            time.sleep(0.1)
        lost.extend(queue(slurm, "%A"))
        slurm.run("scancel", *lost)

    thread = threading.Thread(target=lose)
    thread.start()
    found = generate(raw, str(root), 1, scale=scale)
    thread.join()
    assert len(lost) == 1
    assert (found["stored"], found["failed"], found["missing"]) == (400, 0, 0)
    assert sorted(open_dataset(found["folder"]).ids) == list(range(400))
    jobs = {p.stem for p in (Path(found["folder"]) / "runs" / "jobs").glob("rekrylov-*.err")}
    assert len(jobs) == 2 and f"rekrylov-{lost[0]}" in jobs
    end = time.monotonic() + 60
    while queue(slurm, "%A"):
        assert time.monotonic() < end, queue(slurm, "%A %T")
        time.sleep(0.2)


def queue(slurm, form):
    """The jobs that wait or run."""
    return slurm.run("squeue", "--noheader", "-o", form).stdout.split()
