"""Where a processor works: the dof nodes of the output spaces, or the points of a regular grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, identity
from scipy.sparse.csgraph import connected_components

from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.evaluation import evaluation_matrix, interpolation
from pipeline.operators.fe.nodes import SpaceNodes, space_nodes, vertex_nodes

__all__ = ["DofPlaces", "GridPlaces", "Places", "adjacency", "dof_places", "grid_places"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DofPlaces:
    """Nodes of all output spaces, those of one space after the other.

    Attributes:
        points: (n, gdim).
        features: (n, f) what a place knows of itself: coordinates in [−1, 1], and which nodes it
            belongs to where there are several kinds.
        cells: (nc, k) the places in each cell.
        edges: (2, E) pairs of different places that share a cell, both directions.
        mesh: tables of the mesh.
        groups: name of a set of nodes → (first place, its nodes).
    """

    points: Array
    features: Array
    cells: NDArray[np.int64]
    edges: NDArray[np.int64]
    mesh: Mapping[str, Any]
    groups: Mapping[str, tuple[int, SpaceNodes]]
    shape: None = None

    def values(self, space: Mapping[str, Any]) -> csr_matrix:
        """Return E (n·v, dim): values of a function of `space` at the places."""
        return evaluation_matrix(self.mesh, space, self.points, self.cells)

    def holds(self, space: Mapping[str, Any]) -> bool:
        """Whether the nodes of `space` are among the places."""
        return _group(space) in self.groups

    def coefficients(self, space: Mapping[str, Any]) -> tuple[csr_matrix, int]:
        """Return D (dim, n·v) and v: coefficients from v values at each place."""
        first, nodes = self.groups[_group(space)]
        if str(space["map_type"]) == "identity":
            v, matrix = int(space["block_size"]), identity(int(space["dim"]), format="csr")
        else:
            v, matrix = nodes.components, nodes.matrix
        own = coo_matrix(matrix)
        shape = (matrix.shape[0], len(self.points) * v)
        return csr_matrix(coo_matrix((own.data, (own.row, own.col + first * v)), shape=shape)), v


@dataclass(frozen=True, eq=False)
class GridPlaces:
    """Points of the regular grid that the data set stores evaluation matrices for.

    Attributes:
        points: (n, gdim) in C order of `shape`.
        features: (n, gdim) coordinates in [−1, 1].
        shape: of the grid.
        edges: (2, 0), none.
    """

    points: Array
    features: Array
    shape: tuple[int, ...]
    edges: NDArray[np.int64]

    def values(self, space: Mapping[str, Any]) -> csr_matrix:
        """Return E (n·v, dim): values at the points, 0 outside of the mesh."""
        return csr_matrix(space["grid"]["matrix"])

    def coefficients(self, space: Mapping[str, Any]) -> tuple[csr_matrix, int]:
        """Return D (dim, n·v) and v: coefficients of the interpolant of the grid's function.

        It is multilinear between the grid's points, and is interpolated into the space.
        """
        where, matrix = interpolation(space)
        v = matrix.shape[1] // len(where)
        return csr_matrix(matrix @ _blocked(_multilinear(where, self.points, self.shape), v)), v


type Places = DofPlaces | GridPlaces


def dof_places(mesh: Mapping[str, Any], spaces: Sequence[Mapping[str, Any]]) -> DofPlaces:
    """Put the nodes of some spaces together; vertices join them where they are not connected."""
    found = {_group(space): space_nodes(mesh, space) for space in spaces}
    every = list(found.items())
    if connected_components(_incidence([nodes for _, nodes in every]))[0] > 1:
        every.append(("vertices", vertex_nodes(mesh)))
    starts = np.cumsum([0, *(len(nodes.points) for _, nodes in every)])
    points = np.concatenate([nodes.points for _, nodes in every])
    cells = np.hstack([nodes.cells + s for (_, nodes), s in zip(every, starts, strict=False)])
    features = [unit_box(points)]
    if len(every) > 1:
        kind = np.repeat(np.arange(len(every)), np.diff(starts))
        features.append(np.eye(len(every))[kind])
    groups = {name: (int(s), nodes) for (name, nodes), s in zip(every, starts, strict=False)}
    graph = adjacency(cells, len(points)).tocoo()
    apart = graph.row != graph.col
    edges = np.stack([graph.row[apart], graph.col[apart]]).astype(np.int64)
    return DofPlaces(points, np.hstack(features), cells, edges, mesh, groups)


def grid_places(spaces: Sequence[Mapping[str, Any]]) -> GridPlaces:
    """The grid of some spaces.

    Raises:
        TrainingError: a space has no grid tables.
    """
    for space in spaces:
        if "grid" not in space:
            raise TrainingError(
                f"space {space['family']}{space['degree']} has no evaluation matrix to a grid; "
                "operators on grids can't read it, use one on dofs such as spon"
            )
    grid = spaces[0]["grid"]
    points = np.asarray(grid["points"], dtype=np.float64)
    shape = tuple(int(n) for n in np.asarray(grid["shape"]))
    return GridPlaces(points, unit_box(points), shape, np.zeros((2, 0), np.int64))


def adjacency(cells: NDArray[np.int64], n: int, weight: Array | None = None) -> csr_matrix:
    """Return A (n, n), A_ij = Σ of the weights (1 by default) of the cells with both i and j."""
    count, k = cells.shape
    weight = np.ones(count) if weight is None else weight
    incidence = csr_matrix(
        (np.ones(cells.size), (np.repeat(np.arange(count), k), cells.ravel())), shape=(count, n)
    )
    return csr_matrix(incidence.T @ incidence.multiply(weight[:, None]).tocsr())


def unit_box(points: Array) -> Array:
    """Centre the points and scale all axes alike into [−1, 1]."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (2 * points - low - high) / (high - low).max()


