"""Solutions as combinations of earlier ones, where the operator stays the same."""

from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from solvers.residual import all_sum

__all__ = ["Superposition"]

Array = NDArray[Any]
LARGEST = 32  # right-hand sides that span the space
INSIDE = 0.1  # of rtol: what may be left of b outside of the space


class Superposition:
    """If A x_j = b_j and b = Σ c_j b_j, then x = Σ c_j x_j.

    Data that are affine in a few parameters have right-hand sides in a space of few dimensions
    (the released Thermal set of SKR has 2, its Poisson set at most 20): once it is spanned, a
    solution costs as much as a few inner products. A space that is full before it serves is given
    up.

    Attributes:
        served: Guesses that lay inside the space.
    """

    def __init__(self, comm: MPI.Comm) -> None:
        """Start with an empty space. Not collective."""
        self._comm, self._b, self._x = comm, np.empty((0, 0)), np.empty((0, 0))
        self._count = self.served = 0

    def reset(self) -> None:
        """Forget everything: the operator has changed. Not collective."""
        self._count = self.served = 0
        self._b = self._x = np.empty((0, 0))

    def guess(self, b: Array, rtol: float) -> Array | None:
        """Return Σ c_j x_j if b is in the space up to INSIDE · rtol, else None. Collective.

        Args:
            b: (n_local,) right-hand side, constrained values included.
            rtol: The wanted true residual.
        """
        if self._count <= 0:
            return None
        known = self._b[: self._count]
        c = all_sum(self._comm, known @ b)
        rest = b - c @ known
        outside, size = all_sum(self._comm, np.array([rest @ rest, b @ b]))
        if outside > (INSIDE * rtol) ** 2 * size:
            return None
        self.served += 1
        return c @ self._x[: self._count]  # type: ignore[no-any-return]

    def learn(self, b: Array, x: Array) -> None:
        """Add a solved system to the space. Collective."""
        if self._count == LARGEST:
            if not self.served:
                self._b = self._x = np.empty((0, 0))
                self._count = -1  # given up
            return
        if self._count < 0:
            return
        if not self._b.size:
            self._b, self._x = np.empty((LARGEST, b.size)), np.empty((LARGEST, b.size))
        k, before = self._count, all_sum(self._comm, np.array([b @ b]))[0]
        rest, combined = b.astype(float), x.astype(float)
        for _ in range(2):  # twice is enough
            c = all_sum(self._comm, self._b[:k] @ rest)
            rest -= c @ self._b[:k]
            combined -= c @ self._x[:k]
        length = float(np.sqrt(all_sum(self._comm, np.array([rest @ rest]))[0]))
        # a direction that is mostly cancellation would carry the solutions' errors with it
        if length <= 1e-6 * float(np.sqrt(before)):
            return
        self._b[k], self._x[k] = rest / length, combined / length
        self._count += 1
