"""What all loops over points share: their distance, compiled.

Points are on an integer grid (`grid.on_grid`), so sums of squares are exact in float64 and the
compiler may add them in any order: the same bits on any machine.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

__all__ = ["compiled", "squared"]

compiled: Callable[[Any], Any] = njit(cache=True, nogil=True)
"""Compiled once a machine: Numba keeps the result beside the file, or in the user's cache."""


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def squared(points: Any, a: int, b: int) -> float:
    """Return ‖points[a] − points[b]‖², exact on the grid."""
    total = 0.0
    for c in range(points.shape[1]):
        difference = np.float64(points[a, c]) - np.float64(points[b, c])
        total += difference * difference
    return total
