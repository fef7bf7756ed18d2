"""The dof graph of a finite-element space: who hears whom, and how loudly.

Edges are the non-zeros of the mass matrix M. Every message kernel is a fixed sparse matrix on
these edges; with A = D⁻¹|M|, D_ii = Σ_j |M_ij| (rows sum to 1):

    mean        A_ij                        neighbours' average
    stiffness   K_ij / K_ii                 a discrete Laplacian
    offset d    A_ij (x_j − x_i)_d / h      a discrete derivative along axis d

h = mean of Σ_j A_ij |x_j − x_i|_d over i and d, so that offsets are of order 1. Kernels are edge
features that enter the messages linearly; renumbering the dofs permutes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.csgraph import connected_components

from pipeline.operators.errors import TrainingError

__all__ = ["DofGraph", "dof_graph"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DofGraph:
    """The fixed part of a message-passing processor.

    Attributes:
        mass: (n, n) mass matrix.
        stiffness: (n, n) stiffness matrix.
        free: (n) bool, True where no Dirichlet data fixes the dof.
        kernels: (n, n) message kernels, see the module.
        features: (n, f) what a dof knows of itself: coordinates in [−1, 1], log of its share
            of mass, 1 if it is free.
    """

    mass: csr_matrix
    stiffness: csr_matrix
    free: NDArray[np.bool_]
    kernels: tuple[csr_matrix, ...]
    features: Array


def dof_graph(space: Mapping[str, Any], constrained: NDArray[Any] | None) -> DofGraph:
    """Build the graph from the stored tables of a scalar space.

    Args:
        space: tables of the output's space.
        constrained: (k) its Dirichlet dofs, or None.

    Raises:
        TrainingError: the space isn't scalar, or its dofs fall into unconnected parts.
    """
    mass, stiffness = csr_matrix(space["grams"]["mass"]), csr_matrix(space["grams"]["stiffness"])
    _check(space, mass)
    free = np.ones(mass.shape[0], dtype=bool)
    if constrained is not None:
        free[constrained] = False
    average = diags(1.0 / np.abs(mass).sum(axis=1).A1) @ abs(mass)
    kernels = [csr_matrix(average), csr_matrix(diags(1.0 / stiffness.diagonal()) @ stiffness)]
    features = [np.log(mass.diagonal() / mass.diagonal().mean())[:, None], free[:, None]]
    if "points" in space:
        points = np.asarray(space["points"], dtype=np.float64)
        kernels += _offsets(csr_matrix(average), points)
        features.insert(0, _unit_box(points))
    return DofGraph(mass, stiffness, free, tuple(kernels), np.hstack(features).astype(np.float64))


def _check(space: Mapping[str, Any], mass: csr_matrix) -> None:
    name = f"{space['family']}{space['degree']}"
    if int(space["block_size"]) != 1 or str(space["map_type"]) != "identity":
        raise TrainingError(
            f"output space {name}: SPON learns scalar Lagrange outputs so far; "
            "choose another `train.output`, or leave `train` out of the spec"
        )
    parts, _ = connected_components(mass, directed=False)
    if parts > 1:
        raise TrainingError(
            f"output space {name}: its dofs fall into {parts} parts that share no cell, messages "
            "can't pass between them; SPON needs a continuous output space such as P1"
        )


def _offsets(average: csr_matrix, points: Array) -> list[csr_matrix]:
    edges = average.tocoo()
    offset = points[edges.col] - points[edges.row]
    scale = (edges.data[:, None] * np.abs(offset)).sum() / (points.shape[0] * points.shape[1])
    place = (edges.row, edges.col)
    return [
        csr_matrix((edges.data * offset[:, d] / scale, place), shape=edges.shape)
        for d in range(points.shape[1])
    ]


def _unit_box(points: Array) -> Array:
    """Centre the points and scale all axes alike into [−1, 1]."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (2 * points - low - high) / (high - low).max()
