"""SIGTERM and SIGINT wait until an optimiser step is complete.

An exception from a handler may come up between any two instructions; in the middle of a step it
would leave weights that no run could have reached, which can't be resumed.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["signals_wait"]

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def signals_wait(then: Callable[[], None]) -> Iterator[None]:
    """Within, a first SIGTERM or SIGINT is noted; at the end, after `then`, it is sent again.

    Whatever handled it before handles it then: nobody need have, so `then` must leave all in
    order. A second signal acts at once, as it did before. Off the main thread, where Python
    handles no signals, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    noted: list[int] = []

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def note(number: int, _frame: FrameType | None) -> None:
        noted.append(number)
        restore()

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield
    finally:
        restore()
    if noted:
        then()
        signal.raise_signal(noted[0])
