"""What to draw finite-element functions on, from stored tables only.

Every cell is drawn by itself, so jumps between cells show: cut into m² triangles (a square into
2m²) whose corners are known by their cell and reference point. In one dimension cells are cut
into segments; in three, a grid in a plane normal to an axis is drawn, without its points outside
of the mesh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.elements import shape_functions
from storage.function import StoredFunction

__all__ = ["Drawing", "Plane", "drawing", "inner_cells", "middle_plane", "on_boundary", "outline"]

type Array = NDArray[np.float64]
type Index = NDArray[np.int64]

ENOUGH = 12_000  # triangles that fill a small picture; finer meshes are not cut further
MOST_CUTS = 8
EDGES = {
    "triangle": ((1, 2), (0, 2), (0, 1)),
    "quadrilateral": ((0, 1), (0, 2), (1, 3), (2, 3)),
}  # corners of a cell's edges, as Basix numbers them
CORNERS = {"triangle": ((0, 0), (1, 0), (0, 1)), "quadrilateral": ((0, 0), (1, 0), (0, 1), (1, 1))}
SLICE = 97  # grid points along the longer side of a slice: odd, so that symmetry planes are met


@dataclass(frozen=True)
class Plane:
    """A plane normal to a coordinate axis, for slices of what is in three dimensions.

    Attributes:
        axis: of its normal: 0, 1 or 2.
        at: where it cuts the bounding box of the mesh, from 0 to 1.
    """

    axis: int
    at: float = 0.5

    @property
    def axes(self) -> tuple[int, ...]:
        """The two coordinates in the plane."""
        return tuple(axis for axis in range(3) if axis != self.axis)


@dataclass(frozen=True, eq=False)
class Drawing:
    """How to draw the functions of a space.

    Attributes:
        points: (p, 2) of the triangles' corners; of the ends of segments, (p, 1) in one dimension.
        triangles: (t, 3) corners of triangles, (t, 2) of segments.
        axes: which coordinates `points` are, the two of the plane for a slice.
        cells: (p) stored cell of each point.
        reference: (p, tdim) where in the cell it is.
        mesh: the stored mesh.
        space: the stored space.
    """

    points: Array
    triangles: Index
    axes: tuple[int, ...]
    cells: Index
    reference: Array
    mesh: Mapping[str, Any]
    space: Mapping[str, Any]

    def values(self, coefficients: Array) -> Array:
        """Return the values (p, v) of the function with these coefficients (dim) at `points`."""
        function = StoredFunction(self.mesh, self.space, coefficients)
        return function.evaluate(self.cells, self.reference)

    @cached_property
    def size(self) -> tuple[float, float]:
        """Width and height of what is drawn; a curve is as high as it is wide."""
        extent = np.ptp(self.points, axis=0)
        return float(extent[0]), float(extent[-1])


def drawing(
    mesh: Mapping[str, Any], space: Mapping[str, Any], plane: Plane | None = None
) -> Drawing | None:
    """Return how to draw the functions of a space; None for a surface or curve in space.

    Args:
        mesh: the stored mesh, its `points` moved where a sample has a geometry of its own.
        space: the stored space, of any element and value shape.
        plane: which slice is drawn in three dimensions; by default the `middle_plane`.
    """
    if int(mesh["gdim"]) != int(mesh["tdim"]):
        return None
    if int(mesh["gdim"]) == 3:
        return _slice(mesh, space, plane or middle_plane(mesh))
    kind, cells = str(mesh["cell_type"]), np.asarray(mesh["cells"], dtype=np.int64)
    local, simplices = _cut(kind, _cuts(kind, len(cells), space))
    count, corners = len(cells), len(local)
    x = np.einsum("pk,ckg->cpg", shape_functions(kind, local)[0], np.asarray(mesh["points"])[cells])
    number = np.arange(count)[:, None, None] * corners + simplices
    return Drawing(
        x.reshape(count * corners, -1),
        number.reshape(-1, simplices.shape[1]),
        tuple(range(x.shape[-1])),
        np.repeat(np.arange(count), corners),
        np.tile(local, (count, 1)),
        mesh,
        space,
    )


def outline(mesh: Mapping[str, Any], space: Mapping[str, Any]) -> Drawing:
    """Return how to draw functions on the boundary of a plane mesh alone, as segments."""
    kind, cells = str(mesh["cell_type"]), np.asarray(mesh["cells"], dtype=np.int64)
    owner, edge = _boundary(kind, cells)
    ends = np.array(CORNERS[kind], dtype=float)[np.array(EDGES[kind])[edge]]
    parts = max(1, 2 * int(space["degree"]))
    along = np.linspace(0.0, 1.0, parts + 1)[:, None]
    reference = (ends[:, :1] + along * (ends[:, 1:] - ends[:, :1])).reshape(-1, 2)
    owner = np.repeat(owner, parts + 1)
    vertices = np.asarray(mesh["points"])[cells[owner]]
    points = np.einsum("pk,pkg->pg", shape_functions(kind, reference)[0], vertices)
    segments = np.arange(len(edge))[:, None, None] * (parts + 1) + _pairs(parts)
    return Drawing(points, segments.reshape(-1, 2), (0, 1), owner, reference, mesh, space)


def inner_cells(mesh: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return which cells (nc) of a plane mesh have no vertex on its boundary."""
    kind, cells = str(mesh["cell_type"]), np.asarray(mesh["cells"], dtype=np.int64)
    owner, edge = _boundary(kind, cells)
    touched = np.zeros(len(mesh["points"]), dtype=bool)
    touched[cells[owner[:, None], np.array(EDGES[kind])[edge]]] = True
    return ~touched[cells].any(axis=1)


