"""Nested hierarchies of meshes by uniform refinement of stored arrays.

Each cell is cut at the midpoints of its edges (and centres of its quadrilaterals, and its own):
2 intervals, 4 triangles, 4 quadrilaterals, 8 tetrahedra, 8 hexahedra. A new vertex is the mean of
the vertices of an edge, a face or a cell, and is found again in a neighbour by these.
Tetrahedra are cut as in J. Bey, Computing 55 (1995) 355: with this numbering of the children,
repeated refinement makes at most three shapes of each tetrahedron.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshes.domains import Circles
from meshes.quality import TDIM, MeshError, check_quality
from meshes.rows import row_keys

__all__ = ["hierarchy", "refined"]

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class _Pattern:
    """Nodes of a refined cell as sets of old local vertices (means), and the children's nodes."""

    nodes: tuple[tuple[int, ...], ...]
    children: tuple[tuple[int, ...], ...]


_EDGES = {"triangle": [(0, 1), (0, 2), (1, 2)]}
_EDGES["tetrahedron"] = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
_CHILDREN: dict[str, tuple[tuple[int, ...], ...]]
_CHILDREN = {"triangle": ((0, 3, 4), (3, 1, 5), (4, 5, 2), (3, 4, 5))}
# Corners, then the octahedron of the midpoints 4 = 01, 5 = 02, 6 = 03, 7 = 12, 8 = 13, 9 = 23,
# cut along the diagonal from 02 to 13; Bey's T1 … T8 with his x_ij.
_CHILDREN["tetrahedron"] = ((0, 4, 5, 6), (4, 1, 7, 8), (5, 7, 2, 9), (6, 8, 9, 3)) + (
    (4, 5, 6, 8),
    (4, 5, 7, 8),
    (5, 6, 8, 9),
    (5, 7, 8, 9),
)
_FACETS = {"interval": "point", "triangle": "interval", "quadrilateral": "interval"}
_FACETS |= {"tetrahedron": "triangle", "hexahedron": "quadrilateral"}


@cache
def _pattern(kind: str) -> _Pattern:
    if kind in _CHILDREN:
        corners = [(v,) for v in range(TDIM[kind] + 1)]
        return _Pattern((*corners, *_EDGES[kind]), _CHILDREN[kind])
    return _tensor_pattern(TDIM.get(kind, 0))


def _tensor_pattern(dim: int) -> _Pattern:
    """Points, intervals, squares, cubes: the lattice {0, 1, 2}^dim.

    A lattice point's set holds the old vertices whose bits agree with it where it is 0 or 2.
    Which bit is which axis doesn't matter: vertices and children are numbered alike.
    """
    lattice = list(product((0, 1, 2), repeat=dim))
    bits = list(product((0, 1), repeat=dim))
    nodes = tuple(tuple(i for i, v in enumerate(bits) if _agree(at, v)) for at in lattice)
    number = {point: i for i, point in enumerate(lattice)}
    children = tuple(
        tuple(number[tuple(o + b for o, b in zip(origin, v, strict=True))] for v in bits)
        for origin in bits
    )
    return _Pattern(nodes, children)


def _agree(point: tuple[int, ...], bits: tuple[int, ...]) -> bool:
    return all(p in (1, 2 * b) for p, b in zip(point, bits, strict=True))


def hierarchy(
    tree: dict[str, Any], levels: int, snap: Circles | None = None
) -> list[dict[str, Any]]:
    """Return nested `mesh` trees from the given one, the coarsest, to the finest. Not collective.

    Tags are inherited. Vertices of a level come first, with their numbers, in the next one;
    child j of cell i has number c·i + j, c children a cell. The result depends on nothing but
    the arguments.

    Args:
        tree: The coarsest `mesh` tree (docs/format.md).
        levels: Number of levels, ≥ 1; each halves h.
        snap: Circles on which new vertices of the named boundaries are put (a domain's
            `circles`); levels are not nested then. None leaves them on the coarse polygon.

    Returns:
        `levels` trees. The first is `tree`; the others also have `parents` (nc) int64, the
        coarser level's cell that each cell is part of, and the attribute `nested`.

    Raises:
        MeshError: Snapping inverted a cell, names a boundary that isn't there, or `levels` < 1.
    """
    if levels < 1:
        raise MeshError(f"a hierarchy of {levels} levels; expected 1 or more")
    trees = [tree]
    for _ in range(levels - 1):
        trees.append(refined(trees[-1], snap))
    return trees


