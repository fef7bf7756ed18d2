"""The recycled space of GCRO-DR: U and C = B U, formed for a new operator, renewed by a cycle."""

import functools

import numpy as np
from numpy.typing import NDArray

from solvers.basis import Basis
from solvers.harmonic import Cycle, harmonic_ritz

Array = NDArray[np.float64]

# Singular values of the scaled A·U below this times the largest are dependent directions.
RANK = 1e-7
# Rows of the block updated at once: 60 columns of them stay in a cache of half a megabyte.
PANEL = 1024


class RecycledSpace:
    """The vectors U and, while the operator is the same, C = B U with CᵀC = I.

    They lie in a Basis: U in its block U, C in the first rows of W.

    Attributes:
        k: The number of vectors.
        CtU: (k, k) products CᵀU.
    """

    def __init__(self) -> None:
        """An empty space. Not collective."""
        self.k = 0
        self.CtU: Array = np.zeros((0, 0))
        self._panels: Array = np.zeros((2, 0, PANEL))

    def clear(self) -> None:
        """Forget the vectors. Not collective."""
        self.k, self.CtU = 0, np.zeros((0, 0))

    def orthonormalise(self, basis: Basis) -> None:
        """Make C of the images B U that are in its place; dependent directions go. Collective.

        What is left is empty if the images hold NaN or Inf.
        """
        self.k = orthonormalise(basis, self.k)
        self.CtU = basis.products(basis.W[: self.k], basis.U[: self.k])
        if not np.all(np.isfinite(self.CtU)):
            self.clear()

    def renew(self, basis: Basis, cycle: Cycle, E: Array, wanted: int) -> None:
        """U and C of the `wanted` smallest harmonic Ritz values of a cycle. Collective.

        E = CᵀC − I isn't passed on to the new C: the cycle is seen as one with C T and U T,
        T = (I + E)^(−1/2) to third order.

        Args:
            basis: Holds U, C and V of the cycle.
            cycle: The relation between them.
            E: (k, k), as measured at the start of the cycle.
            wanted: The number of vectors to keep; one more if a complex pair would be cut.
        """
        k = self.k
        VtU = basis.products(basis.W[k : k + cycle.H.shape[0]], basis.U[:k])
        T = np.eye(k) - 0.5 * E + 0.375 * (E @ E)
        inverse = np.eye(k) + 0.5 * E - 0.125 * (E @ E)
        straight = cycle._replace(B=inverse @ cycle.B)
        space = basis.root(
            lambda: harmonic_ritz(straight, T @ self.CtU @ T, VtU @ T, wanted),
        )
        if space is not None:
            P, Q, self.CtU = space
            P[:k], Q[:k] = T @ P[:k], T @ Q[:k]
            self._replace(basis, P, Q)
            self.k = P.shape[1]

    def _replace(self, basis: Basis, P: Array, Q: Array) -> None:
        """U ← [U V] P and C ← [C V] Q, panel by panel in place. Not collective."""
        k, (p, new), q = self.k, P.shape, Q.shape[0]
        U, W = basis.U, basis.W
        PU, PV, QT = (np.ascontiguousarray(a.T) for a in (P[:k], P[k:], Q))
        if self._panels.shape[1] < new:
            self._panels = np.empty((2, new, PANEL))
        u_block, c_block = self._panels[0, :new], self._panels[1, :new]
        for start in range(0, basis.n, PANEL):
            rows = slice(start, min(start + PANEL, basis.n))
            size = rows.stop - start
            u = np.matmul(PV, W[k:p, rows], out=u_block[:, :size])
            if k:
                u += np.matmul(PU, U[:k, rows], out=c_block[:, :size])
            c = np.matmul(QT, W[:q, rows], out=c_block[:, :size])
            U[:new, rows] = u
            W[:new, rows] = c


def orthonormalise(basis: Basis, k: int) -> int:
    """Turn C = A U (k rows of W and U) into orthonormal C with A U = C; drop dependent directions.

    Singular value QR of the scaled Gram matrix (Stathopoulos & Wu, SIAM J. Sci. Comput. 23
    (2002) 2165), repeated until C is orthonormal: one reduction a pass. Collective.

    Returns:
        The number of vectors kept; 0 if the block holds NaN or Inf, or doesn't settle.
    """
    for _ in range(4):
        C, U = basis.W[:k], basis.U[:k]
        gram = basis.products(C, C)
        if not np.all(np.isfinite(gram)):
            return 0
        if np.abs(gram - np.eye(k)).max(initial=0.0) < 1e-13:
            return k
        transform = basis.root(functools.partial(_singular_value_factor, gram))
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