def on_boundary(how: Drawing, values: Array) -> bool:
    """Whether a function with these values (p, v) is zero but at the boundary of a plane domain."""
    if len(how.axes) != 2 or int(how.mesh["gdim"]) != 2:
        return False
    inner = inner_cells(how.mesh)[how.cells]
    return bool(inner.any() and not values[inner].any() and values.any())


def _boundary(kind: str, cells: Index) -> tuple[Index, Index]:
    """Edges that one cell alone has: the cell, and which of its edges it is."""
    edges = np.array(EDGES[kind])
    ends = np.sort(cells[:, edges].reshape(-1, 2), axis=1)
    _, first, count = np.unique(ends, axis=0, return_index=True, return_counts=True)
    owner, edge = np.divmod(first[count == 1], len(edges))
    return owner, edge


def _cuts(kind: str, count: int, space: Mapping[str, Any]) -> int:
    """In how many parts the edges of a cell are cut, as far as it can be seen.

    Degree 1 is cut on coarse meshes too: colours are blended linearly in a triangle, and a blend
    of two colours is not one of the map.
    """
    order = 3 if str(space["family"]) == "MINI" else int(space["degree"])  # of MINI's bubble
    if order == 0:
        return 1
    if kind == "interval":
        return 4 * order
    triangles = count * (2 if kind == "quadrilateral" else 1)
    return max(1 if order == 1 else 2, min(MOST_CUTS, isqrt(ENOUGH // triangles)))


def _cut(kind: str, m: int) -> tuple[Array, Index]:
    """Points of a lattice on the reference cell, and its segments or triangles."""
    if kind == "interval":
        return np.linspace(0.0, 1.0, m + 1)[:, None], _pairs(m)
    i, j = (a.ravel() for a in np.meshgrid(np.arange(m + 1), np.arange(m + 1), indexing="ij"))
    lattice = np.stack([i, j], axis=1) / m
    inside = np.ones(len(i), dtype=bool) if kind == "quadrilateral" else i + j <= m
    return _kept(lattice, _grid_triangles(m + 1, m + 1), inside)


def _pairs(m: int) -> Index:
    return np.stack([np.arange(m), np.arange(1, m + 1)], axis=1)


def _grid_triangles(n: int, k: int) -> Index:
    """The two triangles (t, 3) of each square of a grid of n × k points, rows of k."""
    low = (np.arange(n - 1)[:, None] * k + np.arange(k - 1)).ravel()
    lower = np.stack([low, low + k, low + 1], axis=1)
    upper = np.stack([low + k, low + k + 1, low + 1], axis=1)
    return np.concatenate([lower, upper])


def _kept(points: Array, triangles: Index, inside: NDArray[np.bool_]) -> tuple[Array, Index]:
    """The points inside, and the triangles that have no other corners."""
    number = np.cumsum(inside) - 1
    return points[inside], number[triangles[inside[triangles].all(axis=1)]]


def middle_plane(mesh: Mapping[str, Any]) -> Plane:
    """Return the plane through the middle, normal to the shortest side (z among equals)."""
    size = np.ptp(_corners(mesh), axis=0)
    return Plane(2 - int(np.argmin(np.round(size[::-1] / size.max(), 9))))


def _corners(mesh: Mapping[str, Any]) -> Array:
    """Vertices (n, 3) that belong to cells, some several times."""
    return np.asarray(mesh["points"])[np.asarray(mesh["cells"])].reshape(-1, 3)


def _slice(mesh: Mapping[str, Any], space: Mapping[str, Any], cut: Plane) -> Drawing:
    """A grid in the plane, as far as it is inside of the mesh."""
    vertices, axes = _corners(mesh), cut.axes
    low, size = vertices.min(axis=0), np.ptp(vertices, axis=0)
    longest = max(size[axis] for axis in axes)
    counts = [max(2, round((SLICE - 1) * size[axis] / longest) + 1) for axis in axes]
    lines = [low[a] + np.linspace(0.0, size[a], n) for a, n in zip(axes, counts, strict=True)]
    plane = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 2)
    points = np.full((len(plane), 3), low[cut.axis] + size[cut.axis] * cut.at)
    points[:, axes] = plane
    cells, reference = StoredFunction(mesh, space, np.zeros(int(space["dim"]))).locate(points)
    inside = cells >= 0
    kept, triangles = _kept(plane, _grid_triangles(*counts), inside)
    return Drawing(kept, triangles, axes, cells[inside], reference[inside], mesh, space)
