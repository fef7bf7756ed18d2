"""SIGTERM and SIGINT end long work cleanly after the current sample."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupted", "StopFlag", "stoppable"]


class Interrupted(Exception):
    """Work was asked to stop; what is committed stays, the same command goes on. Exit code 4."""


class StopFlag:
    """True once a signal asked for the end."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def check(self) -> None:
        """Raise `Interrupted` if a signal came."""
        if self.signal is not None:
            raise Interrupted(
                f"stopped by {signal.Signals(self.signal).name}; committed shards are kept, "
                "the same command goes on from there"
            )


@contextmanager
def stoppable() -> Iterator[StopFlag]:
    """Within, a first SIGTERM or SIGINT sets the flag; a second one acts as usual.

    Outside of the main thread, where Python takes no signal handlers, the flag stays unset.
    """
    flag = StopFlag()
    old: dict[signal.Signals, object] = {}

    def handle(number: int, _frame: FrameType | None) -> None:
        flag.signal = number
        for each, handler in old.items():
            signal.signal(each, handler)  # type: ignore[arg-type]

    try:
        for each in (signal.SIGTERM, signal.SIGINT):
            old[each] = signal.signal(each, handle)
    except ValueError:
        old.clear()
    try:
        yield flag
    finally:
        for each, handler in old.items():
            signal.signal(each, handler)  # type: ignore[arg-type]
