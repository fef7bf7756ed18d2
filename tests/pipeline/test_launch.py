"""The launcher against the environment's real mpiexec, with small scripts as ranks."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from pipeline import launch as launching
from pipeline.launch import (
    LauncherError,
    check_launcher,
    check_serial_stage,
    launch,
    launch_command,
    mpiexec_path,
    rank_environment,
)
from pipeline.ranks import exit_code

pytestmark = pytest.mark.timeout(120)

# Ranks say their pid, then wait; SIGTERM ends them with 4 after a moment, as a stage does.
WAITING = """
import os, signal, sys, time
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
os.write(1, f"pid {os.getpid()}\\n".encode())  # one write: lines of ranks don't mix
for _ in range(600):
    time.sleep(0.05)
    if stop:
        time.sleep(0.3)
        os.write(1, b"ended cleanly\\n")
        sys.exit(4)
"""
STUBBORN = WAITING.replace("stop.append(1)", "None")


@pytest.fixture(autouse=True)
def _no_outer_launcher(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("PMI", "MPI_LOCAL", "OMPI_", "SLURM_")):
            monkeypatch.delenv(name)


def script(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]


def pids(text: str) -> set[int]:
    """The pids that ranks printed; their lines may run into each other."""
    words = text.replace("pid", " pid ").split()
    return {int(b) for a, b in zip(words, words[1:], strict=False) if a == "pid" and b.isdigit()}


def assert_gone(found: set[int], count: int, seconds: float = 5.0) -> None:
    assert len(found) == count
    end = time.monotonic() + seconds
    while alive := [pid for pid in found if is_running(pid)]:
        assert time.monotonic() < end, f"left behind: {alive}"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_mpiexec_is_the_environments_own(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert mpiexec_path() == Path(sys.prefix) / "bin" / "mpiexec"
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(LauncherError, match=f"{tmp_path}/bin/mpiexec is missing"):
        mpiexec_path()


@pytest.mark.parametrize(
    ("variable", "value", "tasks"),
    [
        ("PMI_SIZE", "4", 4),
        ("OMPI_COMM_WORLD_SIZE", "2", 2),
        ("MPI_LOCALNRANKS", "3", 3),
        ("SLURM_STEP_NUM_TASKS", "8", 8),
        ("PMIX_RANK", "1", 2),
    ],
)
def test_a_foreign_launcher_is_refused(monkeypatch, variable, value, tasks):
    check_launcher(1)
    check_serial_stage("run")
    monkeypatch.setenv(variable, value)
    check_launcher(tasks)
    with pytest.raises(LauncherError, match=f"{variable}={value}") as caught:
        check_launcher(1)
    assert f"{mpiexec_path()} -n {tasks} rekrylov solve SPEC" in str(caught.value)
    with pytest.raises(LauncherError, match=f"type: rekrylov run SPEC --ranks {tasks}"):
        check_serial_stage("run")
    with pytest.raises(LauncherError, match="type: rekrylov order SPEC"):
        check_serial_stage("order")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SLURM_NTASKS", "8"), ("PMI_SIZE", "1"), ("PMIX_RANK", "0"), ("PMI_SIZE", "many")],
)
def test_a_single_process_is_not_refused(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    check_launcher(1)
    check_serial_stage("run")


def test_rank_environment():
    outer = {"PMI_FD": "7", "HYDI_CONTROL_FD": "8", "OMPI_X": "1", "MPI_LOCALRANKID": "0", "A": "b"}
    found = rank_environment(outer | {"PETSC_OPTIONS": "-log_view"})
    assert not set(found) & (set(outer) - {"A"})
    assert found["A"] == "b"
    assert found["OMP_NUM_THREADS"] == found["OPENBLAS_NUM_THREADS"] == "1"
    assert found["PETSC_OPTIONS"] == "-log_view -no_signal_handler"
    assert rank_environment(found) == found


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((0, 0), 0), ((2, 2), 2), ((3, 3), 3), ((4, 4), 4), ((1, 0), 1), ((3, 4), 4), ((77,), 1)],
)
def test_codes_of_ranks(codes, expected):
    code = "import os, sys; sys.exit(int(sys.argv[1 + int(os.environ['PMI_RANK'])]))"
    assert launch_command(script(code, *codes), len(codes)) == expected


def test_abort_gives_its_code():
    code = """
    import dolfinx_solver
    from mpi4py import MPI
    if MPI.COMM_WORLD.rank == 1:
        MPI.COMM_WORLD.Abort(3)
    MPI.COMM_WORLD.Barrier()
    """
    assert launch_command(script(code), 2) == 3


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGILL, signal.SIGINT, signal.SIGABRT])
def test_a_rank_that_dies_by_a_signal_is_unexpected(number, ranks):
    # mpiexec returns the signal's number, and SIGILL is 4.
    code = """
    import os, signal, sys, time
    signal.signal(int(sys.argv[1]), signal.SIG_DFL) if sys.argv[1] != "9" else None
    os.kill(os.getpid(), int(sys.argv[1]))
    time.sleep(60)
    """
    assert launch_command(script(code, int(number)), ranks) == 1


def test_exit_code_of_a_stopped_run():
    stopped = {raw: exit_code(raw, False, True) for raw in (0, 1, 2, 3, 4, 7, 59, 137, -9)}
    assert stopped == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 7: 4, 59: 4, 137: 4, -9: 4}
    assert exit_code(2, True, True) == exit_code(15, True, True) == 4
    assert exit_code(-9, False, False) == exit_code(5, False, False) == 1
    assert exit_code(6, False, False) == 2


def test_lines_stream_and_are_logged(tmp_path):
    code = """
    import os, sys, time
    if os.environ["PMI_RANK"] == "0":
        os.write(1, b"first\\n"); time.sleep(1.0)
        os.write(2, "second é\\n".encode() + b"\\xff\\n")
        said = os.environ["OMP_NUM_THREADS"], os.environ["EXTRA"], sys.stdin.read() == ""
        os.write(1, f"{said}\\n".encode())
    """
    came: list[tuple[float, str]] = []
    log = tmp_path / "logs" / "solve.log"
    code_ = launch_command(
        script(code),
        2,
        on_line=lambda line: came.append((time.monotonic(), line)),
        log=log,
        env={"EXTRA": "x"},
    )
    assert code_ == 0
    lines = [line for _, line in came]
    # stdout and stderr come through two pipes: no order between them.
    assert lines[0] == "first"
    assert sorted(lines[1:]) == sorted(["second é", "\ufffd", "('1', 'x', True)"])
    assert came[1][0] - came[0][0] > 0.5
    assert log.read_text().splitlines() == lines


def test_launch_runs_the_command_line(monkeypatch):
    called = {}
    monkeypatch.setattr(
        launching, "launch_command", lambda command, ranks, **rest: called.update(c=command)
    )
    launch(["solve", "a b.yaml"], 2)
    assert called["c"] == [sys.executable, "-m", "pipeline.cli", "solve", "a b.yaml"]
    with pytest.raises(LauncherError, match="ranks: got 0"):
        launch_command(["/bin/true"], 0)


def test_three_ranks_see_each_other_inside_another_launcher(monkeypatch):
    for name in ("PMI_SIZE", "PMI_RANK", "PMI_FD", "MPI_LOCALNRANKS", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.setenv(name, "1")
    code = """
    import dolfinx_solver
    from mpi4py import MPI
    total = MPI.COMM_WORLD.allreduce(MPI.COMM_WORLD.rank)
    if MPI.COMM_WORLD.rank == 0:
        print("sum", total, MPI.COMM_WORLD.size)
    """
    lines: list[str] = []
    assert launch_command(script(code), 3, on_line=lines.append) == 0
    assert lines == ["sum 3 3"]


def test_wall_limit_ends_cleanly():
    lines: list[str] = []
    start = time.monotonic()
    assert launch_command(script(WAITING), 2, on_line=lines.append, wall_seconds=1.5) == 4
    assert time.monotonic() - start < 10
    text = "\n".join(lines)
    assert text.count("ended cleanly") == 2
    assert "wall limit reached" in text
    assert_gone(pids(text), 2)


def test_ranks_that_ignore_sigterm_are_killed():
    lines: list[str] = []
    start = time.monotonic()
    code = launch_command(
        script(STUBBORN), 2, on_line=lines.append, wall_seconds=1.0, grace_seconds=1.0
    )
    assert code == 4
    assert time.monotonic() - start < 10
    assert_gone(pids("\n".join(lines)), 2)


def test_an_exception_ends_the_ranks_first():
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        if len(pids("\n".join(lines))) == 2:
            raise RuntimeError("no more lines")

    with pytest.raises(RuntimeError, match="no more lines"):
        launch_command(script(WAITING), 2, on_line=on_line)
    assert_gone(pids("\n".join(lines)), 2, seconds=0.5)


def test_a_petsc_rank_keeps_its_own_signal_handler(tmp_path):
    # The handler is installed before PETSc starts: without -no_signal_handler it would be lost.
    code = WAITING.replace("os.write", "from petsc4py import PETSc; PETSc.Options(); os.write")
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        if len(pids("\n".join(lines))) == 2:
            raise RuntimeError("both are ready")

    log = tmp_path / "log"
    with pytest.raises(RuntimeError, match="both are ready"):
        launch_command(script("import dolfinx_solver\n" + code), 2, on_line=on_line, log=log)
    assert log.read_text().count("ended cleanly") == 2


PARENT = """
import signal, sys
from pathlib import Path
from pipeline.launch import launch_command

