"""A DOLFINx mesh from stored arrays: the only way a mesh is made once `spaces.h5` exists."""

from typing import Any

import basix.ufl
import numpy as np
from dolfinx.mesh import GhostMode, Mesh, create_cell_partitioner, create_mesh
from mpi4py import MPI

__all__ = ["mesh_from_tree"]


def mesh_from_tree(comm: MPI.Comm, tree: dict[str, Any]) -> Mesh:
    """Build the mesh of the stored `mesh` tree on a communicator. Collective.

    DOLFINx keeps the vertex order inside each stored cell on every number of ranks, so the
    reference cell of stored cell i is the same everywhere. `topology.original_cell_index`
    leads from a local cell to its stored cell.

    Ranks hold a ghost layer of the cells across their facets: without it integrals over interior
    facets miss those between ranks, and on intervals DOLFINx 0.11 takes the points between ranks
    for exterior ones.

    Args:
        comm: Any communicator; each rank holds the whole `tree`, rank 0's is used.
        tree: `points` (nv, gdim), `cells` (nc, k), attribute `cell_type`.

    Returns:
        The mesh, distributed over `comm`.
    """
    points = np.ascontiguousarray(tree["points"], dtype=np.float64)
    cells = np.ascontiguousarray(tree["cells"], dtype=np.int64)
    if comm.rank > 0:
        points, cells = points[:0], cells[:0]
    element = basix.ufl.element("Lagrange", tree["cell_type"], 1, shape=(points.shape[1],))
    partitioner = create_cell_partitioner(GhostMode.shared_facet, 2)  # type: ignore[call-arg]
    return create_mesh(comm, cells, element, points, partitioner)  # type: ignore[arg-type]
