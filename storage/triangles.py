"""What to draw finite-element functions on, from stored tables only.

Every cell is drawn by itself, so jumps between cells show: cut into m² triangles (a square into
2m²) whose corners are known by their cell and reference point; a space of degree 1 has m = 1. In
one dimension cells are cut into segments; in three, a grid in the plane through the middle is
drawn, without its points outside of the mesh.
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

__all__ = ["Drawing", "drawing"]

type Array = NDArray[np.float64]
type Index = NDArray[np.int64]

ENOUGH = 12_000  # triangles that fill a small picture; finer meshes are not cut further
SLICE = 97  # grid points along the longer side of a slice: odd, so that symmetry planes are met


@dataclass(frozen=True, eq=False)
class Drawing:
    """How to draw the functions of a space.

    Attributes:
        points: (p, 2) of the triangles' corners, (p, 1) of the ends of segments.
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


def drawing(mesh: Mapping[str, Any], space: Mapping[str, Any]) -> Drawing | None:
    """Return how to draw the functions of a space; None for a surface or curve in space.

    Args:
        mesh: the stored mesh, its `points` moved where a sample has a geometry of its own.
        space: the stored space, of any element and value shape.
    """
    if int(mesh["gdim"]) != int(mesh["tdim"]):
        return None
    if int(mesh["gdim"]) == 3:
        return _slice(mesh, space)
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


def _cuts(kind: str, count: int, space: Mapping[str, Any]) -> int:
    """In how many parts the edges of a cell are cut: twice the degree, while it can be seen."""
    order = 3 if str(space["family"]) == "MINI" else int(space["degree"])  # of MINI's bubble
    if order <= 1:
        return 1
    if kind == "interval":
        return 4 * order
    triangles = count * (2 if kind == "quadrilateral" else 1)
    return max(2, min(2 * order, isqrt(ENOUGH // triangles)))


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


def _slice(mesh: Mapping[str, Any], space: Mapping[str, Any]) -> Drawing:
    """A grid in the plane through the middle, normal to the shortest side (z among equals)."""
    vertices = np.asarray(mesh["points"])[np.asarray(mesh["cells"])].reshape(-1, 3)
    low, size = vertices.min(axis=0), np.ptp(vertices, axis=0)
    normal = 2 - int(np.argmin(np.round(size[::-1] / size.max(), 9)))
    axes = tuple(axis for axis in range(3) if axis != normal)
    longest = max(size[axis] for axis in axes)
    counts = [max(2, round((SLICE - 1) * size[axis] / longest) + 1) for axis in axes]
    lines = [low[a] + np.linspace(0.0, size[a], n) for a, n in zip(axes, counts, strict=True)]
    plane = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 2)
    points = np.full((len(plane), 3), low[normal] + size[normal] / 2)
    points[:, axes] = plane
    cells, reference = StoredFunction(mesh, space, np.zeros(int(space["dim"]))).locate(points)
    inside = cells >= 0
    kept, triangles = _kept(plane, _grid_triangles(*counts), inside)
    return Drawing(kept, triangles, axes, cells[inside], reference[inside], mesh, space)
