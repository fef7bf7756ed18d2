"""Runs of one data set take turns at the batches that both would solve."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pipeline.chains import Batch
from pipeline.collective import end_if_stopped, on_root
from pipeline.interrupt import StopFlag
from storage import DataFolder
from storage.lock import WorkLock

__all__ = ["own_turn"]


@contextmanager
def own_turn(
    comm: Any, folder: DataFolder, batches: list[Batch], stop: StopFlag, quiet: bool
) -> Iterator[list[Batch]]:
    """Wait while another live run solves some of the batches; yield those that are left.

    Collective. Rank 0 looks, and all sleep in between: waiting in MPI keeps a core busy. This saves
    work and nothing relies on it, see `storage.lock`.

    Args:
        comm: All ranks of this run.
        folder: The data set.
        batches: Those without a shard, the same on all ranks.
        stop: Ends the waiting.
        quiet: Don't say who is waited for.

    Raises:
        Interrupted: A signal came while it waited.
        StorageError: The limit in the environment is no number of seconds.
    """
    lock: WorkLock | None = None

    def arrive() -> None:
        nonlocal lock
        say = _say_nothing if quiet else _say
        lock = stack.enter_context(WorkLock(folder, [b.key for b in batches], say))

    def pause() -> float:
        assert lock is not None
        return lock.pause if lock.must_wait([b.key for b in _left(folder, batches)]) else 0.0

    with ExitStack() as stack:
        on_root(comm, arrive)
        while seconds := on_root(comm, pause):
            end_if_stopped(comm, stop)
            time.sleep(seconds)
        yield on_root(comm, lambda: _left(folder, batches))


def _left(folder: DataFolder, batches: list[Batch]) -> list[Batch]:
    """The batches that nobody has committed in the meantime."""
    committed = folder.committed()
    return [batch for batch in batches if batch.key not in committed]


def _say(text: str) -> None:
    print(f"solve: {text}", flush=True)


def _say_nothing(text: str) -> None:
    """Take a line in silence."""
