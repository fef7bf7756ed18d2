"""The dof nodes of a finite-element space, and how values at them become coefficients.

A node is where a processor speaks. Spaces with scalar basis functions (P, DG, CR, MINI and their
blocks) have a node for each of them, and a value there is the coefficient. Raviart–Thomas, BDM
and Nédélec spaces have a node for each mesh entity with dofs; what a network says there is a
polynomial vector field near the entity, w(x) = Σ_m w_m p_m((x − x_e)/h) e_c, and the
coefficients of the entity's dofs are those of its interpolant:

    α_i = ℓ_i(w) = Σ_m F_im w_m,    F from the stored interpolation matrix.

The orientation of a dof is in F alone, so networks see and say nothing of it: flipping or
transforming dofs transforms the prediction in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, identity

from storage.elements import StoredElement

__all__ = ["SpaceNodes", "space_nodes", "vertex_nodes"]

Array = NDArray[np.float64]
FULL = ("BDM", "N2E")
"""Families of degree k that hold all polynomials of degree k; RT and N1E hold those of k − 1."""


@dataclass(frozen=True, eq=False)
class SpaceNodes:
    """Nodes of a space.

    Attributes:
        points: (n, gdim) where they are.
        cells: (nc, k) nodes of each cell.
        matrix: (dim, n·components) coefficients from values (n, components) at the nodes.
        components: values at a node.
    """

    points: Array
    cells: NDArray[np.int64]
    matrix: csr_matrix
    components: int


def space_nodes(mesh: Mapping[str, Any], space: Mapping[str, Any]) -> SpaceNodes:
    """Find the nodes of a stored space."""
    if str(space["map_type"]) == "identity":
        block, dim = int(space["block_size"]), int(space["dim"])
        cells = np.asarray(space["dofmap"], dtype=np.int64)
        points = _points(mesh, space, cells)
        return SpaceNodes(points, cells, identity(dim, format="csr"), block)
    points, sizes, cells, owner = _entities(mesh, space)
    degree = int(space["degree"])
    frame = _frame(space, points, sizes, owner, degree if space["family"] in FULL else degree - 1)
    return SpaceNodes(points, cells, *frame)


def vertex_nodes(mesh: Mapping[str, Any]) -> SpaceNodes:
    """The vertices of a mesh, with one value each."""
    points = np.asarray(mesh["points"], dtype=np.float64)
    cells = np.asarray(mesh["cells"], dtype=np.int64)
    return SpaceNodes(points, cells, identity(len(points), format="csr"), 1)


def _points(mesh: Mapping[str, Any], space: Mapping[str, Any], cells: NDArray[np.int64]) -> Array:
    """Where the dofs are: stored for point values, else the middle of their entity."""
    if "points" in space:
        return np.asarray(space["points"], dtype=np.float64)
    corners = np.asarray(mesh["points"])[np.asarray(mesh["cells"])]
    points = np.zeros((int(cells.max()) + 1, corners.shape[2]))
    for where, nodes in StoredElement(space).entities():
        points[cells[:, list(nodes)]] = corners[:, list(where)].mean(axis=1)[:, None]
    return points


def _entities(
    mesh: Mapping[str, Any], space: Mapping[str, Any]
) -> tuple[Array, Array, NDArray[np.int64], NDArray[np.int64]]:
    """Middles (n, gdim), diameters (n), nodes of cells (nc, k), and the node of each dof (dim)."""
    vertices, dofmap = np.asarray(mesh["cells"]), np.asarray(space["dofmap"])
    entities = StoredElement(space).entities()
    width = max(len(where) for where, _ in entities)
    keys = np.full((len(vertices), len(entities), width), -1, dtype=np.int64)
    for j, (where, _) in enumerate(entities):
        keys[:, j, : len(where)] = np.sort(vertices[:, list(where)], axis=1)
    known, cells = np.unique(keys.reshape(-1, width), axis=0, return_inverse=True)
    cells = cells.reshape(keys.shape[:2])
    owner = np.empty(int(space["dim"]), dtype=np.int64)
    for j, (_, dofs) in enumerate(entities):
        owner[dofmap[:, list(dofs)]] = cells[:, j, None]
    corners = np.asarray(mesh["points"], dtype=np.float64)[known]
    count = (known >= 0).sum(axis=1)
    corners[known < 0] = 0.0
    middles = corners.sum(axis=1) / count[:, None]
    reach = np.linalg.norm(corners - middles[:, None], axis=2) * (known >= 0)
    return middles, 2 * reach.max(axis=1), cells, owner


def _frame(
    space: Mapping[str, Any], points: Array, sizes: Array, owner: NDArray[np.int64], degree: int
) -> tuple[csr_matrix, int]:
    """F (dim, n·m) and m; w = 1 is a field of size 1, so F doesn't depend on orientations."""
    table = coo_matrix(space["interpolation"]["matrix"])
    x, gdim = np.asarray(space["interpolation"]["points"]), points.shape[1]
    dof, where, axis = table.row, table.col // gdim, table.col % gdim
    node = owner[dof]
    local = (x[where] - points[node]) / sizes[node, None]
    powers = [p for p in product(range(degree + 1), repeat=gdim) if sum(p) <= degree]
    powers.sort(key=sum)
    m = len(powers) * gdim
    columns = [node * m + j * gdim + axis for j in range(len(powers))]
    values = [table.data * np.prod(local ** np.array(p), axis=1) for p in powers]
    place = (np.tile(dof, len(powers)), np.concatenate(columns))
    frame = csr_matrix(
        coo_matrix((np.concatenate(values), place), shape=(int(space["dim"]), len(points) * m))
    )
    return frame, m
