"""Start MPI ranks with the environment's own `mpiexec`, and refuse launchers that can't work.

Nothing here imports MPI. What MPICH's `mpiexec` does with signals and exit codes, and what is made
of it, is in `pipeline/ranks.py`.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from pipeline.ranks import RankRun, die_with_parent, keep_python_signals

__all__ = [
    "LauncherError",
    "check_launcher",
    "check_serial_stage",
    "die_with_parent",
    "keep_python_signals",
    "launch",
    "launch_command",
    "mpiexec_path",
    "rank_environment",
]

_SIZES = (
    "PMI_SIZE",
    "PMIX_SIZE",
    "OMPI_COMM_WORLD_SIZE",
    "MPI_LOCALNRANKS",
    "SLURM_STEP_NUM_TASKS",  # not SLURM_NTASKS: a plain sbatch script, one process, has it too
)
_RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
_STRIPPED = ("PMI_", "PMI2_", "PMIX_", "HYDI_", "HYDRA_", "MPI_LOCAL", "OMPI_")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class LauncherError(ValueError):
    """MPI was started in a way that can't work; the message says what to type. Exit code 2."""


def mpiexec_path() -> Path:
    """Return this environment's `mpiexec`, never the one on PATH.

    Raises:
        LauncherError: There is none beside this Python.
    """
    path = Path(sys.prefix) / "bin" / "mpiexec"
    if not os.access(path, os.X_OK):
        raise LauncherError(
            f"{path} is missing; it comes with dolfinx-solver-real: install that into {sys.prefix}"
        )
    return path


def check_launcher(world_size: int) -> None:
    """Refuse to go on as one of several copies that don't see each other.

    Args:
        world_size: `COMM_WORLD.size`.

    Raises:
        LauncherError: The environment speaks of several tasks, but MPI has one.
    """
    tasks, told_by = started_tasks()
    if world_size == 1 and tasks > 1:
        raise LauncherError(
            f"{tasks} tasks were started ({told_by}) but MPI sees 1: this launcher doesn't belong "
            f"to the MPI of this environment; type: {mpiexec_path()} -n {tasks} rekrylov solve SPEC"
        )


def check_serial_stage(command: str) -> None:
    """Refuse to run a command that is one process under `mpirun`; imports no MPI.

    Raises:
        LauncherError: The environment speaks of several tasks.
    """
    tasks, told_by = started_tasks()
    if tasks <= 1:
        return
    if command == "run":
        cure = f"it starts its ranks itself; type: rekrylov run SPEC --ranks {tasks}"
    else:
        cure = f"it is a single process; type: rekrylov {command} SPEC"
    raise LauncherError(f"rekrylov {command} was started as {tasks} tasks ({told_by}), but {cure}")


def started_tasks() -> tuple[int, str]:
    """The most tasks that a variable of the environment speaks of, and its "NAME=value"."""
    found = [(_integer(name), name) for name in _SIZES]
    found += [(_integer(name) + 1, name) for name in _RANKS]
    tasks, name = max(found)
    return tasks, f"{name}={os.environ.get(name, '')}"


def _integer(name: str) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else -1


def rank_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for ranks: another launcher's traces gone, one thread a rank."""
    kept = {k: v for k, v in environment.items() if not k.startswith(_STRIPPED)}
    kept |= dict.fromkeys(_THREADS, "1")
    return keep_python_signals(kept | {"PYTHONUNBUFFERED": "1"})


def launch(
    argv: Sequence[str],
    ranks: int,
    *,
    on_line: Callable[[str], object] | None = None,
    log: Path | None = None,
    wall_seconds: float | None = None,
    grace_seconds: float = 10.0,
    env: Mapping[str, str] | None = None,
    unwanted: Callable[[], str | None] | None = None,
) -> int:
    """Run `rekrylov ARGV` on MPI ranks, wait for the end, and return the exit code.

    SIGTERM, SIGINT, the wall limit, `unwanted` and any exception send SIGTERM to the ranks, so that
    they end after the current sample; after `grace_seconds`, or at a second signal, all are killed.
    Where the caller has a signal handler of its own, that stays in force: if it raises, the
    exception goes on once the ranks have ended. Otherwise, on the main thread, a signal only shows
    as exit code 4. If this process or `mpiexec` is killed, the ranks die too.

    Args:
        argv: Arguments of `rekrylov`.
        ranks: Number of MPI ranks; more than there are cores is slow but works.
        on_line: Called in this thread with each line of output, stdout and stderr together.
            Lines of several ranks can run into each other.
        log: File to which the full output is appended.
        wall_seconds: Stop after this time.
        grace_seconds: Time between SIGTERM and SIGKILL.
        env: Variables to set for the ranks on top of this process's.
        unwanted: Asked ten times a second in this thread, for callers that no signal reaches: why
            the ranks are to end, or None.

    Returns:
        0, 1, 2, 3 or 4 as in `docs/design.md`; see `pipeline.ranks.exit_code`.

    Raises:
        LauncherError: `ranks` < 1, or no `mpiexec`.
    """
    return launch_command(
        [sys.executable, "-m", "pipeline.cli", *argv],
        ranks,
        on_line=on_line,
        log=log,
        wall_seconds=wall_seconds,
        grace_seconds=grace_seconds,
        env=env,
        unwanted=unwanted,
    )


def launch_command(
    command: Sequence[str],
    ranks: int,
    *,
    on_line: Callable[[str], object] | None = None,
    log: Path | None = None,
    wall_seconds: float | None = None,
    grace_seconds: float = 10.0,
    env: Mapping[str, str] | None = None,
    unwanted: Callable[[], str | None] | None = None,
) -> int:
    """Run any command, its program by full path, on MPI ranks. See `launch`."""
    if ranks < 1:
        raise LauncherError(f"ranks: got {ranks}; allowed: 1 or more")
    mpiexec = [str(mpiexec_path()), "-n", str(ranks), *die_with_parent(command)]
    environment = rank_environment(os.environ) | dict(env or {})
    with ExitStack() as stack:
        file = stack.enter_context(_open_log(log)) if log is not None else None
        run = RankRun(on_line, file, unwanted)
        stack.callback(run.kill)
        return run.follow(mpiexec, environment, wall_seconds, grace_seconds)


def _open_log(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a", encoding="utf-8", buffering=1)
