"""Work of one rank on behalf of all: what it raises is raised everywhere."""

from collections.abc import Callable
from typing import Any

__all__ = ["on_root"]


def on_root[T](comm: Any, work: Callable[[], T]) -> T:
    """Do `work` on rank 0 and return its result, or raise its exception, on all. Collective."""
    if comm.size == 1:
        return work()
    result: T | None = None
    error: BaseException | None = None
    if comm.rank == 0:
        try:
            result = work()
        except Exception as caught:
            error = caught
    result, error = comm.bcast((result, error))
    if error is not None:
        error.collective = True  # type: ignore[union-attr] # every rank raises it
        raise error
    return result  # type: ignore[return-value]
