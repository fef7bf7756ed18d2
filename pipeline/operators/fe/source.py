"""Loads ∫ q f of what may be the source of a conservation law div σ = f_h, f_h = Q⁻¹ ∫ q f."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from storage.elements import StoredElement, shape_functions

if TYPE_CHECKING:
    from storage import Dataset

__all__ = ["mixed_mass", "source_loads"]

Array = NDArray[np.float64]


def source_loads(
    dataset: Dataset, target: Mapping[str, Any]
) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """Each scalar input and parameter f with the map f (dim, B) → ∫ q_i f (dim Q, B).

    Args:
        dataset: of which all scalar inputs and scalar parameters are candidates.
        target: tables of the space Q of divergences.
    """
    for name in dataset.inputs:
        space = dataset.spaces[dataset.fields[name].space]
        if space["map_type"] == "identity" and int(space["block_size"]) == 1:
            yield name, mixed_mass(dataset.mesh, target, space).__matmul__
    one = np.asarray(csr_matrix(target["grams"]["mass"]).sum(axis=1)).reshape(-1, 1)
    for name in dataset.parameters:
        if dataset.columns[f"parameters/{name}"]["shape"] == []:
            yield name, one.__matmul__


def mixed_mass(
    mesh: Mapping[str, Any], target: Mapping[str, Any], source: Mapping[str, Any]
) -> csr_matrix:
    """Return N (dim target, dim source), N_ij = ∫ q_i φ_j dx, exact on affine cells.

    Args:
        mesh: tables of the mesh, whose cells are affine.
        target: tables of the scalar space of q.
        source: tables of the scalar space of φ.
    """
    import basix

    cell = str(mesh["cell_type"])
    degree = int(target["degree"]) + int(source["degree"]) + 2 * (source["family"] == "MINI")
    degree *= 1 if cell in ("triangle", "tetrahedron") else int(mesh["tdim"])
    X, weights = map(np.asarray, basix.make_quadrature(basix.CellType[cell], degree))
    q, phi = (StoredElement(space).tabulate(X)[..., 0] for space in (target, source))
    reference = np.einsum("x,xi,xj->ij", weights, q, phi)
    vertices = np.asarray(mesh["points"])[np.asarray(mesh["cells"])]
    gradients = shape_functions(cell, X[:1])[1][0]
    volume = np.abs(np.linalg.det(np.einsum("nkg,kj->ngj", vertices, gradients)))
    blocks = volume[:, None, None] * reference
    rows, columns = np.asarray(target["dofmap"]), np.asarray(source["dofmap"])
    i = np.broadcast_to(rows[:, :, None], blocks.shape)
    j = np.broadcast_to(columns[:, None, :], blocks.shape)
    shape = (int(target["dim"]), int(source["dim"]))
    return csr_matrix((blocks.ravel(), (i.ravel(), j.ravel())), shape=shape)