class Told(BaseException):
    pass

def tell(*_):
    raise Told

out = Path(sys.argv[1])
if sys.argv[2] == "handler":
    signal.signal(signal.SIGTERM, tell)
def on_line(line):
    with out.open("a") as file:
        file.write(line + "\\n")
try:
    sys.exit(launch_command([sys.executable, "-c", sys.argv[3]], 2, on_line=on_line))
except Told:
    sys.exit(44)
"""


class Parent:
    """A process that launches two ranks and writes their lines to a file."""

    def __init__(self, out: Path, how: str, ranks: str) -> None:
        self.out = out
        out.touch()
        self.process = subprocess.Popen([sys.executable, "-c", PARENT, str(out), how, ranks])
        wait_for(lambda: len(pids(out.read_text())) == 2)
        self.pids = pids(out.read_text())

    def send(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_ranks_end_cleanly(tmp_path, number):
    parent = Parent(tmp_path / "out", "default", WAITING)
    assert parent.send(number) == 4
    assert (tmp_path / "out").read_text().count("ended cleanly") == 2
    assert_gone(parent.pids, 2, seconds=0.5)


def test_a_second_signal_kills_at_once(tmp_path):
    parent = Parent(tmp_path / "out", "default", STUBBORN)
    parent.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "SIGTERM: the ranks end" in parent.out.read_text())
    start = time.monotonic()
    assert parent.send(signal.SIGINT) == 4
    assert time.monotonic() - start < 5
    assert_gone(parent.pids, 2, seconds=0.5)


def test_the_callers_own_handler_stays_in_force(tmp_path):
    parent = Parent(tmp_path / "out", "handler", WAITING)
    assert parent.send(signal.SIGTERM) == 44
    assert_gone(parent.pids, 2, seconds=0.5)


@pytest.mark.parametrize("code", [WAITING, STUBBORN], ids=["waiting", "stubborn"])
def test_sigkill_of_the_parent_leaves_no_rank(tmp_path, code):
    parent = Parent(tmp_path / "out", "default", code)
    tree = psutil.Process(parent.process.pid).children(recursive=True)
    parent.send(signal.SIGKILL)
    assert_gone(parent.pids | {p.pid for p in tree}, 4)


@pytest.mark.parametrize("victim", ["mpiexec", "hydra_pmi_proxy"])
def test_sigkill_of_mpiexec_or_its_proxy_ends_all(tmp_path, victim):
    parent = Parent(tmp_path / "out", "default", STUBBORN)
    tree = psutil.Process(parent.process.pid).children(recursive=True)
    next(p for p in tree if p.name() == victim).kill()
    assert parent.process.wait(30) == 1
    assert_gone(parent.pids, 2)
