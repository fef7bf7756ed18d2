"""What a process says at its end, and how an exception becomes one message and a code."""

import errno
import os
import signal
import sys
import traceback
from enum import IntEnum
from typing import Any

import typer

from pipeline.interrupt import Interrupted
from pipeline.launch import LauncherError, started_tasks
from pipeline.operators.errors import TrainingError
from pipeline.run import SolveFailed
from pipeline.spec_errors import SpecError
from storage import (
    DamagedFile,
    FormatMismatch,
    ReadOnly,
    RevisionMismatch,
    StorageError,
    StorageFull,
)

__all__ = ["ExitCode", "end_with", "exit_code"]


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    UNEXPECTED = 1
    BAD_INPUT = 2
    INCOMPLETE = 3
    INTERRUPTED = 4


# click's or, since typer has a click of its own, typer's
_UsageError: Any = next(k for k in typer.BadParameter.__mro__ if k.__name__ == "ClickException")

_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
    (_UsageError, ExitCode.BAD_INPUT),
    (LauncherError, ExitCode.BAD_INPUT),
    (SpecError, ExitCode.BAD_INPUT),
    (TrainingError, ExitCode.BAD_INPUT),
    (Interrupted, ExitCode.INTERRUPTED),
    (StorageFull, ExitCode.INTERRUPTED),  # free some space, the same command goes on
    (ReadOnly, ExitCode.BAD_INPUT),
    (FormatMismatch, ExitCode.BAD_INPUT),
    (RevisionMismatch, ExitCode.BAD_INPUT),
    (DamagedFile, ExitCode.INCOMPLETE),
    (StorageError, ExitCode.BAD_INPUT),
)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EROFS, errno.EACCES, errno.EPERM)
_BEFORE_MPI = (_UsageError, LauncherError)  # of the arguments alone: on every rank
_RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of an exception; UNEXPECTED if it is none of ours."""
    if isinstance(error, SolveFailed):
        return ExitCode(error.code) if error.code in set(ExitCode) else ExitCode.UNEXPECTED
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return ExitCode.INTERRUPTED
    if isinstance(error, OSError) and error.errno in _NOT_ALLOWED:
        return ExitCode.BAD_INPUT
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.UNEXPECTED)


def end_with(error: BaseException) -> int:
    """Print one message (a traceback only for the unexpected) and return the exit code.

    With several MPI ranks: an error that all ranks raised together is printed once; any other
    ends the whole run at once, since the other ranks would wait for ever.
    """
    if isinstance(error, typer.Abort) and error.__cause__ is not None:
        error = error.__cause__  # an EOFError that typer took for the end of the input
    code = exit_code(error)
    together = getattr(error, "collective", False) or isinstance(error, _BEFORE_MPI)
    if not together or _rank() == 0:
        _say(error, code, "" if together or _tasks() == 1 else f" (rank {_rank()} of {_tasks()})")
    if not together and (comm := _all_ranks()) is not None:
        comm.Abort(int(code))
    return int(code)


def _say(error: BaseException, code: ExitCode, where: str) -> None:
    if isinstance(error, _UsageError):
        return error.show()
    if code == ExitCode.UNEXPECTED and not isinstance(error, SolveFailed):
        traceback.print_exception(error)
    print(f"rekrylov{where}: {_text(error)}", file=sys.stderr, flush=True)


def _text(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, SpecError) and "\n" in text:
        return f"{len(error.mistakes)} mistakes in the spec\n  " + text.replace("\n", "\n  ")
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return f"{error.filename or 'output'}: no space left; free some and run the command again"
    return text


def _tasks() -> int:
    """How many tasks were started, as far as the environment tells."""
    return max(1, started_tasks()[0])


def _rank() -> int:
    """This task's rank, before MPI has started too."""
    ranks = [os.environ.get(name, "") for name in _RANKS]
    return next((int(rank) for rank in ranks if rank.isdigit()), 0)


def _all_ranks() -> Any:
    """The world communicator if MPI has several ranks; starts MPI to end them all.

    A rank that leaves before MPI_Init would let the others wait in theirs for ever.
    """
    if _tasks() == 1:
        return None
    try:
        from pipeline.stages.solve import world

        comm = world()
    except Exception:  # a signal is the other way to tell mpiexec
        signal.raise_signal(signal.SIGKILL)
    return comm if comm.size > 1 else None
