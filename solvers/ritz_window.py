"""Harmonic Ritz vectors of M⁻¹A from a window of CG directions, without inner products."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Ritz values at or below this times the largest are rounding: the vector is no use.
NOISE = 1e-14


class RitzWindow:
    """The projection T = ZᵀA M⁻¹A Z on Z = [W | V], ZᵀAZ = I, of a deflated CG iteration.

    W are the k deflated vectors, V the scaled directions v_j = p_j/√d_j, d_j = p_jᵀA p_j. The
    eigenpairs of T are the harmonic Ritz pairs of M⁻¹A (Saad et al., SIAM J. Sci. Comput. 21 (2000)
    1909, section 5: G y = θ F y, here with F = I). From z_j = p_j − β_j p_{j−1} + W μ_j and
    M⁻¹A p_j = (z_j − z_{j+1})/α_j all entries but those of W itself are the scalars of CG::

        T_jj = (1 + β_{j+1})/α_j      T_{j+1,j} = −√(d_{j+1}/d_j)/α_j
        T_{W,j} = (μ_j − μ_{j+1})/(α_j √d_j)

    Without W a full window can be compressed to the Ritz vectors wanted, as in eigCG (Stathopoulos
    & Orginos, SIAM J. Sci. Comput. 32 (2010) 439) and thick-restart Lanczos: the last direction
    alone is coupled to the next one, so the kept vectors are coupled to it by one row.

    Not collective; holds small arrays only.

    Attributes:
        size: Vectors in V now, at most `window`.
    """

    def __init__(self, recycle: int, window: int) -> None:
        """Make room for `recycle` vectors W and `window` directions."""
        self.window = window
        self._T: Array = np.zeros((recycle + window, recycle + window))
        self._d, self._alpha, self._beta = np.zeros((3, window + 1))
        self._mu: Array = np.zeros((window + 1, recycle))
        self.size = self._kept = self._k = 0
        self._tail: Array = np.zeros(0)

    @property
    def full(self) -> bool:
        """Whether `compress` has to come before the next `note`."""
        return self.size == self.window

    def begin(self, G: Array) -> None:
        """Start a solve with G = WᵀA M⁻¹A W (k, k)."""
        self._k = k = len(G)
        self.size = self._kept = 0
        self._T[:k, :k] = G
        self._tail = np.zeros(0)

    def first(self, mu: Array) -> None:
        """Note μ₀ = WᵀA z₀ (k,), before the first direction."""
        self._mu[0, : self._k] = mu

    def note(self, d: float, alpha: float, beta: float, mu: Array) -> None:
        """Add the direction p_j: d_j, α_j, β_{j+1} and μ_{j+1} (k,)."""
        j = self.size
        self._d[j], self._alpha[j], self._beta[j] = d, alpha, beta
        self._mu[j + 1, : self._k] = mu
        self.size = j + 1

    def vectors(self, count: int) -> Array:
        """The smallest harmonic Ritz vectors [W | p₀ …] Y, A-orthonormal.

        Returns:
            Y (k + size, c), c ≤ `count`.

        Raises:
            numpy.linalg.LinAlgError: LAPACK found no eigenvalues, or T isn't finite.
        """
        theta, Y = np.linalg.eigh(self._assembled())
        first = int(np.searchsorted(theta, NOISE * theta[-1], side="right"))
        Y[self._k :] *= self._scale()[:, None]
        return Y[:, first : first + count]

    def compression(self, count: int) -> Array:
        """The `count` smallest Ritz vectors of a full window, where there is no W.

        Returns:
            Y (size, count) for the raw directions: V ← [p₀ …] Y.

        Raises:
            numpy.linalg.LinAlgError: As `vectors`.
        """
        return self._scale()[:, None] * np.linalg.eigh(self._assembled())[1][:, :count]

    def compress(self, raw: Array) -> None:
        """Take note that V has become [p₀ …] Y, Y from `compression`."""
        Y, last = raw / self._scale()[:, None], self.size - 1
        kept = Y.shape[1]
        self._T[:kept, :kept] = Y.T @ self._assembled() @ Y
        self._tail = -Y[-1] / (self._alpha[last] * self._d[last] ** 0.5)
        self.size = self._kept = kept

    def _scale(self) -> Array:
        """1/√d_j of the raw directions; the kept vectors are A-orthonormal already."""
        scale = np.ones(self.size)
        scale[self._kept :] = self._d[self._kept : self.size] ** -0.5
        return scale

    def _assembled(self) -> Array:
        """T of what has been noted so far, (k + size, k + size)."""
        k, kept, m = self._k, self._kept, self.size
        new = slice(k + kept, k + m)
        T = self._T[: k + m, : k + m].copy()
        T[new, :] = T[:, new] = 0.0
        d, alpha, beta = (a[kept:m] for a in (self._d, self._alpha, self._beta))
        off = -np.sqrt(d[1:] / d[:-1]) / alpha[:-1]
        T[new, new] = np.diag((1.0 + beta) / alpha) + np.diag(off, 1) + np.diag(off, -1)
        mu = self._mu[kept : m + 1, :k]
        T[:k, new] = ((mu[:-1] - mu[1:]) / (alpha * np.sqrt(d))[:, None]).T
        if kept and m > kept:
            T[k : k + kept, k + kept] = np.sqrt(d[0]) * self._tail
        upper = np.triu(T)
        T = upper + np.triu(upper, 1).T
        if not np.all(np.isfinite(T)):
            raise np.linalg.LinAlgError("the projection is not finite")
        return T


def checked_sizes(recycle: int, window: int) -> tuple[int, int]:
    """Return both if a window can hold the vectors kept and two directions. Raises ValueError."""
    if recycle < 0:
        raise ValueError(f"DeflatedCG got recycle={recycle}: take 0 (plain CG) or more")
    if window < recycle + 2:
        raise ValueError(
            f"DeflatedCG got window={window} with recycle={recycle}: it needs room for two "
            f"directions beside the vectors kept, take at least {recycle + 2}"
        )
    return recycle, window
