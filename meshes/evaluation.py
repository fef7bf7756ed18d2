"""Evaluation of finite-element functions at points, as a sparse matrix."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from dolfinx import geometry
from dolfinx.fem import FunctionSpace
from dolfinx.mesh import Mesh
from numpy.typing import NDArray

from meshes.mappings import basis_functions, cell_geometry, outside, require_serial

__all__ = ["evaluation_matrix", "grid_tree"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_TOLERANCE = 1e-8  # of a reference cell: how far outside a point may seem by round-off


def grid_tree(
    V: FunctionSpace, shape: tuple[int, ...], points: Array, inside: Mask | None = None
) -> dict[str, Any]:
    """Return the `spaces/<space>/grid` tree: the matrix that evaluates on a regular grid.

    Args:
        V: A serial space.
        shape: Points in each direction, first direction slowest.
        points: The grid's points, shape (∏ shape, gdim).
        inside: (∏ shape) which points are within the mesh; all of them without it. Rows of
            the others are zero.
    """
    tree = {"shape": np.array(shape, dtype=np.int64), "points": points}
    tree |= {"matrix": evaluation_matrix(V, points, inside)}
    return tree if inside is None else tree | {"inside": np.asarray(inside, dtype=bool)}


def evaluation_matrix(V: FunctionSpace, points: Array, inside: Mask | None = None) -> sp.csr_matrix:
    """Return E with (E c)[p·v + j] = u_j(x_p) for u = Σ_i c_i φ_i with v values at a point.

    The component j is that of the flattened value, also of blocked spaces. On a facet, where a
    discontinuous function has several values, it is that of one cell. Serial, not collective.

    Args:
        V: A serial space.
        points: (p, gdim).
        inside: (p) which points to evaluate at; rows of the others are zero.

    Raises:
        ValueError: A point to evaluate at is outside of the mesh, or the space is distributed.
    """
    require_serial(V)
    chosen = np.arange(len(points)) if inside is None else np.flatnonzero(inside)
    cells, reference = find_cells(V.mesh, points[chosen])
    basis = basis_functions(V, cells, cell_geometry(V.mesh, cells), reference[:, None])[:, 0]
    _, d, values = basis.shape
    rows = (chosen[:, None, None] * values + np.arange(values)).repeat(d, axis=1)
    columns = np.asarray(V.dofmap.list)[cells][:, :, None].repeat(values, axis=2)
    keep = np.abs(basis) > 1e-14
    shape = (len(points) * values, V.dofmap.index_map.size_global)
    E = sp.csr_matrix((basis[keep], (rows[keep], columns[keep])), shape=shape)
    return E if V.dofmap.bs == 1 else sp.csr_matrix(sp.kron(E, sp.eye_array(V.dofmap.bs)))


def find_cells(mesh: Mesh, points: Array) -> tuple[NDArray[np.int32], Array]:
    """Return a local cell that holds each point, and the point's reference coordinates there.

    Of several cells it is the first that holds it, or the nearest by round-off. Not collective.

    Raises:
        ValueError: A point is in no cell.
    """
    padded = np.zeros((len(points), 3))
    padded[:, : points.shape[1]] = points
    size = float(np.ptp(np.asarray(mesh.geometry.x), axis=0).max())
    tree = geometry.bb_tree(mesh, mesh.topology.dim, padding=1e-9 * size)
    found = geometry.compute_collisions_points(tree, padded)
    offsets, cells = np.asarray(found.offsets), np.asarray(found.array, dtype=np.int32)
    owner = np.repeat(np.arange(len(points)), np.diff(offsets))
    maps = cell_geometry(mesh, cells)
    X = maps.pull_back(points[owner][:, None])[:, 0]
    off = np.maximum(outside(maps.kind, X), 0.0)
    order = np.lexsort((cells, off, owner))
    first = order[np.unique(owner[order], return_index=True)[1]]
    best = np.full(len(points), np.inf)
    best[owner[first]] = off[first]
    if len(points) and best.max() > _TOLERANCE:
        raise ValueError(
            f"point {points[np.argmax(best)]} is outside of the mesh; the grid has to lie within "
            "it, or to come with a mask of the points inside"
        )
    return cells[first], X[first]
