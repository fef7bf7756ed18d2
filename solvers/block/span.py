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

    def guess(self, b: Array, x: Array) -> None:
        """X ← Σ c_j x_j for the projection of each column of b, (n, LANES)."""
        known = slice(0, self._count)
        np.matmul(self._x[known].T, self._b[known] @ b, out=x)

    def learn(self, b: Array, x: Array) -> None:
        """Add what columns of solved systems have outside, as long as there is room.

        The new directions are orthonormalised by the singular values of their Gram matrix (A.
        Stathopoulos, K. Wu, SIAM J. Sci. Comput. 23 (2002) 2165).
        """
        k = self._count
        size = np.linalg.norm(b, axis=0)
        right, solution = b / np.where(size > 0, size, 1.0), x / np.where(size > 0, size, 1.0)
        for _ in range(2):  # twice is enough
            c = self._b[:k] @ right
            right -= self._b[:k].T @ c
            solution -= self._x[:k].T @ c
        for _ in range(2):
            values, vectors = np.linalg.eigh(right.T @ right)
            kept = np.flatnonzero(values > INDEPENDENT**2)[::-1][: LARGEST - k]
            transform = vectors[:, kept] / np.sqrt(values[kept])
            right, solution = right @ transform, solution @ transform
        new = slice(k, k + right.shape[1])
        self._b[new], self._x[new] = right.T, solution.T
        self._count = new.stop
