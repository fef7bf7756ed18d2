"""How samples and systems are shared by MPI ranks, and how a run ends when that goes wrong."""

import signal
import sys

import psutil
import pytest
from runs import assert_same, assert_sound, committed, samples, wait_until, write_spec

from pipeline.cli import main
from pipeline.launch import mpiexec_path

pytestmark = pytest.mark.timeout(120)


def assert_refused(done, root, *parts):
    """Exit code 2, one message with all the parts, and nothing written."""
    assert done.code == 2, done.text
    assert len(done.messages) == 1, done.text
    assert all(part in done.messages[0] for part in parts), done.text
    assert "Traceback" not in done.text
    assert not list(root.iterdir())


def test_groups_of_two_in_a_world_of_three(rekrylov, spec, finished, tmp_path):
    options = ["--set", "solve.ranks_per_solve=2"]
    done = rekrylov("solve", spec, "--root", tmp_path, *options, ranks=3)
    assert done.code == 0, done.text
    assert "solve: 1 of 3 ranks idle (groups of 2)" in done.out.splitlines()
    assert_same(samples(tmp_path), samples(finished))


def test_no_rank_is_idle_without_saying(rekrylov, spec, tmp_path):
    done = rekrylov("solve", spec, "--root", tmp_path, ranks=2)
    assert done.code == 0, done.text
    assert "ranks idle" not in done.text
    assert "48 of 48 samples stored in 12 shards, 0 failed, 0 missing" in done.out
    assert done.out.count("samples stored") == 1


def test_more_ranks_than_batches(rekrylov, spec, tmp_path):
    done = rekrylov("solve", spec, "--root", tmp_path, "--set", "samples=3", ranks=3)
    assert done.code == 0, done.text
    assert sorted(samples(tmp_path)) == [0, 1, 2]


@pytest.mark.parametrize("ranks", [None, 2])
def test_groups_larger_than_the_world(rekrylov, spec, tmp_path, ranks):
    size = (ranks or 1) + 1
    options = ["--root", tmp_path, "--set", f"solve.ranks_per_solve={size}"]
    done = rekrylov("solve", spec, *options, ranks=ranks)
    allowed = f"at most {size - 1}"
    assert_refused(done, tmp_path, f"solve.ranks_per_solve: got {size}", allowed)


@pytest.mark.parametrize("ranks", ["1", "2"])
def test_run_refuses_too_large_groups_before_it_samples(rekrylov, spec, tmp_path, ranks):
    options = ["--root", tmp_path, "--ranks", ranks, "--set", "solve.ranks_per_solve=3"]
    done = rekrylov("run", spec, *options)
    assert_refused(done, tmp_path, "solve.ranks_per_solve: got 3", f"at most {ranks}")


def test_a_serial_factorisation_on_two_ranks(rekrylov, spec, tmp_path):
    options = ["--set", "solve.strategy={ksp: preonly, pc: cholesky, factor_solver: petsc}"]
    options += ["--root", tmp_path, "--set", "solve.ranks_per_solve=2"]
    done = rekrylov("solve", spec, *options, ranks=2)
    assert_refused(done, tmp_path, "solve.strategy: factor_solver 'petsc'")


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_foreign_launcher(rekrylov, spec, tmp_path, rank):
    """What each copy sees that another MPI's mpirun has started."""
    env = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": rank}
    done = rekrylov("solve", spec, "--root", tmp_path, env=env)
    assert done.code == 2
    assert done.messages == [] if rank == "1" else f"{mpiexec_path()} -n 2" in done.messages[0]
    assert not list(tmp_path.iterdir())


def test_pmi_variables_of_nobody(rekrylov, spec, tmp_path):
    done = rekrylov("solve", spec, "--root", tmp_path, env={"PMI_SIZE": "2"})
    assert_refused(done, tmp_path, f"{mpiexec_path()} -n 2 rekrylov solve SPEC")


def test_mpirun_of_run(rekrylov, spec, tmp_path):
    done = rekrylov("run", spec, "--root", tmp_path, ranks=2)
    assert_refused(done, tmp_path, "type: rekrylov run SPEC --ranks 2")


