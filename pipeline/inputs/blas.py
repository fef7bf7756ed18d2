"""Products whose last bits do not depend on the machine's load."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which BLAS runs on one thread.

    Threaded products change last bits, and a threshold makes flips of those.
    """
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    """The process's BLAS libraries; looking for them costs more than one sample."""
    return ThreadpoolController()
