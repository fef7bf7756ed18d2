"""The encoder's matrix: coefficients in one scalar space → coefficients in another, same mesh.

In every cell the input is a polynomial; it is evaluated at the points of the cell's output dofs,
and a dof shared by several cells takes their mean, weighted with their volumes:

    (T a)_i = Σ_{c ∋ i} |c| (a|_c)(x_i) / Σ_{c ∋ i} |c|

(the averaging of P. Oswald, Computing 51 (1993) 337). It is interpolation where the input is
continuous, exact where the output space contains the input space, and the mean of the
neighbouring cells for cell-wise constants. Only stored tables are used: both dof maps, both sets
of points, vertices and cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, identity

from pipeline.operators.errors import TrainingError

__all__ = ["transfer_matrix"]

Array = NDArray[np.float64]


def transfer_matrix(
    mesh: Mapping[str, Any], source: Mapping[str, Any], target: Mapping[str, Any]
) -> csr_matrix:
    """Return T (target dofs, source dofs) between two scalar spaces given by their tables.

    Raises:
        TrainingError: the dofs of a space are not point values.
    """
    if source is target or _same(source, target):
        return identity(int(target["dim"]), format="csr")
    rows, columns = np.asarray(target["dofmap"]), np.asarray(source["dofmap"])
    weight = _volumes(mesh)
    local = _local_evaluation(mesh, source, target) * weight[:, None, None]
    shape = (int(target["dim"]), int(source["dim"]))
    i = np.repeat(rows, columns.shape[1], axis=1).ravel()
    j = np.tile(columns, (1, rows.shape[1])).ravel()
    total = np.bincount(rows.ravel(), np.repeat(weight, rows.shape[1]), minlength=shape[0])
    matrix = diags(1.0 / total) @ csr_matrix((local.ravel(), (i, j)), shape=shape)
    matrix.data[np.abs(matrix.data) < 1e-13] = 0.0
    matrix.eliminate_zeros()
    return csr_matrix(matrix)


def _same(source: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
    return int(source["dim"]) == int(target["dim"]) and np.array_equal(
        source["dofmap"], target["dofmap"]
    )


def _local_evaluation(
    mesh: Mapping[str, Any], source: Mapping[str, Any], target: Mapping[str, Any]
) -> Array:
    """Values at the target's points of the source's basis: (cells, target dofs, source dofs)."""
    rows, columns = np.asarray(target["dofmap"]), np.asarray(source["dofmap"])
    degree = int(source["degree"])
    if degree == 0:
        return np.ones((len(rows), rows.shape[1], columns.shape[1]))
    corners = np.asarray(mesh["points"])[np.asarray(mesh["cells"])]
    centre = corners.mean(axis=1, keepdims=True)
    size = np.abs(corners - centre).max(axis=(1, 2), keepdims=True)
    powers = _powers(str(mesh["cell_type"]), degree, corners.shape[2])
    known = _monomials((_points(source)[columns] - centre) / size, powers)
    wanted = _monomials((_points(target)[rows] - centre) / size, powers)
    return wanted @ np.linalg.pinv(known)


def _points(space: Mapping[str, Any]) -> Array:
    if "points" not in space:
        raise TrainingError(
            f"space {space['family']}{space['degree']} has no point values, SPON needs spaces "
            "such as P or DG (Lagrange); choose other spaces or another field"
        )
    return np.asarray(space["points"], dtype=np.float64)


def _powers(cell_type: str, degree: int, gdim: int) -> NDArray[np.int64]:
    """Exponents of the monomials that span the space on a cell."""
    every = np.array(list(product(range(degree + 1), repeat=gdim)))
    if cell_type in ("interval", "triangle", "tetrahedron"):
        return every[every.sum(axis=1) <= degree]
    return every


def _monomials(x: Array, powers: NDArray[np.int64]) -> Array:
    """X (cells, points, gdim) → (cells, points, monomials)."""
    return np.prod(x[:, :, None, :] ** powers, axis=-1)


def _volumes(mesh: Mapping[str, Any]) -> Array:
    """Volumes of simplices; of other cells, that of the box spanned by the first vertices."""
    corners = np.asarray(mesh["points"])[np.asarray(mesh["cells"])]
    tdim = int(mesh["tdim"])
    edges = corners[:, 1 : tdim + 1] - corners[:, :1]
    squares = np.linalg.det(edges @ edges.transpose(0, 2, 1))
    return np.sqrt(np.maximum(squares, 0.0)) / factorial(tdim)
