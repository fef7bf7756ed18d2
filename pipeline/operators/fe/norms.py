"""Norms of finite-element spaces through their Gram matrices, in float64.

‖e‖²_L2 = eᵀMe. The graph norm ‖e‖² = eᵀ(M + K)e is H1 for continuous Lagrange spaces, H(div) for
Raviart–Thomas and BDM, H(curl) for Nédélec spaces, and L2 for constants in each cell: K is
what the data set stores beside M. Over time steps, squares are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from pipeline.operators.errors import TrainingError

__all__ = ["NORMS", "gram", "graph_norm", "norm", "relative_errors"]

Array = NDArray[np.float64]
NORMS = ("l2", "graph")
GRAPH = {"identity": "h1", "contravariantPiola": "hdiv", "covariantPiola": "hcurl"}


def graph_norm(space: Mapping[str, Any]) -> str:
    """Which norm eᵀ(M + K)e is: `h1`, `hdiv`, `hcurl`, or `l2` where K = 0."""
    stiffness = csr_matrix(space["grams"]["stiffness"])
    if not np.any(stiffness.data):
        return "l2"
    return "broken h1" if space["discontinuous"] else GRAPH[str(space["map_type"])]


def gram(space: Mapping[str, Any], name: str) -> csr_matrix:
    """Return the Gram matrix (dim, dim) of a norm from a space's tables.

    Args:
        space: its tables.
        name: `l2`, `graph`, or the graph norm by its own name, `h1`, `hdiv` or `hcurl`.

    Raises:
        TrainingError: the space has no such norm.
    """
    mass = csr_matrix(space["grams"]["mass"])
    if name == "l2":
        return mass
    if name != "graph" and name != (known := graph_norm(space)):
        raise TrainingError(
            f"norm {name!r}: that of space {space['family']}{space['degree']} beside l2 is "
            f"{known}; use graph, which is each space's own"
        )
    return csr_matrix(mass + space["grams"]["stiffness"])


def norm(matrix: csr_matrix, values: Array) -> Array:
    """Return ‖v‖ = √(Σ_t v_tᵀGv_t) of `values` (B, dim) or (B, T, dim): (B)."""
    values = np.asarray(values, dtype=np.float64)
    flat = values.reshape(-1, values.shape[-1])
    squares = np.einsum("ij,ji->i", flat, matrix @ flat.T).reshape(len(values), -1).sum(axis=1)
    return np.sqrt(np.maximum(squares, 0.0))


def relative_errors(matrix: csr_matrix, predicted: Array, truth: Array) -> Array:
    """Return ‖u_θ − u‖ / ‖u‖ of every sample: (B). A zero truth gives the absolute norm."""
    size = norm(matrix, truth)
    return norm(matrix, np.asarray(predicted, np.float64) - truth) / np.where(size > 0, size, 1.0)
