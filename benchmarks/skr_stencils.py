"""Random fields and five-point matrices of the SKR paper and of its released code."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["STD", "divergence_form", "random_field", "released"]

Array = NDArray[np.float64]

ALPHA, TAU = 2.5, 7.0  # of the paper's Gaussian field
STD = 0.1852
"""Standard deviation of that field on fine grids."""


def random_field(noise: NDArray[np.complex128]) -> Array:
    """The paper's periodic Gaussian field on a grid of the unit square, from white noise.

    Its coefficients are √2 s² τ^(α−1) (4π²|k|² + τ²)^(−α/2) z with α = 2.5, τ = 7, E|z|² = 1, and
    no mean; the standard deviation is 0.19, so exp of it is mostly within 0.53 … 2.

    Args:
        noise: (s, s), complex, E|z|² = 1.

    Returns:
        (s, s) real values.
    """
    s = len(noise)
    k = np.fft.fftfreq(s, 1.0 / s)
    squares = k[:, None] ** 2 + k[None, :] ** 2
    root = (
        np.sqrt(2.0) * s**2 * TAU ** (ALPHA - 1) * (4 * np.pi**2 * squares + TAU**2) ** (-ALPHA / 2)
    )
    root[0, 0] = 0.0
    return np.fft.ifft2(root * noise).real


def released(a: Array, shift: Array | float = 0.0) -> sp.csr_matrix:
    """The released code's matrix of a field with its border; `shift` is subtracted on the diagonal.

    Row i has 4 a_i on the diagonal and −a_j for each neighbour j, with the *neighbour's*
    coefficient: −Δ(a u), which is not −∇·(a∇u) and not symmetric. The northern neighbour's is
    taken from two places to the west of it (an index is off by 2). The rows have no sign: the
    matrix is indefinite.

    Args:
        a: (m + 2, m + 2) positive values.
        shift: h² k² in the released Helmholtz code, with one k in (0, 1) a system: next to nothing.

    Returns:
        (m², m²).
    """
    m = len(a) - 2
    inner, n = a[1:-1, 1:-1], m * m
    east, west = a[1:-1, 2:].copy(), a[1:-1, :-2].copy()
    east[:, -1] = west[:, 0] = 0.0
    north, south = a[:-2, 1:-1].ravel(), a[2:, 1:-1].ravel()
    return sp.diags_array(
        [
            4.0 * inner.ravel() - shift,
            -west.ravel()[1:],
            -east.ravel()[:-1],
            -north[m - 2 : n - 2],  # [m : n] would be right
            -south[: n - m],
        ],
        offsets=[0, -1, 1, -m, m],
        format="csr",
    )


def divergence_form(a: Array) -> sp.csr_matrix:
    """−h² ∇·(a∇u), u = 0 on the border: five points, harmonic means on the faces.

    Args:
        a: (m + 2, m + 2) positive values at the nodes, the border's included.

    Returns:
        (m², m²), symmetric and positive definite.
    """
    m = len(a) - 2
    across = 2.0 * a[1:-1, 1:] * a[1:-1, :-1] / (a[1:-1, 1:] + a[1:-1, :-1])  # (m, m + 1)
    down = 2.0 * a[1:, 1:-1] * a[:-1, 1:-1] / (a[1:, 1:-1] + a[:-1, 1:-1])  # (m + 1, m)
    diagonal = across[:, 1:] + across[:, :-1] + down[1:] + down[:-1]
    beside = across[:, 1:].copy()
    beside[:, -1] = 0.0  # the last of a row and the first of the next are no neighbours
    sides = [-beside.ravel()[:-1], -down[1:-1].ravel()]
    return sp.diags_array(
        [diagonal.ravel(), sides[0], sides[0], sides[1], sides[1]],
        offsets=[0, 1, -1, m, -m],
        format="csr",
    )
