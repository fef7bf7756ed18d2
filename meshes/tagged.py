"""A mesh as arrays, with names on parts of its boundary and of its interior."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import basix
import dolfinx.mesh
import numpy as np
from numpy.typing import NDArray

from meshes.quality import TDIM, MeshError
from meshes.rows import row_keys

__all__ = ["TaggedMesh", "boundary_facets", "facet_table", "from_dolfinx", "name_boundary"]

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class TaggedMesh:
    """Straight-sided cells of one type, and names. Arrays, because they are what is stored.

    The name "boundary" is never kept: it always means all exterior facets.

    Attributes:
        points: Vertices, shape (nv, gdim).
        cells: Vertex numbers in Basix's order, shape (nc, k).
        cell_type: "interval", "triangle", "quadrilateral", "tetrahedron" or "hexahedron".
        facets: Name → vertex numbers of its facets, shape (n, vertices a facet).
        subdomains: Name → its cells, shape (n,); subdomains don't overlap.
    """

    points: Array
    cells: Numbers
    cell_type: str
    facets: dict[str, Numbers] = field(default_factory=dict)
    subdomains: dict[str, Numbers] = field(default_factory=dict)

    @property
    def gdim(self) -> int:
        """Dimension of the space."""
        return self.points.shape[1]

    @property
    def tdim(self) -> int:
        """Dimension of the cells."""
        return TDIM[self.cell_type]


def facet_table(cell_type: str) -> Numbers:
    """Return the local vertices of each facet of a cell, shape (facets, k), in Basix's order."""
    topology = basix.topology(basix.CellType[cell_type])
    return np.array(topology[TDIM[cell_type] - 1], dtype=np.int64)


def boundary_facets(cells: Numbers, cell_type: str) -> Numbers:
    """Return the vertices of the facets that belong to one cell only, shape (n, k).

    Raises:
        MeshError: Three cells or more share a facet.
    """
    facets = cells[:, facet_table(cell_type)]
    rows = facets.reshape(-1, facets.shape[2])
    _, first, count = np.unique(
        row_keys(np.sort(rows, axis=1)), return_index=True, return_counts=True
    )
    if count.max() > 2:
        bad = int(first[count.argmax()])
        raise MeshError(
            f"{count.max()} cells share the facet of vertices {rows[bad].tolist()}, among them "
            f"cell {bad // facets.shape[1]}; two at most can meet there: remove cells that overlap"
        )
    return rows[np.sort(first[count == 1])]


def name_boundary(
    mesh: TaggedMesh, rules: Mapping[str, Callable[[Array], NDArray[np.bool_]]]
) -> TaggedMesh:
    """Return the mesh with each boundary facet named by the first rule that holds.

    Args:
        mesh: Its own names are dropped.
        rules: Name → function from midpoints (n, gdim) to a mask (n,).
    """
    facets = boundary_facets(mesh.cells, mesh.cell_type)
    midpoints = mesh.points[facets].mean(axis=1)
    free = np.ones(len(facets), dtype=bool)
    named = {}
    for name, holds in rules.items():
        mask = free & holds(midpoints)
        named[name], free = facets[mask], free & ~mask
    return TaggedMesh(mesh.points, mesh.cells, mesh.cell_type, named, mesh.subdomains)


def drop_unused(points: Array, cells: Numbers) -> tuple[Array, Numbers, Numbers]:
    """Return points and cells without the vertices of no cell, and the new number of each vertex.

    The number of a vertex that was dropped is −1.
    """
    used = np.zeros(len(points), dtype=bool)
    used[cells] = True
    new = np.where(used, np.cumsum(used) - 1, -1)
    return points[used], new[cells], new


def from_dolfinx(msh: dolfinx.mesh.Mesh) -> TaggedMesh:
    """Return the arrays of a serial DOLFINx mesh, without names.

    Raises:
        MeshError: Its cells are curved, or it is distributed.
    """
    if msh.comm.size > 1:
        raise MeshError(f"the mesh is on {msh.comm.size} ranks; make it on MPI.COMM_SELF")
    if (degree := msh.geometry.cmaps[0].degree) != 1:
        raise MeshError(f"the mesh has cells of degree {degree}; only straight ones are stored")
    return TaggedMesh(
        np.array(msh.geometry.x[:, : msh.geometry.dim]),
        np.array(msh.geometry.dofmaps[0], dtype=np.int64),
        msh.topology.cell_type.name,
    )