def refined(tree: dict[str, Any], snap: Circles | None = None) -> dict[str, Any]:
    """Return the next finer level of a `mesh` tree; see `hierarchy`."""
    kind = tree["cell_type"]
    points, cells = np.asarray(tree["points"]), np.asarray(tree["cells"])
    vertices = _Vertices(points, cells, _pattern(kind))
    fine_cells = vertices.split(cells, kind)
    fine: dict[str, Any] = {"points": vertices.points, "cells": fine_cells, "nested": snap is None}
    fine |= {name: tree[name] for name in ("cell_type", "gdim", "tdim")}
    fine["parents"] = np.repeat(np.arange(len(cells)), len(fine_cells) // len(cells))
    if "facet_tags" in tree:
        tags, count = tree["facet_tags"], len(_pattern(_FACETS[kind]).children)
        fine["facet_tags"] = {
            "vertices": vertices.split(np.asarray(tags["vertices"]), _FACETS[kind]),
            "values": np.repeat(tags["values"], count),
            "names": dict(tags["names"]),
        }
    if "cell_tags" in tree:
        tags = tree["cell_tags"]
        values = np.asarray(tags["values"])[fine["parents"]]
        fine["cell_tags"] = {"values": values, "names": dict(tags["names"])}
    if snap is not None:
        fine["points"] = _snapped(fine, len(points), snap)
        check_quality(fine["points"], fine_cells, kind, vertices.points)
    return fine


class _Vertices:
    """The vertices of the refined mesh: the old ones, then those of each larger set of vertices."""

    def __init__(self, points: Array, cells: Numbers, pattern: _Pattern) -> None:
        self._sets: dict[int, Numbers] = {}
        self._starts: dict[int, int] = {}
        parts, start = [points], len(points)
        for size in sorted({len(node) for node in pattern.nodes} - {1}):
            nodes = [node for node in pattern.nodes if len(node) == size]
            rows = np.sort(cells[:, nodes].reshape(-1, size), axis=1)
            _, first = np.unique(row_keys(rows), return_index=True)
            self._sets[size], self._starts[size] = rows[first], start
            parts.append(points[rows[first]].mean(axis=1))
            start += len(first)
        self.points = np.concatenate(parts)

    def split(self, cells: Numbers, kind: str) -> Numbers:
        """The children of cells, or of their facets, in a row for each."""
        pattern = _pattern(kind)
        columns = [self._numbers(cells[:, list(node)]) for node in pattern.nodes]
        nodes = np.stack(columns, axis=1)
        children = nodes[:, np.array(pattern.children)]
        return np.ascontiguousarray(children.reshape(-1, children.shape[2]), dtype=np.int64)

    def _numbers(self, rows: Numbers) -> Numbers:
        size = rows.shape[1]
        if size == 1:
            return rows[:, 0]
        known = self._sets[size]
        keys = row_keys(np.concatenate([known, np.sort(rows, axis=1)]))
        return self._starts[size] + np.searchsorted(keys[: len(known)], keys[len(known) :])


def _snapped(fine: dict[str, Any], old: int, circles: Mapping[str, Any]) -> Array:
    """The points, with the new ones of the named boundaries put on the nearest circle."""
    points, tags = fine["points"].copy(), fine.get("facet_tags", {"names": {}})
    for name, its in circles.items():
        if name not in tags["names"]:
            there = ", ".join(tags["names"])
            raise MeshError(f"no boundary {name!r} to snap; the mesh has {there}")
        rows = tags["vertices"][tags["values"] == tags["names"][name]]
        chosen = np.unique(rows[rows >= old])
        away = points[chosen, None] - np.array([centre for centre, _ in its])
        distance = np.linalg.norm(away, axis=2)
        radii = np.array([radius for _, radius in its])
        nearest = np.abs(distance - radii).argmin(axis=1)
        pick = np.arange(len(chosen)), nearest
        scale = radii[nearest] / distance[pick]
        points[chosen] = points[chosen] + (scale - 1)[:, None] * away[pick]
    return points
