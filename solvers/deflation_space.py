"""The memory of deflated CG: deflation vectors, their images, directions, one block a rank."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from petsc4py import PETSc
from scipy.linalg.blas import dgemv

from solvers.operator import PreconditionedOperator

Array = NDArray[np.float64]

# Eigenvalues of the scaled WᵀAW at or below this times the largest are dependent directions.
RANK = 1e-8
# WᵀAW further than this from I is made I again.
LOOSE = 1e-12
PASSES = 3  # one leaves an error of ε cond(WᵀAW)
PANEL = 512  # columns of the block updated at once; they stay in cache


class DeflationSpace:
    """W and A W with WᵀAW = I, the window V of directions, and r, z, q of the iteration.

    A vector is a row of a C-ordered array, with a PETSc Vec over it. r lies before the images, so
    that rᵀz and (A W)ᵀz are one product.

    Attributes:
        W: (recycle, n) local values of the deflation vectors.
        rows: (1 + recycle, n): r, then A W.
        V: (window + 1, n): the directions; the last row is the one after a full window.
        z, q: (n,) M⁻¹r and A p.
        k: The number of vectors in W.
        size: The global size of a vector.
        preconditioned: The norm tested is that of z, not of r.
    """

    def __init__(self, like: PETSc.Vec, recycle: int, window: int) -> None:
        """Allocate for vectors with the layout of `like`. Collective."""
        self.comm = like.comm.tompi4py()
        self.key = (layout(like), recycle, window)
        n_local, n = like.getLocalSize(), like.getSize()
        self.size = n
        self.n = max(n_local, 1)  # BLAS refuses empty vectors: a rank without rows keeps one zero
        self.W: Array = np.zeros((recycle, self.n))
        self.rows: Array = np.zeros((1 + recycle, self.n))
        self.V: Array = np.zeros((window + 1, self.n))
        self.z, self.q = np.zeros((2, self.n))
        self.k = 0
        self.preconditioned = False
        self._panel: Array = np.empty((max(recycle, 1), PANEL))
        self._buffer: Array = np.zeros(2 + recycle)

        def over(row: Array) -> PETSc.Vec:
            local: Any = row[:n_local]
            return PETSc.Vec().createWithArray(local, size=(n_local, n), comm=like.comm)

        self.w_vecs, self.v_vecs = [over(row) for row in self.W], [over(row) for row in self.V]
        self.r_vec, *self.aw_vecs = [over(row) for row in self.rows]
        self.z_vec, self.q_vec = over(self.z), over(self.q)

    def destroy(self) -> None:
        """Destroy the PETSc vectors. Collective."""
        for vector in (*self.w_vecs, *self.v_vecs, *self.aw_vecs):
            vector.destroy()
        for vector in (self.r_vec, self.z_vec, self.q_vec):
            vector.destroy()

    def sum(self, values: Array) -> Array:
        """Sum over the ranks, in place. Collective."""
        if self.comm.size > 1:
            self.comm.Allreduce(MPI.IN_PLACE, values, MPI.SUM)
        return values

    def root(self, compute: Callable[[], Array | None]) -> Array | None:
        """`compute()` of rank 0 on all ranks; None where LAPACK found no answer. Collective."""
        result = None
        if self.comm.rank == 0:
            with contextlib.suppress(np.linalg.LinAlgError):
                result = compute()
        return result if self.comm.size == 1 else self.comm.bcast(result)

    def dot(self, a: Array, b: Array) -> float:
        """AᵀB of two rows. Collective."""
        self._buffer[0] = a @ b
        return float(self.sum(self._buffer[:1])[0])

    def products(self) -> tuple[float, float, Array]:
        """The norm tested, rᵀz and μ = (A W)ᵀz in one reduction. Collective.

        The array μ (k,) is overwritten by the next call.
        """
        k, out, tested = self.k, self._buffer, self.z if self.preconditioned else self.rows[0]
        out[0] = tested @ tested
        out[1 : 2 + k] = dgemv(1.0, self.rows[: 1 + k].T, self.z, trans=1)
        self.sum(out[: 2 + k])
        return float(np.sqrt(out[0])), float(out[1]), out[2 : 2 + k]

    def direct(self, row: int, beta: float, old: int, mu: Array) -> None:
        """Row `row` of V ← z + β (row `old`) − W μ; β = 0 doesn't read `old`. Not collective."""
        p = self.v_vecs[row]
        if beta == 0.0:
            self.z_vec.copy(p)
        elif row == old:
            p.aypx(beta, self.z_vec)
        else:
            p.waxpy(beta, self.v_vecs[old], self.z_vec)
        if self.k:
            dgemv(-1.0, self.W[: self.k].T, mu, 1.0, self.V[row], overwrite_y=1)

    def project(self, x: PETSc.Vec) -> None:
        """X += W Wᵀr and r −= A W Wᵀr, so that Wᵀr = 0. Collective."""
        c = self.sum(self.W[: self.k] @ self.rows[0])
        self.rows[0] -= c @ self.rows[1 : 1 + self.k]
        self.r_vec.stateIncrease()
        self.q[:] = c @ self.W[: self.k]
        self.q_vec.stateIncrease()
        x.axpy(1.0, self.q_vec)

    def residual(self, op: PreconditionedOperator, b: PETSc.Vec, x: PETSc.Vec | None) -> float:
        """R ← b − A x, one application, or r ← b where x = None stands for zero. Collective.

        Returns the norm tested; M⁻¹r is in z if that is its norm.
        """
        if x is None:
            b.copy(self.r_vec)
        else:
            op.A.mult(x, self.r_vec)
            op.applications += 1
            self.r_vec.aypx(-1.0, b)
        if not self.preconditioned:
            return float(np.sqrt(self.dot(self.rows[0], self.rows[0])))
        precondition(op, self.r_vec, self.z_vec)
        return float(np.sqrt(self.dot(self.z, self.z)))

    def images(self, op: PreconditionedOperator) -> Iterator[None]:
        """Form A W, one application a step. Collective."""
        for w, aw in zip(self.w_vecs[: self.k], self.aw_vecs, strict=False):
            w.stateIncrease()
            op.A.mult(w, aw)
            op.applications += 1
            yield

    def projection(self, op: PreconditionedOperator) -> Array:
        """G = (A W)ᵀM⁻¹(A W): k applications of M⁻¹, one reduction. Collective; overwrites z."""
        G = np.zeros((self.k, self.k))
        for i, aw in enumerate(self.aw_vecs[: self.k]):
            aw.stateIncrease()
            precondition(op, aw, self.z_vec)
            G[i] = self.rows[1 : 1 + self.k] @ self.z
        return self.sum(G)

    def orthonormalise(self) -> bool:
        """Make WᵀAW = I; dependent directions are dropped, and k with them. Collective.

        Returns:
            Whether anything is left: False if some wᵀAw isn't positive, or not finite.
        """
        for _ in range(PASSES):
            W, AW = self.W[: self.k], self.rows[1 : 1 + self.k]
            gram = self.sum(W @ AW.T)
            if np.abs(gram - np.eye(self.k)).max() <= LOOSE:
                return True
            transform = self.root(functools.partial(_positive_factor, gram))
            if transform is None:
                return False
            self._combine(W, [(transform, W)])
            self._combine(AW, [(transform, AW)])
            self.k = len(transform)
        return True

    def replace(self, Y: Array) -> None:
        """W ← [W V] Y, Y (k + m, k'), in place. Not collective."""
        k, m = self.k, len(Y) - self.k
        parts = [(Y[:k].T, self.W[:k])] if k else []
        self._combine(self.W, [*parts, (Y[k:].T, self.V[:m])])
        self.k = Y.shape[1]

    def compress(self, Y: Array) -> int:
        """V ← V Y with Y (m, m'), and the direction in row m goes to row m', which is returned."""
        m, kept = Y.shape
        self._combine(self.V, [(Y.T, self.V[:m])])
        self.V[kept] = self.V[m]
        return kept

    def _combine(self, out: Array, parts: list[tuple[Array, Array]]) -> None:
        """Rows of `out` ← Σ coefficients · rows, panel by panel: they may be the same memory."""
        count = len(parts[0][0])
        parts = [(np.ascontiguousarray(c), rows) for c, rows in parts]
        for start in range(0, self.n, PANEL):
            columns = slice(start, min(start + PANEL, self.n))
            panel = self._panel[:count, : columns.stop - start]
            (first, rows), *others = parts
            np.matmul(first, rows[:, columns], out=panel)
            for coefficients, rows in others:
                panel += coefficients @ rows[:, columns]
            out[:count, columns] = panel


def precondition(op: PreconditionedOperator, r: PETSc.Vec, z: PETSc.Vec) -> None:
    """Z = M⁻¹r, without the null space attached to A. Collective."""
    op.pc.apply(r, z)
    if op.null_space is not None:
        op.null_space.remove(z)


def _positive_factor(gram: Array) -> Array | None:
    """T (k', k) with T gram Tᵀ = I on the directions of numerical rank; None if not positive."""
    squares = np.diag(gram)
    if not (np.all(np.isfinite(gram)) and np.all(squares > 0.0)):
        return None
    scale = np.sqrt(squares)
    values, vectors = np.linalg.eigh((gram + gram.T) / (2.0 * np.outer(scale, scale)))
    keep = values > RANK * values[-1]
    return vectors[:, keep].T / np.sqrt(values[keep])[:, None] / scale


def layout(vector: PETSc.Vec) -> tuple[int, ...]:
    """What the memory must agree with: global size, own range, size of the communicator."""
    return (vector.getSize(), *vector.getOwnershipRange(), vector.comm.size)
