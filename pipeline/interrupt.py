"""SIGTERM and SIGINT end work cleanly: long work after the current sample, the rest at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

__all__ = ["Interrupted", "StopFlag", "interrupted", "launcher_decides", "raising", "stoppable"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_received: list[int] = []
"""What `raising` got: code that swallows every exception, or runs in a callback, may lose it."""


class Interrupted(Exception):
    """Work was asked to stop; what is committed stays, the same command goes on. Exit code 4."""


def interrupted(number: int) -> Interrupted:
    """Return the exception for a signal."""
    return Interrupted(
        f"stopped by {signal.Signals(number).name}; committed shards are kept, "
        "the same command goes on from there"
    )


class StopFlag:
    """True once a signal asked for the end."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    def check(self) -> None:
        """Raise `Interrupted` if a signal came."""
        if self.signal is not None:
            raise interrupted(self.signal)

    def arm(self) -> None:
        """Take the signals. Ignored ones stay so, and off the main thread nothing is done."""
        for number in _SIGNALS:
            before = _handler(number)
            if before is not signal.SIG_IGN:
                try:
                    signal.signal(number, self._note)
                except ValueError:
                    return
                self._handlers[number] = before

    def disarm(self) -> None:
        """Put back what was there before `arm`, unless a signal came: that did it."""
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Set this flag and those around it; the next signal acts as without any."""
        outer = getattr(self._handlers.get(signal.Signals(number)), "__self__", None)
        self.signal = number
        self.disarm()
        if isinstance(outer, StopFlag):
            outer._note(number, frame)
        for each in _SIGNALS:
            if signal.getsignal(each) is _raise:
                signal.signal(each, signal.SIG_DFL)


@contextmanager
def stoppable() -> Iterator[StopFlag]:
    """Within, a first SIGTERM or SIGINT sets the flag; a second one acts as usual.

    Outside of the main thread, where Python takes no signal handlers, the flag stays unset.
    """
    flag = StopFlag()
    flag.signal = _received[0] if _received else None
    flag.arm()
    try:
        yield flag
    finally:
        flag.disarm()


class _Signalled(BaseException):
    """Raised by the handler of `raising`; no `except Exception` on the way takes it."""


@contextmanager
def raising() -> Iterator[None]:
    """Within, a first SIGTERM or SIGINT raises `Interrupted` where no `stoppable` takes it.

    The second one ends the process, wherever it is. Nothing is done off the main thread.
    """
    here = threading.current_thread() is threading.main_thread()
    before = {n: _handler(n) for n in _SIGNALS if here}
    taken = {n: handler for n, handler in before.items() if handler is not signal.SIG_IGN}
    _received.clear()
    for number in taken:
        signal.signal(number, _raise)
    try:
        with suppress(_Signalled):
            yield
        if _received:
            raise interrupted(_received[0])
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


@contextmanager
def launcher_decides() -> Iterator[None]:
    """Within, the signals of `raising` are as in a fresh process: `launch` passes them on."""
    taken = [n for n in _SIGNALS if signal.getsignal(n) is _raise]
    for number in taken:
        is_sigint = number == signal.SIGINT
        signal.signal(number, signal.default_int_handler if is_sigint else signal.SIG_DFL)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, _raise)


def _handler(number: signal.Signals) -> Any:
    """What `signal.signal` takes to put the present handler back."""
    handler = signal.getsignal(number)
    return signal.SIG_DFL if handler is None else handler


def _raise(number: int, _frame: FrameType | None) -> None:
    for each in _SIGNALS:
        if signal.getsignal(each) is _raise:
            signal.signal(each, signal.SIG_DFL)
    _received.append(number)
    raise _Signalled(number)
