"""Features of random fields: leading principal coordinates of their values at the dofs."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pipeline.ordering import Sketch

__all__ = ["WHOLE", "FieldFeatures"]

Array = NDArray[np.float64]

WHOLE = 20_000
"""Fields with more dofs are described by their law instead: evaluating them costs too much."""

_DOFS = 2048
_LARGEST = 1e150
"""Squares of larger numbers overflow."""


class FieldFeatures:
    """Maps the values of a field to numbers whose distances stand for those of the values.

    These are distances in the Frobenius norm of the values as the solver gets them, exponentials
    and thresholds included, at up to 2048 dofs that are the same for all samples.
    """

    def __init__(self, pilot: Iterable[Array], dofs: int, count: int) -> None:
        """Find the directions.

        Args:
            pilot: The values (dofs,) of some samples.
            dofs: Length of the field.
            count: Numbers wanted, at most.
        """
        rng = np.random.Generator(np.random.PCG64(0))
        few = dofs <= _DOFS
        self._dofs = np.arange(dofs) if few else np.sort(rng.choice(dofs, _DOFS, replace=False))
        rows = np.array([values[self._dofs] for values in pilot])
        good = np.clip(rows[np.isfinite(rows)], -_LARGEST, _LARGEST)
        self._low = float(good.min()) if good.size else 0.0
        self._high = float(good.max()) if good.size else 0.0
        self._sketch = Sketch(self._finite(rows), count)

    def __call__(self, values: Array) -> Array:
        """Return the features of a field, (≤ count,)."""
        return self._sketch(self._finite(values[self._dofs]))

    def _finite(self, values: Array) -> Array:
        """Values within twice the pilot's range.

        A sample that can't be solved for, such as one that overflows, must not disturb the others.
        """
        spread = self._high - self._low
        known = np.where(np.isnan(values), self._low, values)
        return np.clip(known, self._low - spread / 2, self._high + spread / 2)
