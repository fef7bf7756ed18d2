"""Distributed Krylov bases: one preallocated block a rank, and the sums over the ranks."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from petsc4py import PETSc
from scipy.linalg.blas import dgemv

Array = NDArray[np.float64]


class Basis:
    """The block W = [C | V | r | t] of basis vectors and the recycled block U.

    A basis vector is a row of a C-ordered array (the same memory as the columns of a column-major
    block), so that a PETSc Vec lies over each one and `A.mult` writes straight into it. Products
    with many rows are BLAS-2 calls without temporaries.

    Attributes:
        width: Vectors of [C | V], at most `restart + 1` with C.
        W: (width + 2, n) local values; rows `width` and `width + 1` are r and t.
        U: (k_max, n) local values.
        w, u: PETSc vectors over the rows of W and U.
        r, t: PETSc vectors over the last two rows of W.
    """

    def __init__(self, like: PETSc.Vec, width: int, k_max: int) -> None:
        """Allocate for vectors with the layout of `like`. Collective.

        Args:
            like: A vector with the wanted parallel layout.
            width: Vectors of [C | V].
            k_max: The largest number of recycled vectors.
        """
        self.comm = like.comm.tompi4py()
        self.layout = layout(like)
        self.width, self.k_max = width, k_max
        n_local, n = like.getLocalSize(), like.getSize()
        # BLAS refuses empty vectors: a rank without rows keeps one zero.
        self.n = max(n_local, 1)
        self.W: Array = np.zeros((width + 2, self.n))
        self.U: Array = np.zeros((k_max, self.n))
        self.columns = [self.W[:c].T for c in range(width + 2)]
        self._square: Array = np.zeros(1)
        vectors = [
            PETSc.Vec().createWithArray(row[:n_local], size=(n_local, n), comm=like.comm)
            for row in (*self.W, *self.U)
        ]
        self.w, self.u = vectors[:width], vectors[width + 2 :]
        self.r, self.t = vectors[width : width + 2]
        self.r_row, self.t_row = self.W[width], self.W[width + 1]
        self._vectors = vectors

    def destroy(self) -> None:
        """Destroy the PETSc vectors. Collective."""
        for vector in self._vectors:
            vector.destroy()
        self._vectors = []

    def sum(self, values: Array) -> Array:
        """Sum `values` over the ranks, in place: every reduction of the method. Collective."""
        if self.comm.size > 1:
            self.comm.Allreduce(MPI.IN_PLACE, values, MPI.SUM)
        return values

    def root(self, compute: Callable[[], Any]) -> Any:
        """`compute()` of rank 0 on all ranks: small dense work then agrees bit for bit.

        None where LAPACK didn't converge. Collective.
        """
        result = None
        if self.comm.rank == 0:
            with contextlib.suppress(np.linalg.LinAlgError):
                result = compute()
        return result if self.comm.size == 1 else self.comm.bcast(result)

    def norm(self, row: Array) -> float:
        """The 2-norm of a distributed vector. Collective."""
        self._square[0] = row @ row
        return float(np.sqrt(self.sum(self._square)[0]))

    def products(self, left: Array, right: Array) -> Array:
        """The inner products left·rightᵀ of rows (c, n) with rows (d, n). Collective, one sum."""
        return self.sum(left @ right.T)

    def combine(self, coefficients: Array, first: int, out: Array) -> None:
        """Add Σ coefficients[i] · (row first+i of W) to `out`. Not collective."""
        if coefficients.size:
            block = self.W[first : first + coefficients.size].T
            dgemv(1.0, block, coefficients, 1.0, out, overwrite_y=1)


def layout(vector: PETSc.Vec) -> tuple[int, ...]:
    """What a basis must agree with: global size, own range, size of the communicator."""
    return (vector.getSize(), *vector.getOwnershipRange(), vector.comm.size)
