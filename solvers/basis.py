"""Distributed Krylov bases: one preallocated block a rank, BLAS-2/3 and one reduction a step."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from petsc4py import PETSc
from scipy.linalg.blas import dgemv, dsyrk

Array = NDArray[np.float64]

EPS = float(np.finfo(float).eps)
# A second Gram-Schmidt pass is made when a vector would be left further from orthogonal than this.
# The relation B V = W G holds to rounding whatever the loss: it only blurs residual norms.
LOSS = 1e-9
# A vector shorter than this times its length before orthogonalisation is rounding noise.
NOISE = 1e-14
# Singular values of the scaled A·U below this times the largest are dependent directions.
RANK = 1e-7
PANEL = 512  # rows of the block updated at once; 60 columns of them stay in a 256 KiB cache


class Basis:
    """The block W = [C | V | r | t] of basis vectors and the recycled block U.

    A basis vector is a row of a C-ordered array (the same memory as the columns of a column-major
    block), so that a PETSc Vec lies over each one and `A.mult` writes straight into it.

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
        self._columns = [self.W[:c].T for c in range(width + 2)]
        self.loss = 4.0 * EPS
        self._E: Array | None = None
        self._buffer: Array = np.zeros(width + 2)
        self._panels = np.empty((2, max(width, k_max) + 1, PANEL))
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
        """Sum `values` over the ranks, in place. Collective."""
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
        self._buffer[0] = row @ row
        return float(np.sqrt(self.sum(self._buffer[:1])[0]))

    def products(self, rows: Array, vector: Array) -> Array:
        """The inner products rows·vector of (c, n) with (n,). Collective, one reduction."""
        return self.sum(rows @ vector)

    def orthogonalise(self, c: int, k: int, h: Array) -> float:
        """Make row c of W orthogonal to rows 0 … c−1 by classical Gram–Schmidt, twice if needed.

        `loss` bounds how far the rows are from orthogonal to each other. One pass leaves the new
        row with (loss·‖h‖ + ε‖w‖)/‖w after‖; where that passes LOSS a second pass is made.
        The coefficients of C are corrected by CᵀC = I + E to first order. Collective: one
        reduction for the first pass (the norm among the products), one for the norm after it or
        for the second pass, whose norm follows from Pythagoras without cancellation.

        Args:
            c: The row to orthogonalise and normalise.
            k: The number of recycled vectors C among the rows.
            h: (c,) receives the coefficients.

        Returns:
            The norm after orthogonalisation; zero if nothing but rounding noise is left.
        """
        w = self.W[c]
        products = self.sum(dgemv(1.0, self._columns[c + 1], w, trans=1))
        before = float(products[c])
        if not before < np.inf:
            return float("nan")
        h[:] = products[:c]
        self.corrected(k, h)
        dgemv(-1.0, self._columns[c], h, 1.0, w, overwrite_y=1)
        squares = float(h @ h)
        after = max(before - squares, 0.0)
        spread = self.loss * squares**0.5 + EPS * before**0.5
        if 0.0 < spread * spread <= LOSS * LOSS * after:
            norm = self.norm(w)
            self.loss = max(self.loss, spread / norm)
        else:
            products = self.sum(dgemv(1.0, self._columns[c + 1], w, trans=1))
            again = products[:c]
            dgemv(-1.0, self._columns[c], again, 1.0, w, overwrite_y=1)
            h += again
            norm = max(float(products[c] - again @ again), 0.0) ** 0.5
        if norm <= NOISE * before**0.5:
            return 0.0
        w *= 1.0 / norm
        self.w[c].stateIncrease()
        return norm

    def corrected(self, k: int, h: Array) -> Array:
        """(CᵀC)⁻¹ h for the first k products, to first order in E and in place."""
        if self._E is not None:
            h[:k] -= self._E @ h[:k]
        return h

    def measure(self, k: int) -> float:
        """Find E = CᵀC − I of the k recycled vectors; its largest entry. Collective."""
        self._E, self.loss = None, 4.0 * EPS
        if k == 0:
            return 0.0
        upper = dsyrk(1.0, self._columns[k], trans=1)
        E = self.sum(np.ascontiguousarray(upper + np.triu(upper, 1).T)) - np.eye(k)
        size = float(np.abs(E).max())
        if size > 4.0 * EPS:
            self._E = E
            self.loss += k * size * size
        return size

    def combine(self, coefficients: Array, first: int, out: Array) -> None:
        """Add Σ coefficients[i] · (row first+i of W) to `out`. Not collective."""
        if coefficients.size:
            block = self.W[first : first + coefficients.size].T
            dgemv(1.0, block, coefficients, 1.0, out, overwrite_y=1)

    def replace(self, P: Array, Q: Array, k: int) -> None:
        """U ← [U V] P and C ← [C V] Q, panel by panel in place. Not collective.

        Args:
            P: (k + j, k') coefficients of the k vectors U and of V₁ … V_j.
            Q: (k + i, k') coefficients of the k vectors C and of V₁ … V_i.
            k: The number of recycled vectors before.
        """
        (p, new), q = P.shape, Q.shape[0]
        PU, PV, QT = (np.ascontiguousarray(a.T) for a in (P[:k], P[k:], Q))
        u_block, c_block = self._panels[0, :new], self._panels[1, :new]
        for start in range(0, self.n, PANEL):
            rows = slice(start, min(start + PANEL, self.n))
            size = rows.stop - start
            u = np.matmul(PV, self.W[k:p, rows], out=u_block[:, :size])
            if k:
                c = np.matmul(PU, self.U[:k, rows], out=c_block[:, :size])
                u += c
            c = np.matmul(QT, self.W[:q, rows], out=c_block[:, :size])
            self.U[:new, rows] = u
            self.W[:new, rows] = c

    def orthonormalise(self, k: int) -> int:
        """Turn C = A U (k columns) into orthonormal C with A U = C; drop dependent directions.

        Singular value QR of the scaled Gram matrix (Stathopoulos & Wu, SIAM J. Sci. Comput. 23
        (2002) 2165), repeated until C is orthonormal: one reduction a pass.

        Returns:
            The number of vectors kept; 0 if the block holds NaN or Inf, or doesn't settle.
        """
        for _ in range(4):
            C, U = self.W[:k], self.U[:k]
            gram = self.sum(C @ C.T)
            if not np.all(np.isfinite(gram)):
                return 0
            if np.abs(gram - np.eye(k)).max(initial=0.0) < 1e-13:
                return k
            transform = self.root(functools.partial(_singular_value_factor, gram))
            if transform is None or transform.shape[1] == 0:
                return 0
            C[: transform.shape[1]] = transform.T @ C
            U[: transform.shape[1]] = transform.T @ U
            k = transform.shape[1]
        return k if np.abs(gram - np.eye(gram.shape[0])).max() < 1e-8 else 0


def _singular_value_factor(gram: Array) -> Array:
    """T (k, k') with Tᵀ gram T = I on the directions of numerical rank."""
    scale = np.sqrt(np.diag(gram))
    tiny = scale <= np.finfo(float).tiny ** 0.5
    inverse = np.where(tiny, 0.0, 1.0 / np.where(tiny, 1.0, scale))
    values, vectors = np.linalg.eigh(gram * np.outer(inverse, inverse))
    keep = values > max(RANK**2, 1e-14) * max(values[-1], 0.0)
    keep &= values > 0.0
    return inverse[:, None] * vectors[:, keep] / np.sqrt(values[keep])


def layout(vector: PETSc.Vec) -> tuple[int, ...]:
    """What a basis must agree with: global size, own range, size of the communicator."""
    return (vector.getSize(), *vector.getOwnershipRange(), vector.comm.size)
