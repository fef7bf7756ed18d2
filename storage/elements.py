"""Finite elements from stored tables, with Basix alone: no MPI, no DOLFINx."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["StoredElement", "inverse", "shape_functions"]

type Array = NDArray[np.float64]

BUBBLE_DEGREE = {
    "interval": 2,
    "triangle": 3,
    "tetrahedron": 4,
    "quadrilateral": 2,
    "hexahedron": 2,
}


class StoredElement:
    """The element of a stored space, blocks not expanded.

    Attributes:
        map_type: "identity", "covariantPiola" or "contravariantPiola".
    """

    def __init__(self, space: Mapping[str, Any]) -> None:
        """Make the element that `family`, `degree`, `cell_type` and the variants describe."""
        self.map_type = str(space["map_type"])
        self._transforms = bool(space["needs_transformations"])
        self._bubble = None
        cell, family = str(space["cell_type"]), str(space["family"])
        if family == "MINI":
            self._element = _basix_element("P", cell, 1)
            self._bubble = _basix_element("bubble", cell, BUBBLE_DEGREE[cell])
        else:
            self._element = _basix_element(
                family,
                cell,
                int(space["degree"]),
                str(space["lagrange_variant"]),
                str(space["dpc_variant"]),
                bool(space["discontinuous"]),
            )

    def entities(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Return each sub-entity of a cell that has nodes: (its local vertices, its nodes)."""
        import basix

        vertices = basix.topology(self._element.cell_type)
        found = [
            (tuple(where), tuple(dofs))
            for places, entities in zip(vertices, self._element.entity_dofs, strict=True)
            for where, dofs in zip(places, entities, strict=True)
            if len(dofs)
        ]
        inside = range(self._element.dim, self._element.dim + (self._bubble is not None))
        return found + [(tuple(vertices[-1][0]), tuple(inside))] * (self._bubble is not None)

    def tabulate(self, X: Array) -> Array:
        """Return the reference basis ψ (n, d, v) at reference points X (n, tdim)."""
        values = np.asarray(self._element.tabulate(0, X))[0]
        if self._bubble is None:
            return values
        # MINI's dofs are values at the vertices and the bubble's point m, where it is 1.
        bubble = np.asarray(self._bubble.tabulate(0, X))[0]
        middle = np.asarray(self._element.tabulate(0, np.asarray(self._bubble.points)))[0]
        return np.concatenate([values - middle * bubble, bubble], axis=1)

    def transformations(self, info: NDArray[np.uint32]) -> Array | None:
        """Return T (n, d, d) of cells with these `cell_permutation_info`; None if identities."""
        if not self._transforms:
            return None
        kinds, inverse_index = np.unique(info, return_inverse=True)
        d = self._element.dim
        T = np.tile(np.eye(d), (len(kinds), 1, 1))
        for matrix, kind in zip(T, kinds, strict=True):
            self._element.T_apply(matrix.reshape(-1), d, int(kind))
        return T[inverse_index]

    def push_forward(self, psi: Array, J: Array) -> Array:
        """Return φ (n, d, v) of ψ (n, d, v) where the cell's map has Jacobian J (n, g, g)."""
        if self.map_type == "identity":
            return psi
        if self.map_type == "covariantPiola":
            return psi @ inverse(J)
        return psi @ np.swapaxes(J, 1, 2) / np.linalg.det(J)[:, None, None]


def shape_functions(cell_type: str, X: Array) -> tuple[Array, Array]:
    """Return N_k (n, k) and ∂N_k/∂X_j (n, k, j) of straight cells at X (n, tdim)."""
    tables = np.asarray(_basix_element("P", cell_type, 1).tabulate(1, X))[..., 0]
    return tables[0], np.moveaxis(tables[1:], 0, -1)


def inverse(J: Array) -> Array:
    """Inverses of small matrices (n, g, g); NaN for singular ones."""
    singular = (np.linalg.det(J) == 0.0)[:, None, None]
    return np.where(singular, np.nan, np.linalg.inv(np.where(singular, np.eye(J.shape[1]), J)))


def _basix_element(
    family: str,
    cell: str,
    degree: int,
    lagrange: str | None = None,
    dpc: str = "unset",
    discontinuous: bool = False,
) -> Any:
    import basix

    lagrange = lagrange or ("gll_warped" if family == "P" else "unset")
    return basix.create_element(
        basix.ElementFamily[family],
        basix.CellType[cell],
        degree,
        basix.LagrangeVariant[lagrange],
        basix.DPCVariant[dpc],
        discontinuous,
    )
