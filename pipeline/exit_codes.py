"""What a process says at its end, and how an exception becomes one message and a code."""

import sys
import traceback
from enum import IntEnum
from typing import Any

from pipeline.interrupt import Interrupted
from pipeline.launch import LauncherError
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


_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
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


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of an exception; UNEXPECTED if it is none of ours."""
    if isinstance(error, LauncherError):
        return ExitCode.BAD_INPUT
    if isinstance(error, SolveFailed):
        return ExitCode(error.code) if error.code in set(ExitCode) else ExitCode.UNEXPECTED
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.UNEXPECTED)


def end_with(error: BaseException) -> int:
    """Print one message (a traceback only for the unexpected) and return the exit code.

    With several MPI ranks: an error that all ranks raised together is printed once; any other
    ends the whole run at once, since the other ranks would wait for ever.
    """
    code = exit_code(error)
    comm = _world()
    together = getattr(error, "collective", False) or isinstance(error, SpecError | Interrupted)
    if comm is None or not together or comm.rank == 0:
        where = f" (rank {comm.rank} of {comm.size})" if comm is not None and not together else ""
        if code == ExitCode.UNEXPECTED and not isinstance(error, SolveFailed):
            traceback.print_exception(error)
        print(f"rekrylov{where}: {_text(error)}", file=sys.stderr, flush=True)
    if comm is not None and not together:
        comm.Abort(int(code))
    return int(code)


def _text(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, SpecError) and "\n" in text:
        return f"{len(error.mistakes)} mistakes in the spec\n  " + text.replace("\n", "\n  ")
    return text


def _world() -> Any:
    """The world communicator if MPI runs with several ranks in this process."""
    if "mpi4py.MPI" not in sys.modules:
        return None
    from mpi4py import MPI

    running = MPI.Is_initialized() and not MPI.Is_finalized()
    return MPI.COMM_WORLD if running and MPI.COMM_WORLD.size > 1 else None
