"""Names on a mesh that was rebuilt from stored arrays, on any number of ranks."""

from typing import Any

import numpy as np
from dolfinx.mesh import Mesh, exterior_facet_indices
from mpi4py import MPI
from numpy.typing import NDArray

from meshes.quality import MeshError
from meshes.rows import row_keys
from meshes.tagged import facet_table

__all__ = ["BOUNDARY", "cell_tags_from_tree", "facet_tags_from_tree", "tag_names"]

BOUNDARY = "boundary"
"""The name that all exterior facets have, on every mesh."""


def tag_names(tree: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of facets in a `mesh` tree in the order of their values, then "boundary"."""
    names = tree["facet_tags"]["names"] if "facet_tags" in tree else {}
    return (*sorted(names, key=lambda name: names[name]), BOUNDARY)


def facet_tags_from_tree(mesh: Mesh, tree: dict[str, Any]) -> dict[str, NDArray[np.int32]]:
    """Return the facets of each name on a rebuilt mesh. Collective.

    DOLFINx keeps the vertex order of a stored cell, so that local facet j of a local cell is
    facet j of its stored cell: facets are matched by stored vertices, without communication.

    Args:
        mesh: What `mesh_from_tree` made of the tree, on any number of ranks.
        tree: The `mesh` tree, whole on every rank.

    Returns:
        Name → sorted indices of the local facets that this rank owns, so that sums over ranks
        count each facet once; "boundary" holds all exterior ones.

    Raises:
        MeshError: A stored facet is not a facet of any cell. Raised on all ranks.
    """
    tdim = mesh.topology.dim
    mesh.topology.create_connectivity(tdim - 1, tdim)
    mesh.topology.create_connectivity(tdim, tdim - 1)
    everywhere = np.sort(exterior_facet_indices(mesh.topology)).astype(np.int32)
    if "facet_tags" not in tree:
        return {BOUNDARY: everywhere}
    tags = tree["facet_tags"]
    facet, row = _matches(mesh, tree, np.asarray(tags["vertices"]))
    _check_found(mesh, np.asarray(tags["vertices"]), row)
    owned = facet < mesh.topology.index_map(tdim - 1).size_local
    facet, values = facet[owned], np.asarray(tags["values"])[row[owned]]
    found = {name: np.unique(facet[values == value]) for name, value in tags["names"].items()}
    return found | {BOUNDARY: everywhere}


def _matches(
    mesh: Mesh, tree: dict[str, Any], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """All pairs (local facet, row of `wanted`) of equal vertices."""
    topology = mesh.topology
    stored = np.asarray(tree["cells"])[np.asarray(topology.original_cell_index)]
    local = np.asarray(topology.connectivity(topology.dim, topology.dim - 1).array)
    vertices = stored[:, facet_table(tree["cell_type"])].reshape(len(local), -1)
    facets, first = np.unique(local, return_index=True)
    keys = row_keys(np.sort(np.concatenate([vertices[first], wanted]), axis=1))
    here, there = keys[: len(facets)], keys[len(facets) :]
    order = np.argsort(here)
    place = np.searchsorted(here[order], there)
    place = order[np.minimum(place, len(order) - 1)] if len(order) else place * 0
    rows = np.flatnonzero(here[place] == there) if len(order) else place[:0]
    return facets[place[rows]].astype(np.int32), rows


def _check_found(mesh: Mesh, wanted: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
    missing = np.ones(len(wanted), dtype=np.int32)
    missing[rows] = 0
    mesh.comm.Allreduce(MPI.IN_PLACE, missing, op=MPI.MIN)
    if missing.any():
        bad = int(np.flatnonzero(missing)[0])
        raise MeshError(
            f"facet {bad} of facet_tags has vertices {wanted[bad].tolist()}, which are no facet "
            "of a cell: the tags are not those of this mesh"
        )


def cell_tags_from_tree(mesh: Mesh, tree: dict[str, Any]) -> dict[str, NDArray[np.int32]]:
    """Return the local cells, ghosts included, of each named subdomain. Not collective."""
    if "cell_tags" not in tree:
        return {}
    tags = tree["cell_tags"]
    values = np.asarray(tags["values"])[np.asarray(mesh.topology.original_cell_index)]
    return {
        name: np.flatnonzero(values == value).astype(np.int32)
        for name, value in tags["names"].items()
    }
