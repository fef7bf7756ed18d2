"""The space of right-hand sides that one operator has solved already."""

from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from solvers.residual import all_sum

__all__ = ["Span"]

Array = NDArray[Any]
LARGEST = 32  # right-hand sides that span the space
# A direction that is mostly cancellation would carry the solutions' errors with it.
INDEPENDENT = 1e-6


class Span:
    """If A x_j = b_j and b = Σ c_j b_j, then x = Σ c_j x_j.

    Data that are affine in a few parameters have right-hand sides in a space of few dimensions
    (the released Thermal set of SKR has 2, its Poisson set at most 20): once it is spanned, a
    solution costs as much as a few inner products. The b_j are kept orthonormal.
    """

    def __init__(self, comm: MPI.Comm, n: int) -> None:
        """Start empty.

        Args:
            comm: The communicator of the systems.
            n: Rows on this rank.
        """
        self._comm, self._count = comm, 0
        self._b, self._x = np.empty((LARGEST, n)), np.empty((LARGEST, n))

    @property
    def full(self) -> bool:
        """Whether nothing more is learnt."""
        return self._count == LARGEST

    def combine(self, b: Array) -> Array:
        """Return Σ c_j x_j for the projection of each column of b, (n, k). Collective."""
        known = slice(0, self._count)
        c = all_sum(self._comm, self._b[known] @ b)
        return self._x[known].T @ c  # type: ignore[no-any-return]

    def learn(self, b: Array, x: Array) -> None:
        """Add what columns (n, k) of solved systems have outside, while there is room. Collective.

        The new directions are orthonormalised by the singular values of their Gram matrix (A.
        Stathopoulos, K. Wu, SIAM J. Sci. Comput. 23 (2002) 2165).
        """
        k = self._count
        size = np.sqrt(all_sum(self._comm, np.einsum("ij,ij->j", b, b)))
        size[size == 0.0] = 1.0
        right, solution = b / size, x / size
        for _ in range(2):  # twice is enough
            c = all_sum(self._comm, self._b[:k] @ right)
            right -= self._b[:k].T @ c
            solution -= self._x[:k].T @ c
        for _ in range(2):
            gram = all_sum(self._comm, right.T @ right)
            values, vectors = np.linalg.eigh(self._comm.bcast(gram))
            kept = np.flatnonzero(values > INDEPENDENT**2)[::-1][: LARGEST - k]
            transform = vectors[:, kept] / np.sqrt(values[kept])
            right, solution = right @ transform, solution @ transform
        new = slice(k, k + right.shape[1])
        self._b[new], self._x[new] = right.T, solution.T
        self._count = new.stop
