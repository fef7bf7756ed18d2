"""The space of right-hand sides that one operator has solved already, for a block's lanes."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Span"]

Array = NDArray[np.float64]
LARGEST = 32  # right-hand sides that span the space
# A direction that is mostly cancellation would carry the solutions' errors with it.
INDEPENDENT = 1e-6


class Span:
    """If A x_j = b_j and b = Σ c_j b_j, then x = Σ c_j x_j; see `solvers.superposition`.

    Attributes:
        full: Whether nothing more is learnt.
    """

    def __init__(self, n: int) -> None:
        """Start empty. Serial."""
        self._b, self._x, self._count = np.empty((LARGEST, n)), np.empty((LARGEST, n)), 0

    @property
    def full(self) -> bool:
        """Whether there is no room."""
        return self._count == LARGEST

    def guess(self, b: Array) -> Array:
        """Return Σ c_j x_j for the projection of each column of b, (n, LANES)."""
        known = slice(0, self._count)
        return self._x[known].T @ (self._b[known] @ b)  # type: ignore[no-any-return]

    def learn(self, b: Array, x: Array) -> None:
        """Add columns of solved systems that lie outside, as long as there is room."""
        for right, solution in zip(b.T.copy(), x.T.copy(), strict=True):
            if self.full:
                return
            k, size = self._count, np.linalg.norm(right)
            for _ in range(2):  # twice is enough
                c = self._b[:k] @ right
                right -= c @ self._b[:k]
                solution -= c @ self._x[:k]
            length = np.linalg.norm(right)
            if length > INDEPENDENT * size and np.isfinite(solution).all():
                self._b[k], self._x[k] = right / length, solution / length
                self._count += 1
