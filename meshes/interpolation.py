"""Interpolation into a space, as points and a sparse matrix.

An element's dofs are functionals of the values of a function at reference points Y: with Basix'
interpolation matrix Π the reference coefficients on a cell are r = Π F⁻¹(f(x(Y))), and the
coefficients of the numbering c = T⁻ᵀ r (M. Scroggs et al., ACM TOMS 48 (2022) 18). A dof that
cells share comes out the same on each of them.
"""

import numpy as np
import scipy.sparse as sp
from dolfinx.fem import FunctionSpace
from numpy.typing import NDArray

from meshes.mappings import (
    CellGeometry,
    cell_geometry,
    inverse_transposes,
    local_cells,
    pull_back_values,
    require_serial,
)

__all__ = ["first_holders", "interpolate_on_cells", "interpolation_table"]

Array = NDArray[np.float64]


def interpolation_table(V: FunctionSpace) -> tuple[Array, sp.csr_matrix]:
    """Return points (p, gdim) and I (dim, p·v) with canonical coefficients c = I f(points).

    The values of f are point-major, component fastest. Each dof is read off the first stored
    cell that holds it; points that no dof needs are left out. Serial, not collective.

    Raises:
        ValueError: The space is blocked (interpolate component by component), or distributed.
    """
    require_serial(V)
    if V.dofmap.bs > 1:
        raise ValueError(f"space of block size {V.dofmap.bs}: interpolate each component")
    cells = local_cells(V.mesh)
    geometry = cell_geometry(V.mesh, cells.astype(np.int32))
    Y = np.asarray(V.element.basix_element.points)
    blocks = _unit_responses(V, cells, geometry, Y)  # (n, d, q, v)
    mask = first_holders(np.asarray(V.dofmap.list)[cells])
    small = np.abs(blocks) <= 1e-14 * np.abs(blocks).max(axis=(2, 3), keepdims=True)
    keep = mask[:, :, None, None] & ~small
    used = keep.any(axis=(1, 3))  # (n, q)
    number = np.cumsum(used).reshape(used.shape) - 1
    n, i, q, j = np.nonzero(keep)
    v = blocks.shape[3]
    rows = np.asarray(V.dofmap.list)[cells][n, i]
    shape = (V.dofmap.index_map.size_global, int(used.sum()) * v)
    matrix = sp.csr_matrix((blocks[keep], (rows, number[n, q] * v + j)), shape=shape)
    return geometry.push_forward(Y)[used], matrix


def interpolate_on_cells(
    V: FunctionSpace, cells: NDArray, geometry: CellGeometry, values: Array
) -> Array:
    """Return the coefficients (n, d, m) of m functions on each cell, blocks not expanded.

    Args:
        V: A serial space.
        cells: (n) local cells.
        geometry: Their maps.
        values: (n, q, m, v) physical values at the element's points, mapped to the cells.
    """
    element = V.element.basix_element
    Y = np.asarray(element.points)
    reference = pull_back_values(V, geometry, Y, values)
    n, q, m, v = reference.shape
    stacked = np.transpose(reference, (0, 3, 1, 2)).reshape(n, v * q, m)
    r = np.asarray(element.interpolation_matrix) @ stacked
    T = inverse_transposes(V, cells)
    return r if T is None else T @ r


def first_holders(dofmap: NDArray) -> NDArray[np.bool_]:
    """Mark, in a dof map (n, d), the first entry of each dof."""
    mask = np.zeros(dofmap.size, dtype=bool)
    mask[np.unique(dofmap.ravel(), return_index=True)[1]] = True
    return mask.reshape(dofmap.shape)


def _unit_responses(V: FunctionSpace, cells: NDArray, geometry: CellGeometry, Y: Array) -> Array:
    """Coefficients (n, d, q, v) of the function that is 1 in one value at one point."""
    v = V.element.basix_element.value_size
    unit = np.eye(len(Y) * v).reshape(1, len(Y), v, len(Y) * v)
    values = np.broadcast_to(np.swapaxes(unit, 2, 3), (len(cells), len(Y), len(Y) * v, v))
    c = interpolate_on_cells(V, cells, geometry, values)
    return c.reshape(*c.shape[:2], len(Y), v)
