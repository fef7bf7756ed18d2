"""The edges of a stored mesh, to be drawn: of its cells, or where a plane cuts their faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.pictures.triangles import EDGES, Plane, middle_plane

__all__ = ["mesh_edges"]

type Array = NDArray[np.float64]

FACES = {
    "tetrahedron": ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)),
    "hexahedron": (
        (0, 1, 3, 2),
        (0, 1, 5, 4),
        (0, 2, 6, 4),
        (1, 3, 7, 5),
        (2, 3, 7, 6),
        (4, 5, 7, 6),
    ),
}  # corners of a cell's faces, in the order of going around


def mesh_edges(mesh: Mapping[str, Any], plane: Plane | None = None) -> Array:
    """Return the ends (e, 2, 2) of a mesh's edges, each edge once.

    Args:
        mesh: the stored mesh; in one dimension, or for a surface or curve, there is nothing to
            draw, e = 0.
        plane: which slice of a mesh in three dimensions; by default the `middle_plane`.
    """
    kind, gdim = str(mesh["cell_type"]), int(mesh["gdim"])
    points = np.asarray(mesh["points"], dtype=float)
    cells = np.asarray(mesh["cells"], dtype=np.int64)
    if gdim == 2 and kind in EDGES:
        ends = np.unique(np.sort(cells[:, np.array(EDGES[kind])].reshape(-1, 2)), axis=0)
        return points[ends]
    if gdim == 3 and kind in FACES and len(cells):
        return _cut_faces(points, _faces(cells, kind), plane or middle_plane(mesh))
    return np.empty((0, 2, 2))


def _faces(cells: NDArray[np.int64], kind: str) -> NDArray[np.int64]:
    """The faces (f, k) of all cells, each once."""
    faces = cells[:, np.array(FACES[kind])].reshape(-1, len(FACES[kind][0]))
    return faces[np.unique(np.sort(faces), axis=0, return_index=True)[1]]


def _cut_faces(points: Array, faces: NDArray[np.int64], plane: Plane) -> Array:
    """Where the plane cuts faces, in the coordinates of the plane.

    A face that lies in the plane is not cut but its neighbours are: the plane is taken a little
    above where it meets vertices, or a little below at the upper end.
    """
    used = points[np.unique(faces)]
    low, size = used[:, plane.axis].min(), np.ptp(used[:, plane.axis])
    height = points[:, plane.axis] - (low + plane.at * size)
    tiny = 1e-9 * size
    height[np.abs(height) < tiny] = tiny if plane.at > 0.5 else -tiny
    above = height[faces] > 0
    crossing = above != np.roll(above, -1, axis=1)
    cut = crossing.sum(axis=1) == 2
    start, end = faces[cut][crossing[cut]], np.roll(faces[cut], -1, axis=1)[crossing[cut]]
    share = (height[start] / (height[start] - height[end]))[:, None]
    found = points[start] + share * (points[end] - points[start])
    return found[:, plane.axes].reshape(-1, 2, 2)
