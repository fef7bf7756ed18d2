"""Evaluation of finite-element functions at points, as a sparse matrix."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from dolfinx import geometry
from dolfinx.fem import FunctionSpace
from numpy.typing import NDArray

__all__ = ["evaluation_matrix", "grid_tree"]

Array = NDArray[np.float64]


def grid_tree(V: FunctionSpace, shape: tuple[int, ...], points: Array) -> dict[str, Any]:
    """Return the `spaces/<space>/grid` tree: the matrix that evaluates on a regular grid.

    Args:
        V: A serial space on affine cells, blocks not supported.
        shape: Points in each direction, first direction slowest.
        points: The grid's points, shape (∏ shape, gdim), all within the mesh.
    """
    return {
        "shape": np.array(shape, dtype=np.int64),
        "points": points,
        "matrix": evaluation_matrix(V, points),
    }


def evaluation_matrix(V: FunctionSpace, points: Array) -> sp.csr_matrix:
    """Return E with (E c)[p·v + j] = u_j(x_p) for u = Σ_i c_i φ_i with v values at a point.

    φ = F(T ψ): the reference basis ψ, the cell's dof transformation T, the map F of the element.
    On a facet, where a discontinuous function has several values, it is that of one cell.
    Serial, not collective.

    Raises:
        ValueError: A point is outside of the mesh, or the space is blocked or distributed.
    """
    if V.mesh.comm.size > 1 or V.dofmap.bs > 1:
        raise ValueError("evaluation matrices are made on one rank, for spaces without blocks")
    cells = _containing_cells(V, points)
    basis = _basis_at(V, cells, points)
    count, d, values = basis.shape
    rows = (np.arange(count)[:, None, None] * values + np.arange(values)).repeat(d, axis=1)
    columns = np.asarray(V.dofmap.list)[cells][:, :, None].repeat(values, axis=2)
    keep = np.abs(basis) > 1e-14
    shape = (count * values, V.dofmap.index_map.size_global)
    return sp.csr_matrix((basis[keep], (rows[keep], columns[keep])), shape=shape)


def _containing_cells(V: FunctionSpace, points: Array) -> NDArray[np.int32]:
    padded = np.zeros((len(points), 3))
    padded[:, : points.shape[1]] = points
    tree = geometry.bb_tree(V.mesh, V.mesh.topology.dim, padding=1e-10)
    candidates = geometry.compute_collisions_points(tree, padded)
    found = geometry.compute_colliding_cells(V.mesh, candidates, padded)
    lonely = np.flatnonzero(np.diff(found.offsets) == 0)
    if len(lonely):
        raise ValueError(
            f"point {points[lonely[0]]} is outside of the mesh; the grid has to lie within it"
        )
    return found.array[found.offsets[:-1]]


def _basis_at(V: FunctionSpace, cells: NDArray[np.int32], points: Array) -> Array:
    """All basis functions of each point's cell at the point, shape (points, d, values)."""
    gdim = V.mesh.geometry.dim
    nodes = np.asarray(V.mesh.geometry.dofmaps[0])[cells]
    vertices = np.asarray(V.mesh.geometry.x)[nodes][:, :, :gdim]
    J = np.swapaxes(vertices[:, 1 : V.mesh.topology.dim + 1] - vertices[:, :1], 1, 2)
    K, detJ = np.linalg.inv(J), np.linalg.det(J)
    reference = np.einsum("pij,pj->pi", K, points - vertices[:, 0])
    element = V.element.basix_element
    basis = np.array(np.asarray(element.tabulate(0, reference))[0], order="C")
    if V.element.needs_dof_transformations:
        V.mesh.topology.create_entity_permutations()
        info = V.mesh.topology.get_cell_permutation_info()[cells]
        V.element.T_apply(basis.reshape(-1), np.ascontiguousarray(info), basis.shape[2])
    return np.asarray(element.push_forward(basis, J, detJ, K))
