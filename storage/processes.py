"""The same work on many items, in this process or in several.

New processes are spawned, not forked: MPI, HDF5 and PETSc don't survive a fork. So a script that
asks for more than one needs the usual `if __name__ == "__main__":`.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

__all__ = ["do", "each", "pool"]

_work: Callable[[Any], Any] | None = None


def each[T, R](
    work: Callable[[T], R], items: Sequence[T], workers: int, least: int = 1
) -> Iterator[R]:
    """Yield what `work` returns for each item, in order.

    Args:
        work: a function of a module, or an object that can be pickled: it is sent once.
        items: sent one by one.
        workers: number of processes at most; 1 is this one.
        least: items for which a process is worth its start, about a second.

    Raises:
        Exception: what `work` raised for an item; the items before it are done.
    """
    from concurrent.futures.process import BrokenProcessPool

    done, count = 0, min(workers, len(items) // least)
    if count > 1:
        with pool(work, count) as processes:
            try:
                for result in processes.map(do, items):
                    yield result
                    done += 1
            except BrokenProcessPool:  # one was killed, perhaps for its memory: go on with one
                pass
    yield from map(work, items[done:])


@contextmanager
def pool(work: Callable[[Any], Any], workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that do `work` on what is submitted to them with `do`."""
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    processes = ProcessPoolExecutor(workers, context, _install, (work,))
    try:
        yield processes
    finally:
        processes.shutdown(wait=True, cancel_futures=True)


def do(item: Any) -> Any:
    """Do the work of this process on an item."""
    assert _work is not None
    return _work(item)


def _install(work: Callable[[Any], Any]) -> None:
    """Keep the work in a new process, which ends when its parent does."""
    global _work  # noqa: PLW0603
    _work = work
    parent: Any = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