@pytest.mark.parametrize("command", ["sample", "order", "finalise", "train"])
def test_mpirun_of_a_single_process_command(spec, tmp_path, monkeypatch, capfd, command):
    """What the first of two ranks sees: it refuses before it starts MPI."""
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "0")
    with pytest.raises(SystemExit) as ended:
        main([command, str(spec), "--root", str(tmp_path)])
    said = capfd.readouterr().err
    assert ended.value.code == 2 and f"type: rekrylov {command} SPEC" in said, said
    assert len(said.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_a_bad_spec_on_two_ranks(rekrylov, spec, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    done = rekrylov("solve", spec, "--root", root, "--set", "samples=0", ranks=2)
    assert_refused(done, root, "samples: ")
    missing = rekrylov("solve", tmp_path / "none.yaml", "--root", root, ranks=2)
    assert_refused(missing, root, "none.yaml: cannot be read")


def test_bad_arguments_on_two_ranks(rekrylov):
    done = rekrylov("solve", ranks=2)
    assert done.code == 2
    assert done.err.count("Missing argument") == 1


# Rank 1 meets something nobody thought of; the others are in collective calls by then.
BROKEN = """
import importlib, os, sys
import pipeline.discretisation as there
place, group, rank = sys.argv.pop(1), sys.argv.pop(1), os.environ["PMI_RANK"]

def pull(*args, **kwargs):
    raise RuntimeError(f"the plug was pulled on rank {rank}")

def module(name):
    return importlib.import_module(name)

class After:
    def __init__(self, owner, name, calls):
        self.old, self.left = getattr(owner, name), calls
        setattr(owner, name, lambda *args, **kwargs: self(*args, **kwargs))

    def __call__(self, *args, **kwargs):
        self.left -= 1
        return self.old(*args, **kwargs) if self.left >= 0 else pull()

if rank == "1":
    if place == "assemble":
        After(there.Discretisation, "set", 10)
    elif place == "commit":
        from pipeline.shard_buffer import ShardBuffer
        After(ShardBuffer, "commit", 2)
    elif place == "after":
        After(module("pipeline.stages.solve"), "end_if_stopped", 1)
    elif place == "before MPI":
        After(module("pipeline.cli"), "app", 0)
    elif place == "MPI's start":
        After(module("pipeline.stages.solve"), "world", 0)
import pipeline.cli
pipeline.cli.main()
"""


@pytest.mark.parametrize(
    ("place", "size"),
    [
        ("assemble", 1),
        ("assemble", 2),
        ("commit", 1),
        ("after", 1),
        ("before MPI", 1),
        ("MPI's start", 1),
    ],
)
def test_an_exception_on_one_rank_ends_all(rekrylov, spec, tmp_path, place, size):
    command = [sys.executable, "-c", BROKEN, place, str(size)]
    root = tmp_path / "data"
    options = ["--root", root, "--set", f"solve.ranks_per_solve={size}"]
    done = rekrylov("solve", spec, *options, ranks=2, command=command)
    assert done.code == (9 if place == "MPI's start" else 1), done.text
    assert done.err.count("Traceback (most recent call last)") == 1
    message = "rekrylov (rank 1 of 2): the plug was pulled on rank 1"
    assert message in done.messages
    before = committed(root)
    assert before or place in ("before MPI", "MPI's start", "assemble")
    if not before:  # nothing was lost, and the next run is like any first one
        return
    again = rekrylov("solve", spec, *options, ranks=2)
    assert again.code == 0, again.text
    assert {name: committed(root)[name] for name in before} == before
    assert len(committed(root)) == 12


def test_an_exception_of_rank_0_alone_is_told_once(rekrylov, spec, tmp_path):
    code = (
        "import sys, pipeline.cli\n"
        "def order(*_): raise RuntimeError('no order today')\n"
        "sys.modules['pipeline.stages.solve'].order = order\n"
        "pipeline.cli.main()"
    )
    command = [sys.executable, "-c", code]
    done = rekrylov("solve", spec, "--root", tmp_path, ranks=2, command=command)
    assert done.code == 1, done.text
    assert done.err.count("Traceback (most recent call last)") == 1
    assert done.messages == ["rekrylov: no order today"]


def test_a_rank_that_is_killed_ends_all(rekrylov, tmp_path):
    spec = write_spec(tmp_path / "long.yaml", samples=4000, mesh__resolution=16)
    root = tmp_path / "data"
    process = rekrylov.start("solve", spec, "--root", root, ranks=2)
    wait_until(lambda: len(list(root.glob("*/shards/*.json"))) > 2, process)
    ranks = [p for p in process.alive() if p.environ().get("PMI_RANK") == "1"]
    with_mpi = [p for p in ranks if "pipeline.cli" in p.cmdline()]
    assert with_mpi, [p.cmdline() for p in process.alive()]
    psutil.Process(with_mpi[0].pid).send_signal(signal.SIGKILL)
    done = process.wait()
    assert done.code not in (0, 3), done.text
    process.assert_nothing_left()
    again = rekrylov("solve", spec, "--root", root, "--set", "samples=24", ranks=2)
    assert again.code == 0, again.text
    assert rekrylov("run", spec, "--root", root, "--set", "samples=24").code == 0
    assert_sound_but_open(root)


def assert_sound_but_open(root):
    from runs import folder_of

    from storage import check_dataset

    found = check_dataset(folder_of(root).path)
    assert [f.code for f in found if f.severity == "error"] == []
    assert not list(root.rglob("*.tmp"))


def test_run_starts_its_own_ranks(rekrylov, spec, finished, tmp_path):
    done = rekrylov("run", spec, "--root", tmp_path, "--ranks", "2", env={"PATH": "/usr/bin:/bin"})
    assert done.code == 0, done.text
    assert_sound(tmp_path)
    assert_same(samples(tmp_path), samples(finished))
