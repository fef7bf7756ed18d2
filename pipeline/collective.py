"""Work of one rank on behalf of all: what it raises is raised everywhere."""

import pickle
from collections.abc import Callable
from typing import Any

from pipeline.interrupt import StopFlag, interrupted

__all__ = ["end_if_stopped", "on_root", "together"]


def on_root[T](comm: Any, work: Callable[[], T]) -> T:
    """Do `work` on rank 0 and return its result, or raise its exception, on all. Collective."""
    if comm.size == 1:
        return work()
    if comm.rank > 0:
        result, error = comm.bcast(None)
        if error is not None:
            raise together(error)
        return result  # type: ignore[no-any-return]
    try:
        result = work()
    except Exception as error:
        comm.bcast((None, _portable(error)))
        together(error)
        raise
    comm.bcast((result, None))
    return result


def end_if_stopped(comm: Any, stop: StopFlag) -> None:
    """If any rank was asked to stop, all were. Collective.

    Raises:
        Interrupted: A signal came to a rank.
    """
    signals = [number for number in comm.allgather(stop.signal) if number is not None]
    if signals:
        raise together(interrupted(signals[0]))


def together[E: BaseException](error: E) -> E:
    """Mark an exception that every rank raises, so that none of them aborts the others."""
    error.collective = True  # type: ignore[attr-defined]
    return error


def _portable(error: Exception) -> Exception:
    """The exception itself if it survives pickling, else its text; rank 0 prints its own."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(str(error))
    return error
