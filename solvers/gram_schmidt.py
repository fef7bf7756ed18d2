"""Orthogonalisation against [C | V] with one reduction a step."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dgemv

from solvers.basis import Basis

Array = NDArray[np.float64]

EPS = float(np.finfo(float).eps)
# A second pass is made when a vector would be left further from orthogonal or from unit length
# than this. The relation B V = W G holds to rounding whatever the loss: it only blurs residual
# norms. What it does to C is measured and corrected.
LOSS = 1e-7
# A vector shorter than this times its length before orthogonalisation is rounding noise.
NOISE = 1e-14
# A projected residual whose square has shrunk by more than this is projected again.
SHRUNK = 1e-6


class GramSchmidt:
    """Classical Gram–Schmidt for one cycle, one reduction a vector in all but rare cases.

    The norm after the subtraction isn't reduced: it follows from Pythagoras, and the true length of
    a row is measured along with the products of the next one, which divide by its square. The
    lagged norm is that of K. Świrydowicz, J. Langou, S. Ananthan, U. Yang, S. Thomas, Numer. Linear
    Algebra Appl. 28 (2021) e2343; where they orthogonalise every vector twice, we do it when the
    bound `loss` asks for it.

    Attributes:
        E: (k, k) CᵀC − I, measured at the start of the cycle.
        loss: A bound on the inner products of the rows of [C | V], E taken care of.
    """

    def __init__(self, basis: Basis) -> None:
        """Work on the rows of `basis.W`. Not collective."""
        self.basis = basis
        self.loss = 4.0 * EPS
        self.E: Array = np.zeros((0, 0))
        self._correction: Array | None = None
        self._squares: Array = np.ones(basis.width + 1)  # of the lengths of the rows
        self._buffer: Array = np.zeros(basis.width + 2)

    def begin(self, k: int) -> tuple[float, Array, float]:
        """Start a cycle: measure E, put (I − CCᵀ) r into row k. Collective, one reduction.

        Args:
            k: The number of vectors C.

        Returns:
            The largest entry of E (NaN for a spoilt C), Cᵀr (k,), and the norm of row k.
        """
        basis = self.basis
        row = basis.W[k]
        np.copyto(row, basis.r_row)
        sums = np.zeros((k + 1, k + 1))
        np.matmul(basis.W[:k], basis.W[:k].T, out=sums[:k, :k])
        sums[k] = self._products(k)
        basis.sum(sums)
        worst = self._measured(sums[:k, :k])
        products, before = sums[k, :k], float(sums[k, k])
        a = self.corrected(products.copy())
        square = before - float(a @ products)
        basis.combine(-a, 0, row)
        if k and square < SHRUNK * before:
            products = basis.sum(self._products(k))
            again = self.corrected(products[:k].copy())
            square = float(products[k] - again @ products[:k])
            basis.combine(-again, 0, row)
            a += again
        return worst, a, float(np.sqrt(max(square, 0.0)))

    def _measured(self, gram: Array) -> float:
        """Take E from CᵀC. (CᵀC)⁻¹ = I − E + E² to third order."""
        self._correction, self.loss = None, 4.0 * EPS
        self.E = gram - np.eye(len(gram))
        worst = float(np.abs(self.E).max(initial=0.0))
        if worst > 4.0 * EPS:
            self._correction = self.E - self.E @ self.E
            self.loss += len(gram) ** 2 * worst**3
        return worst

    def corrected(self, h: Array) -> Array:
        """(CᵀC)⁻¹ h for the products h with C, in place."""
        if self._correction is not None:
            k = len(self.E)
            h[:k] -= self._correction @ h[:k]
        return h

    def orthogonalise(self, c: int, k: int, h: Array) -> float:
        """Make row c > k of W orthogonal to rows 0 … c−1, and of unit length.

        One pass leaves the new row with products up to (loss·‖h‖ + ε‖w‖)/‖w after‖, and its length
        known to (loss·‖h‖² + ε‖w‖²)/‖w after‖². Where one of them passes LOSS, a second pass is
        made. Collective: one reduction, two with the second pass.

        Args:
            c: The row to orthogonalise.
            k: The number of recycled vectors C among the rows; V starts with row k.
            h: (c,) receives the coefficients.

        Returns:
            The length that the row is divided by; zero if nothing but rounding noise is left, NaN
            if the row isn't finite.
        """
        w, last = self.basis.W[c], self.basis.W[c - 1]
        products = self._buffer[: c + 2]
        products[:-1] = self._products(c)
        products[-1] = last @ last
        self.basis.sum(products)
        before = float(products[c])
        if not before < np.inf:
            return float("nan")
        self._squares[c - 1] = products[-1]
        squares = self._subtract(c, k, products, h)
        after = before - squares
        spread = self.loss * squares**0.5 + EPS * before**0.5
        blur = self.loss * squares + EPS * before
        if spread * spread <= LOSS * LOSS * after and blur <= LOSS * after and after > 0.0:
            norm = after**0.5
        else:
            products[:-1] = self.basis.sum(self._products(c))
            again = np.empty(c)
            squares = self._subtract(c, k, products, again)
            norm = max(float(products[c]) - squares, 0.0) ** 0.5
            h += again
            if norm <= NOISE * before**0.5:
                return 0.0
            spread = self.loss * squares**0.5 + EPS * float(products[c]) ** 0.5
        self.loss = max(self.loss, spread / norm)
        w *= 1.0 / norm
        self.basis.w[c].stateIncrease()
        return norm

    def _products(self, c: int) -> Array:
        """The local products of row c with rows 0 … c, (c + 1,). Not collective."""
        return dgemv(1.0, self.basis.columns[c + 1], self.basis.W[c], trans=1)

    def _subtract(self, c: int, k: int, products: Array, h: Array) -> float:
        """Coefficients h of row c from its products; w ← w − Wᵀh. Returns ‖Wᵀh‖²."""
        np.divide(products[k:c], self._squares[k:c], out=h[k:])
        h[:k] = products[:k]
        self.corrected(h)
        dgemv(-1.0, self.basis.columns[c], h, 1.0, self.basis.W[c], overwrite_y=1)
        return abs(float(h @ products[:c]))
