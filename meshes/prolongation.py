"""Prolongation between the levels of a hierarchy, parent cell by parent cell.

On each fine cell the coarse basis functions of its parent are interpolated into the fine element
(`meshes/interpolation.py`). No point is searched for, so discontinuous spaces are as exact as
continuous ones. With P_ij = (fine dof i of coarse basis function j), u_h = u_H pointwise where the
spaces are nested.

Constrained dofs: P knows no boundary conditions. A coarse function with zero constrained dofs
prolongs to one with zero constrained dofs, P[constrained fine, free coarse] = 0, provided the
constrained boundary is the same set on both levels; u_D itself is set again on the fine level.
"""

import numpy as np
import scipy.sparse as sp
from dolfinx.fem import FunctionSpace
from numpy.typing import NDArray

from meshes.interpolation import first_holders, interpolate_on_cells
from meshes.mappings import (
    basis_functions,
    cell_geometry,
    local_cells,
    outside,
    require_serial,
)

__all__ = ["prolongation"]

Array = NDArray[np.float64]

_CHUNK = 2048  # fine cells at a time: bounds memory, and stays in the cache
_TOLERANCE = 1e-8  # of a reference cell, for a fine cell to be a part of its parent


def prolongation(
    V_coarse: FunctionSpace,
    V_fine: FunctionSpace,
    parents: NDArray[np.integer],
    nested: bool = True,
) -> tuple[sp.csr_matrix, bool]:
    """Return P (dim fine, dim coarse) in canonical numberings, and whether it is exact.

    P is exact (to round-off, at each point) for P, Q, DG, DPC, RT, BDM and N1curl, N2curl on
    nested meshes. CR and MINI are not nested, nor are spaces on meshes that were snapped to a
    boundary; there each fine dof is the mean of what its cells' parents say, evaluated beyond
    the parent where need be. That reproduces constants, and is marked by `exact` = False.
    Serial, not collective.

    Args:
        V_coarse: The space on the coarse mesh.
        V_fine: The same element on the fine mesh.
        parents: (fine cells) stored coarse cell of each stored fine cell.
        nested: False if fine cells are not parts of their parents.

    Raises:
        ValueError: The elements differ, a space is distributed, `parents` has another length or
            range, or the meshes are not nested although `nested` is true.
    """
    require_serial(V_coarse, V_fine)
    parents = _checked_parents(V_coarse, V_fine, parents)
    exact = nested and _is_nested_family(V_fine)
    fine, coarse = local_cells(V_fine.mesh), local_cells(V_coarse.mesh)[parents]
    if nested:
        _require_nested(V_coarse, V_fine, fine, coarse)
    dofmap = np.asarray(V_fine.dofmap.list)[fine]
    weights = first_holders(dofmap).astype(float) if exact else _mean_weights(dofmap)
    parts = []
    for start in range(0, len(fine), _CHUNK):
        part = slice(start, start + _CHUNK)
        blocks = _blocks(V_coarse, V_fine, fine[part], coarse[part])
        columns = np.asarray(V_coarse.dofmap.list)[coarse[part]]
        parts.append(_entries(dofmap[part], columns, blocks, weights[part]))
    rows, cols, data = (np.concatenate(column) for column in zip(*parts, strict=True))
    shape = (V_fine.dofmap.index_map.size_global, V_coarse.dofmap.index_map.size_global)
    P = sp.csr_matrix((data, (rows, cols)), shape=shape)
    P = P if V_fine.dofmap.bs == 1 else sp.kron(P, sp.eye_array(V_fine.dofmap.bs), "csr")
    return sp.csr_matrix(P), exact


def _blocks(
    V_coarse: FunctionSpace, V_fine: FunctionSpace, fine: NDArray, coarse: NDArray
) -> Array:
    """Fine coefficients (n, d fine, d coarse) of the coarse basis functions on fine cells."""
    child, parent = cell_geometry(V_fine.mesh, fine), cell_geometry(V_coarse.mesh, coarse)
    points = child.push_forward(np.asarray(V_fine.element.basix_element.points))
    values = basis_functions(V_coarse, coarse, parent, parent.pull_back(points))
    return interpolate_on_cells(V_fine, fine, child, values)


def _entries(
    rows: NDArray, columns: NDArray, blocks: Array, weights: Array
) -> tuple[NDArray, NDArray, Array]:
    """Rows, columns and data of what is not round-off."""
    data = blocks * weights[:, :, None]
    n, i, j = np.nonzero(np.abs(data) > 1e-14)
    return rows[n, i], columns[n, j], data[n, i, j]


def _mean_weights(dofmap: NDArray) -> Array:
    return 1.0 / np.bincount(dofmap.ravel())[dofmap]


def _is_nested_family(V: FunctionSpace) -> bool:
    return V.element.basix_element.family.name not in ("CR", "custom")  # custom: MINI


def _checked_parents(V_coarse: FunctionSpace, V_fine: FunctionSpace, parents: NDArray) -> NDArray:
    parents = np.asarray(parents, dtype=np.int64)
    if V_coarse.ufl_element() != V_fine.ufl_element():
        raise ValueError(
            f"prolongation is between spaces of one element, not from {V_coarse.ufl_element()} "
            f"to {V_fine.ufl_element()}"
        )
    cells, most = len(V_fine.dofmap.list), len(V_coarse.dofmap.list)
    if parents.shape != (cells,) or parents.min() < 0 or parents.max() >= most:
        raise ValueError(
            f"parents of shape {parents.shape} from {parents.min()} to {parents.max()}: needs "
            f"one stored coarse cell, 0 … {most - 1}, for each of the {cells} stored fine cells"
        )
    return parents


def _require_nested(
    V_coarse: FunctionSpace, V_fine: FunctionSpace, fine: NDArray, coarse: NDArray
) -> None:
    """Each fine cell is to be the image of an affine part of its parent's reference cell."""
    child, parent = cell_geometry(V_fine.mesh, fine), cell_geometry(V_coarse.mesh, coarse)
    corners = parent.pull_back(child.vertices)
    middle = np.full((1, child.vertices.shape[2]), 0.25)
    there = parent.pull_back(child.push_forward(middle))
    bent = np.abs(there - type(child)(child.kind, corners).push_forward(middle)).max(axis=(1, 2))
    off = np.maximum(outside(parent.kind, corners).max(axis=1), np.nan_to_num(bent, nan=np.inf))
    worst = int(np.argmax(off))
    if off[worst] > _TOLERANCE:
        raise ValueError(
            f"fine cell {worst} is not a part of its parent (off by {off[worst]:.1e} of its "
            "size): check `parents`, or pass nested=False for meshes snapped to a boundary"
        )
