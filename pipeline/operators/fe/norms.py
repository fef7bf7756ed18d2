"""Errors in the norms of the finite-element space, through its Gram matrices, in float64.

‖e‖²_L2 = eᵀMe and ‖e‖²_H1 = eᵀ(M + K)e for the coefficients e.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

__all__ = ["gram", "norm", "relative_errors"]

Array = NDArray[np.float64]
NORMS = ("l2", "h1")


def gram(space: Mapping[str, Any], name: str) -> csr_matrix:
    """Return the Gram matrix (dim, dim) of the norm `l2` or `h1` from a space's tables.

    Raises:
        ValueError: there is no such norm.
    """
    if name not in NORMS:
        raise ValueError(f"norm {name!r}: expected one of {', '.join(NORMS)}")
    mass = csr_matrix(space["grams"]["mass"])
    return mass if name == "l2" else csr_matrix(mass + space["grams"]["stiffness"])


def norm(matrix: csr_matrix, values: Array) -> Array:
    """Return ‖v‖ = √(vᵀGv) of every row v of `values` (n, dim): (n)."""
    values = np.asarray(values, dtype=np.float64)
    squares = np.einsum("ij,ji->i", values, matrix @ values.T)
    return np.sqrt(np.maximum(squares, 0.0))


def relative_errors(matrix: csr_matrix, predicted: Array, truth: Array) -> Array:
    """Return ‖u_θ − u‖ / ‖u‖ of every row: (n). A zero truth gives the absolute norm."""
    size = norm(matrix, truth)
    return norm(matrix, np.asarray(predicted, np.float64) - truth) / np.where(size > 0, size, 1.0)
