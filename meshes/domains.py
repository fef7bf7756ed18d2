"""Domains and the arrays of their meshes, made once, by one process."""

from dataclasses import dataclass
from typing import Any, Protocol

import dolfinx.mesh
import numpy as np
from dolfinx.mesh import CellType, DiagonalType, Mesh
from mpi4py import MPI
from numpy.typing import NDArray

__all__ = ["Domain", "UnitSquare", "mesh_tree"]


class Domain(Protocol):
    """A domain that can be meshed by one process, and covered by a regular grid."""

    def mesh(self) -> Mesh:
        """Return a serial mesh of the domain."""

    def grid(self) -> tuple[tuple[int, ...], NDArray[np.float64]]:
        """Return shape and points (∏ shape, gdim) of a regular grid within the domain."""


@dataclass(frozen=True)
class UnitSquare:
    """The unit square (0, 1)², cut into `resolution`² squares of two triangles each.

    Attributes:
        resolution: Number of cells along a side.
        diagonal: Which diagonal cuts a square: "right", "left" or "crossed" (four triangles).
    """

    resolution: int
    diagonal: str = "right"

    def mesh(self) -> Mesh:
        """Return a serial mesh of the square."""
        return dolfinx.mesh.create_unit_square(
            MPI.COMM_SELF,
            self.resolution,
            self.resolution,
            CellType.triangle,
            diagonal=DiagonalType[self.diagonal],
        )

    def grid(self) -> tuple[tuple[int, ...], NDArray[np.float64]]:
        """Return the (resolution + 1)² vertices of the squares, x slowest."""
        side = np.linspace(0.0, 1.0, self.resolution + 1)
        points = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
        return (side.size, side.size), points


def mesh_tree(domain: Domain) -> dict[str, Any]:
    """Mesh a domain and return the `mesh` tree of `spaces.h5` (docs/format.md). Not collective.

    Returns:
        `points` (nv, gdim) float64, `cells` (nc, k) int64 of vertex numbers in DOLFINx's
        vertex order of the cell type, and the attributes `cell_type`, `gdim`, `tdim`.
    """
    msh = domain.mesh()
    gdim = msh.geometry.dim
    return {
        "points": np.array(msh.geometry.x[:, :gdim]),
        "cells": np.array(msh.geometry.dofmaps[0], dtype=np.int64),
        "cell_type": msh.topology.cell_type.name,
        "gdim": gdim,
        "tdim": msh.topology.dim,
    }
