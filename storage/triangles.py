"""Triangles to draw finite-element functions on, from stored tables only.

P1 is drawn on its cells; P2 on four triangles a cell through its edge midpoints; higher degrees
by their vertices; cell-wise constants as flat cells. Local numbering is Basix's: vertices first,
then the midpoints of edges (1,2), (0,2), (0,1) of a triangle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Drawing", "drawing"]

QUADRATIC = ((0, 5, 4), (5, 1, 3), (4, 3, 2), (3, 4, 5))
QUADRILATERAL = ((0, 1, 3), (0, 3, 2))


@dataclass(frozen=True, eq=False)
class Drawing:
    """How to draw a function.

    Attributes:
        points: (p, 2) of the triangles' corners.
        triangles: (t, 3) corner numbers.
        dofs: (p) the dof whose value a corner shows; for flat cells (t), one for each triangle.
        flat: True if triangles have one value each.
    """

    points: NDArray[np.float64]
    triangles: NDArray[np.int64]
    dofs: NDArray[np.int64]
    flat: bool


def drawing(mesh: Mapping[str, Any], space: Mapping[str, Any]) -> Drawing | None:
    """Return the triangles for a scalar space in the plane; None where there are none."""
    kind, corners = str(mesh["cell_type"]), _corner_triangles(mesh)
    if int(mesh["gdim"]) != 2 or corners is None:
        return None
    dofmap = np.asarray(space["dofmap"], dtype=np.int64)
    if dofmap.shape[1] == 1:
        repeat = len(corners) // len(dofmap)
        return Drawing(np.asarray(mesh["points"]), corners, np.repeat(dofmap[:, 0], repeat), True)
    if "points" not in space:
        return None
    local: tuple[tuple[int, ...], ...] = QUADRILATERAL if kind == "quadrilateral" else ((0, 1, 2),)
    if kind == "triangle" and dofmap.shape[1] == 6:
        local = QUADRATIC
    triangles = dofmap[:, np.array(local)].reshape(-1, 3)
    points = np.asarray(space["points"])
    return Drawing(points, triangles, np.arange(len(points)), False)


def _corner_triangles(mesh: Mapping[str, Any]) -> NDArray[np.int64] | None:
    cells = np.asarray(mesh["cells"], dtype=np.int64)
    if str(mesh["cell_type"]) == "triangle":
        return cells[:, :3]
    if str(mesh["cell_type"]) == "quadrilateral":
        return cells[:, np.array(QUADRILATERAL)].reshape(-1, 3)
    return None
