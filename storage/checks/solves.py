"""Checks of what is told of the solves: reasons, counts, times, positions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from storage.checks.finding import Finding, error

__all__ = ["check_solves"]

type Array = npt.NDArray[Any]

_SOME = 5


def _above(bound: float) -> Callable[[Array], Array]:
    return lambda values: np.isfinite(values) & (values > bound)


def _once(values: Array) -> Array:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts[place] == 1) & (values >= 0)


_RULES: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "solve/reason": ("above 0: converged", _above(0)),
    "solve/systems": ("above 0", _above(0)),
    "solve/iterations": ("0 or more", _above(-1)),
    "solve/seconds": ("0 or more", lambda values: np.isfinite(values) & (values >= 0)),
    "samples/order": ("0 or more, each once", _once),
}


def check_solves(file: h5py.File, ids: Array, location: str) -> Iterator[Finding]:
    """What the solver told of samples that are stored can be told of such samples."""
    for column, (text, sound) in _RULES.items():
        if column in file:
            values = np.asarray(file[column][()])
            good = sound(values) if values.shape == ids.shape else np.zeros(len(ids), bool)
            if not good.all():
                some = ids[~good][:_SOME].tolist()
                yield error("solve.values", location, f"{column} of samples {some} isn't {text}")