def _group(space: Mapping[str, Any]) -> str:
    """Spaces with the same nodes have the same group: blocks don't count."""
    kind = "discontinuous " if space["discontinuous"] else ""
    return f"{kind}{space['family']}{space['degree']}"


def _incidence(nodes: Sequence[SpaceNodes]) -> csr_matrix:
    starts = np.cumsum([0, *(len(item.points) for item in nodes)])
    cells = np.hstack([item.cells + s for item, s in zip(nodes, starts, strict=False)])
    return adjacency(cells, int(starts[-1]))


def _blocked(matrix: csr_matrix, v: int) -> csr_matrix:
    """The same map for each of v interleaved components."""
    table = coo_matrix(matrix)
    rows = (table.row[:, None] * v + np.arange(v)).ravel()
    columns = (table.col[:, None] * v + np.arange(v)).ravel()
    shape = (matrix.shape[0] * v, matrix.shape[1] * v)
    return csr_matrix(coo_matrix((np.repeat(table.data, v), (rows, columns)), shape=shape))


def _multilinear(where: Array, points: Array, shape: tuple[int, ...]) -> csr_matrix:
    """Weights (len(where), n) of a grid's points in the multilinear interpolant."""
    low, high = points.min(axis=0), points.max(axis=0)
    steps = np.maximum(np.array(shape) - 1, 1)
    t = np.clip((where - low) / (high - low), 0, 1) * steps
    cell = np.minimum(t.astype(np.int64), steps - 1)
    local = t - cell
    rows, columns, entries = [], [], []
    for corner in product((0, 1), repeat=len(shape)):
        at = np.array(corner)
        weight = np.prod(np.where(at, local, 1 - local), axis=1)
        columns.append(np.ravel_multi_index(tuple(np.minimum(cell + at, steps).T), shape))
        rows.append(np.arange(len(where)))
        entries.append(weight)
    place = (np.concatenate(rows), np.concatenate(columns))
    size = (len(where), len(points))
    matrix = csr_matrix(coo_matrix((np.concatenate(entries), place), shape=size))
    matrix.eliminate_zeros()
    return matrix
