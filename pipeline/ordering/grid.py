"""Features on an integer grid, on which distances are exact."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["on_grid"]

_STEPS = 2.0**19


def on_grid(features: ArrayLike) -> NDArray[np.float64]:
    """Return features as integers, at most 2¹⁹ in size: the largest deviation from the middle.

    Sums of squares of their differences are exact in float64 up to 8192 columns, in any order:
    no path depends on a BLAS library, its threads or the processor, and what is equal ties.

    Args:
        features: Shape (n, d), finite.
    """
    values = np.asarray(features, dtype=np.float64)
    low, high = values.min(axis=0, initial=np.inf), values.max(axis=0, initial=-np.inf)
    middle = low / 2 + high / 2
    largest = float(np.max(high / 2 - low / 2, initial=0.0)) * 2
    if not largest > 0:
        return np.zeros_like(values)
    return np.rint((values - middle) / largest * (2 * _STEPS))
