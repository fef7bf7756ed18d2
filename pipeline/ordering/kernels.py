"""The compiled loops of the near-linear sort (`ordering.c`)."""

import functools
from pathlib import Path
from typing import Any

__all__ = ["call"]

_SOURCES = ("ordering.c", "neighbours.c", "fragments.c", "improve.c")
# Sums as they are written, but where a pragma says that they are exact: the same path anywhere.
_FLAGS = "-ffp-contract=off -fopenmp-simd"


def call(name: str, *arguments: Any) -> Any:
    """Call a function of `ordering.c`; compiled on first use, which starts MPI.

    Args:
        name: Of the function.
        arguments: Contiguous arrays of its types, integers. Nothing is checked.

    Raises:
        KernelError: No C compiler, or it failed.
    """
    library, call_in = _library()
    return call_in(library, name, *arguments)


@functools.cache
def _library() -> tuple[Any, Any]:
    from solvers.compiled import call, compiled  # starts MPI: for long paths only

    instead = "take order.sort grouped"
    return compiled(Path(__file__).parent, _SOURCES, _FLAGS, instead), call
