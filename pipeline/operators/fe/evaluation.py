"""Fixed matrices between coefficients and values at points.

The encoder's: coefficients of a stored space → values at points shared by cells.

In every cell the function is smooth; it is evaluated at the cell's points, and a point shared by
several cells takes the mean of their values, weighted with their volumes:

    (E a)_i = Σ_{c ∋ i} |c| (a|_c)(x_i) / Σ_{c ∋ i} |c|

(the averaging of P. Oswald, Computing 51 (1993) 337). It is interpolation where the function is
continuous, and the mean of the neighbouring cells for cell-wise constants. Values of Nédélec and
Raviart–Thomas functions are vectors in physical space, whatever the orientation of their dofs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags, identity

from pipeline.operators.errors import TrainingError
from storage.function import StoredFunction
from storage.volumes import volumes

__all__ = ["evaluation_matrix", "interpolation"]

Array = NDArray[np.float64]


def evaluation_matrix(
    mesh: Mapping[str, Any], space: Mapping[str, Any], points: Array, cells: NDArray[np.integer]
) -> csr_matrix:
    """Return E (n·v, dim), the values (n, v) at points of functions of a space.

    Args:
        mesh: the stored mesh.
        space: tables of the space; v is the number of its values at a point.
        points: (n, gdim).
        cells: (nc, k) the points that lie in each cell, on its boundary or inside.
    """
    function = StoredFunction(mesh, space, np.zeros(int(space["dim"])))
    every, dofmap = np.arange(len(cells)), np.asarray(space["dofmap"])
    block, weight = int(space["block_size"]), volumes(mesh)
    rows, columns, entries = [], [], []
    values = 1
    for place in np.asarray(cells).T:
        phi = function.basis(every, function.pull_back(every, points[place]))
        values = phi.shape[2] * block
        for v in range(phi.shape[2]):
            for b in range(block):
                rows.append(np.repeat(place * values + v * block + b, dofmap.shape[1]))
                columns.append((dofmap * block + b).ravel())
                entries.append((phi[:, :, v] * weight[:, None]).ravel())
    shape = (len(points) * values, int(space["dim"]))
    place = (np.concatenate(rows), np.concatenate(columns))
    total = np.bincount(cells.ravel(), np.repeat(weight, cells.shape[1]), minlength=len(points))
    matrix = csr_matrix(coo_matrix((np.concatenate(entries), place), shape=shape))
    matrix = csr_matrix(diags(np.repeat(1.0 / np.maximum(total, 1e-300), values)) @ matrix)
    matrix.data[np.abs(matrix.data) < 1e-13] = 0.0
    matrix.eliminate_zeros()
    return matrix


def interpolation(space: Mapping[str, Any]) -> tuple[Array, csr_matrix]:
    """Return points (n, gdim) and Π (dim, n·v): coefficients from values (n, v) there.

    Raises:
        TrainingError: the data set stores no interpolation for the space.
    """
    if "interpolation" in space:
        table = space["interpolation"]
        return np.asarray(table["points"], dtype=np.float64), csr_matrix(table["matrix"])
    if "points" not in space:
        raise TrainingError(
            f"space {space['family']}{space['degree']}: the data set has no interpolation for it; "
            "give coefficients"
        )
    return np.asarray(space["points"], dtype=np.float64), identity(int(space["dim"]), format="csr")
