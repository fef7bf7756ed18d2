"""Sums Σ C_{k₁…k_d} φ_{k₁}(x₁) … φ_{k_d}(x_d) at many points."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.inputs.blas import one_thread

__all__ = ["TensorSeries"]

Array = NDArray[np.float64]

_CHUNK = 256
"""Scattered points in space are taken in pieces: their tables would fill the memory."""


class TensorSeries:
    """A tensor-product series at fixed points in 1-D, 2-D or 3-D.

    Where the points are (part of) a grid, the sums run over the grid's axes, which is 20 to 30
    times as fast as over scattered points. The shapes of all products depend on the points
    only, so one sample's bits do not depend on its batch.
    """

    def __init__(self, points: Array, tables: Callable[[Array], Any]) -> None:
        """Tabulate the functions.

        Args:
            points: Where the series is evaluated, (n, d), d = 1, 2, 3.
            tables: x (p,) ↦ φ_k(x), (p, modes): the functions of one axis.
        """
        axes = [np.unique(x, return_inverse=True) for x in points.T]
        self._at = tuple(inverse for _, inverse in axes)
        self._gridded = np.prod([len(x) for x, _ in axes]) <= 4 * len(points)
        self._tables = [tables(x) for x in ([x for x, _ in axes] if self._gridded else points.T)]

    def __call__(self, coefficients: Array) -> Array:
        """Return the values (n,) for coefficients (modes, …, modes)."""
        with one_thread():
            if self._gridded:
                return _on_grid(self._tables, coefficients)[self._at]
            if len(self._tables) < 3:
                return _scattered(self._tables, coefficients)
            starts = range(0, len(self._tables[0]), _CHUNK)
            pieces = [[t[s : s + _CHUNK] for t in self._tables] for s in starts]
            return np.concatenate([_scattered(piece, coefficients) for piece in pieces])


def _on_grid(tables: list[Array], c: Array) -> Array:
    first, *rest = tables
    if len(tables) == 1:
        return first @ c
    if len(tables) == 2:
        return first @ c @ rest[0].T
    plane = (first @ c.reshape(len(c), -1)).reshape(len(first), *c.shape[1:])
    return rest[0] @ plane @ rest[1].T


def _scattered(tables: list[Array], c: Array) -> Array:
    rows = tables[0] @ c.reshape(len(c), -1)
    if len(tables) == 1:
        return rows[:, 0]
    if len(tables) == 3:
        rows = np.einsum("nk,nkl->nl", tables[1], rows.reshape(-1, *c.shape[1:]))
    return np.einsum("nk,nk->n", rows, tables[-1])
