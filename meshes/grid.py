"""Regular grids over domains of any shape, with a mask of the points within the mesh."""

from collections.abc import Sequence

import numpy as np
from dolfinx import geometry
from mpi4py import MPI
from numpy.typing import NDArray

from meshes.mappings import cell_geometry, outside
from meshes.quality import MeshError, cell_volumes
from meshes.rebuild import mesh_from_tree
from meshes.tagged import TaggedMesh

__all__ = ["Grid", "inside_mesh", "regular_grid"]

type Grid = tuple[tuple[int, ...], NDArray[np.float64], NDArray[np.bool_]]

_TOLERANCE = 1e-9  # of a reference cell; stricter than that of `meshes.evaluation`
_SIMPLEX_PARTS = {"triangle": 2, "tetrahedron": 6}  # simplices of a square, of a cube


def regular_grid(mesh: TaggedMesh, shape: Sequence[int] | None = None) -> Grid:
    """Return a regular grid over the bounding box of a mesh. Not collective.

    Args:
        mesh: The mesh; curved boundaries are polygons here.
        shape: Points in each direction, ≥ 2; by default as many as the mesh is fine: the
            spacing is about (volume of a cell)^(1/tdim), a square being two triangles.

    Returns:
        Shape (tdim entries); points (∏ shape, gdim), first direction slowest, faces of the
        box included; mask `inside` (∏ shape) of the points within the mesh or on its boundary.

    Raises:
        MeshError: `shape` has another length than the mesh has dimensions, or a 1 in it.
    """
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    if shape is None:
        shape = [round(length / _spacing(mesh)) + 1 for length in high - low]
        shape = [max(n, 2) for n in shape]
    if len(shape) != mesh.gdim or min(shape) < 2:
        raise MeshError(
            f"a grid of shape {tuple(shape)} over a mesh of dimension {mesh.gdim}; expected "
            f"{mesh.gdim} numbers of points, each at least 2"
        )
    sides = [np.linspace(a, b, n) for a, b, n in zip(low, high, shape, strict=True)]
    points = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, mesh.gdim)
    return tuple(int(n) for n in shape), points, inside_mesh(mesh, points)


def inside_mesh(mesh: TaggedMesh, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points lie in some cell, up to 1e-9 of the cell's size. Not collective.

    Args:
        mesh: The mesh.
        points: Shape (n, gdim).
    """
    tree = {"points": mesh.points, "cells": mesh.cells, "cell_type": mesh.cell_type}
    msh = mesh_from_tree(MPI.COMM_SELF, tree)
    padded = np.zeros((len(points), 3))
    padded[:, : mesh.gdim] = points
    size = float(np.ptp(mesh.points, axis=0).max())
    boxes = geometry.bb_tree(msh, mesh.tdim, padding=1e-9 * size)
    found = geometry.compute_collisions_points(boxes, padded)
    owner = np.repeat(np.arange(len(points)), np.diff(found.offsets))
    cells = cell_geometry(msh, np.asarray(found.array, dtype=np.int32))
    reference = cells.pull_back(points[owner][:, None])[:, 0]
    inside = np.zeros(len(points), dtype=bool)
    inside[owner[outside(mesh.cell_type, reference) <= _TOLERANCE]] = True
    return inside


def _spacing(mesh: TaggedMesh) -> float:
    """Side of a cube as large as an average cell, or as the simplices that make up a cube."""
    volume = cell_volumes(mesh.points, mesh.cells, mesh.cell_type).mean()
    return float((volume * _SIMPLEX_PARTS.get(mesh.cell_type, 1)) ** (1 / mesh.tdim))
