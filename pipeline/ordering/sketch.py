"""A few numbers for a long row: its coordinates along leading principal directions."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PILOT", "Sketch"]

Array = NDArray[np.float64]

PILOT = 256
"""Rows from which directions are found: more did not shorten paths (docs/sorting.md)."""

_BITS = 20


class Sketch:
    """The map x ↦ V (x − m), V and m the principal directions and the mean of a pilot.

    Distances of images are those of the rows, up to what lies across the directions: the best
    that a linear map to as many numbers can do for rows like the pilot's. Rows and V are rounded
    to 20 bits, so that products are exact: an image depends on neither BLAS, threads, nor the
    rows beside it.
    """

    def __init__(self, pilot: ArrayLike, count: int) -> None:
        """Find the directions.

        Args:
            pilot: Some rows, (p, d), finite.
            count: Directions wanted; there are fewer where the pilot has a lower rank, but one.
        """
        rows = np.asarray(pilot, dtype=np.float64)
        self._mean = rows.mean(axis=0)
        centred = rows - self._mean
        self._step = 2.0 ** (np.frexp(np.max(np.abs(centred), initial=0.0) or 1.0)[1] - _BITS)
        centred = centred / (self._step * 2.0**_BITS)  # no overflow of squares
        squares, vectors = np.linalg.eigh(centred @ centred.T)
        kept = np.flatnonzero(squares > 1e-12 * squares[-1])[::-1][:count]
        if not kept.size:
            kept, squares = np.array([0]), np.ones_like(squares)
        directions = (vectors[:, kept] / np.sqrt(squares[kept])).T @ centred
        self._directions = np.rint(directions * 2.0**_BITS)

    def __call__(self, rows: ArrayLike) -> Array:
        """Return the images of rows (…, d), (…, ≤ count)."""
        steps = np.rint((np.asarray(rows, dtype=np.float64) - self._mean) / self._step)
        return (steps @ self._directions.T) * (self._step * 2.0**-_BITS)
