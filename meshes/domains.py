"""What a domain is, and the arrays of its mesh, made once, by one process."""

from typing import Any, Protocol

import dolfinx.mesh
import numpy as np
from numpy.typing import NDArray

from meshes.quality import check_quality
from meshes.tagged import TaggedMesh, from_dolfinx

__all__ = ["Circles", "Domain", "mesh_tree", "tagged_tree"]

type Circles = dict[str, tuple[tuple[tuple[float, float], float], ...]]
"""Boundary name → the circles (centre, radius) that it lies on."""


class Domain(Protocol):
    """A domain that can be meshed by one process, and covered by a regular grid.

    A domain with curved sides also has `circles: Circles`; see `meshes.hierarchy`.
    """

    def mesh(self) -> TaggedMesh | dolfinx.mesh.Mesh:
        """Return a serial mesh of the domain; a bare DOLFINx mesh is one without names."""

    def grid(
        self, shape: tuple[int, ...] | None = None
    ) -> tuple[tuple[int, ...], NDArray[np.float64], NDArray[np.bool_]]:
        """Return a regular grid over the bounding box; see `meshes.grid.regular_grid`."""


def mesh_tree(domain: Domain) -> dict[str, Any]:
    """Mesh a domain and return the `mesh` tree of `spaces.h5` (docs/format.md). Not collective.

    Returns:
        See `tagged_tree`.

    Raises:
        MeshError: A cell is degenerate, inverted or doubled; it says where.
    """
    mesh = domain.mesh()
    if isinstance(mesh, dolfinx.mesh.Mesh):
        mesh = from_dolfinx(mesh)
    return tagged_tree(mesh)


def tagged_tree(mesh: TaggedMesh) -> dict[str, Any]:
    """Return the `mesh` tree of a mesh.

    Returns:
        `points` (nv, gdim) float64, `cells` (nc, k) int64 of vertex numbers in DOLFINx's
        vertex order of the cell type, and the attributes `cell_type`, `gdim`, `tdim`. Where
        there are names, `facet_tags`: `vertices` (nf, k) int64, `values` (nf) int32 and the
        group `names`, name → value; a facet with two names has two rows. The same for
        `cell_tags`, whose `values` (nc) int32 are 0 on cells without a name.

    Raises:
        MeshError: A cell is degenerate, inverted or doubled; it says where.
    """
    check_quality(mesh.points, mesh.cells, mesh.cell_type)
    tree: dict[str, Any] = {
        "points": np.array(mesh.points, dtype=np.float64, order="C"),
        "cells": np.array(mesh.cells, dtype=np.int64, order="C"),
        "cell_type": mesh.cell_type,
        "gdim": mesh.gdim,
        "tdim": mesh.tdim,
    }
    if mesh.facets:
        tree["facet_tags"] = _facet_tags(mesh)
    if mesh.subdomains:
        values = np.zeros(len(mesh.cells), dtype=np.int32)
        for value, cells in enumerate(mesh.subdomains.values(), start=1):
            values[cells] = value
        tree["cell_tags"] = {"values": values, "names": _numbered(mesh.subdomains)}
    return tree


def _facet_tags(mesh: TaggedMesh) -> dict[str, Any]:
    facets = list(mesh.facets.values())
    values = [np.full(len(rows), value, np.int32) for value, rows in enumerate(facets, start=1)]
    return {
        "vertices": np.concatenate(facets).astype(np.int64),
        "values": np.concatenate(values),
        "names": _numbered(mesh.facets),
    }


def _numbered(names: dict[str, Any]) -> dict[str, int]:
    return {name: value for value, name in enumerate(names, start=1)}
