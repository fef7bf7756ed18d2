"""A user's own mesh: a gmsh file (.msh) whose physical groups become names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshes.gmsh_model import elements, gmsh_session, nodes
from meshes.grid import Grid, regular_grid
from meshes.quality import TDIM, MeshError, check_quality
from meshes.rows import row_keys
from meshes.tagged import TaggedMesh, drop_unused, facet_table

__all__ = ["UserMesh"]

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class UserMesh:
    """The mesh in a gmsh file: format 4.1 or 2.2, ASCII or binary, straight-sided cells.

    Cells are those of the highest dimension in the file. Physical groups of facets become
    boundary names, also on facets within the domain; those of cells become subdomains. A group
    without a name is called group_<tag>.

    Attributes:
        path: The file.
        dimension: Dimension that the mesh has to have; any if None.
    """

    path: str | Path
    dimension: int | None = None

    def mesh(self) -> TaggedMesh:
        """Return the mesh. Needs gmsh.

        Raises:
            MeshError: There is no such file, it is no mesh, has no cells of the dimension, cells
                of several types or of higher order, bad cells (which are named), a surface in
                space, groups of anything but facets and cells, or overlapping subdomains.
        """
        _check_file(Path(self.path))
        try:
            with gmsh_session() as gmsh:
                gmsh.open(str(self.path))
                mesh = _read(gmsh, self.dimension)
            check_quality(mesh.points, mesh.cells, mesh.cell_type)
        except MeshError as error:
            raise MeshError(f"{self.path}: {error}") from error
        return mesh

    def grid(self, shape: Sequence[int] | None = None) -> Grid:
        """Return a regular grid over the bounding box, by default about as fine as the mesh."""
        return regular_grid(self.mesh(), shape)


def _check_file(path: Path) -> None:
    """Gmsh guesses what a file is, and would run a script: look at it first."""
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise MeshError(f"{path}: can't be read ({error.strerror}); give a .msh file") from None
    if b"$MeshFormat" not in start or path.suffix != ".msh":
        raise MeshError(
            f"{path}: is not a gmsh mesh (a file named .msh that starts with $MeshFormat); save it "
            "from gmsh in format 4.1 or 2.2"
        )


def _read(gmsh: Any, dimension: int | None) -> TaggedMesh:
    there = [d for d in (1, 2, 3) if len(gmsh.model.mesh.getElements(d)[0])]
    if not there or (dimension is not None and dimension != there[-1]):
        found = f"cells of dimension {there[-1]}" if there else "no cells"
        wanted = "1, 2 or 3" if dimension is None else str(dimension)
        raise MeshError(f"the mesh has {found}; expected dimension {wanted}: save the cells, too")
    tdim = there[-1]
    tags, points = nodes(gmsh)
    kind, by_tag = elements(gmsh, tdim)
    _check_flat(points[np.isin(tags, by_tag)], tdim)
    points, cells, new = drop_unused(points[:, :tdim], np.searchsorted(tags, by_tag))
    numbers = _Numbering(tags, new)
    facets = _facet_groups(gmsh, kind, cells, numbers)
    return TaggedMesh(points, cells, kind, facets, _cell_groups(gmsh, kind, cells, numbers))


def _check_flat(points: NDArray[np.float64], tdim: int) -> None:
    """The coordinates beyond the mesh's dimension have to be constant."""
    spread, size = np.ptp(points[:, tdim:], axis=0), np.ptp(points)
    if tdim < 3 and spread.max() > 1e-12 * size:
        where = {1: "on the x axis", 2: "in the xy plane"}[tdim]
        raise MeshError(
            f"the mesh has cells of dimension {tdim} but is not {where} (other coordinates vary "
            f"by {spread.max():.3g}); curves and surfaces in space are not supported"
        )


@dataclass(frozen=True)
class _Numbering:
    """From tags of gmsh's nodes to the numbers of the vertices kept (−1: dropped)."""

    tags: Numbers
    new: Numbers

    def __call__(self, by_tag: Numbers) -> Numbers:
        return self.new[np.searchsorted(self.tags, by_tag)]


def _groups(gmsh: Any, dim: int) -> dict[str, Numbers]:
    """Physical groups of a dimension: name → tags of the nodes of its elements, shape (n, k)."""
    found: dict[str, Numbers] = {}
    for _, tag in gmsh.model.getPhysicalGroups(dim):
        name = gmsh.model.getPhysicalName(dim, tag) or f"group_{tag}"
        if "/" in name or name in (".", "..", "boundary"):
            raise MeshError(
                f"physical group {name!r} of dimension {dim}: the name can't be stored; rename it "
                "('boundary' always means all exterior facets)"
            )
        entities = gmsh.model.getEntitiesForPhysicalGroup(dim, tag)
        parts = [elements(gmsh, dim, int(entity))[1] for entity in entities]
        parts = [part for part in parts if len(part)]
        if parts:
            found[name] = np.concatenate(parts)
    return found


def _facet_groups(gmsh: Any, kind: str, cells: Numbers, numbers: _Numbering) -> dict[str, Numbers]:
    """The groups of facets, in the vertex order that the facets have in a cell."""
    table = facet_table(kind)
    all_facets = cells[:, table].reshape(-1, table.shape[1])
    found = {}
    for name, by_tag in _groups(gmsh, TDIM[kind] - 1).items():
        place = _places(numbers(by_tag), all_facets, f"facets of physical group {name!r}")
        found[name] = all_facets[np.unique(place)]
    return found


def _cell_groups(gmsh: Any, kind: str, cells: Numbers, numbers: _Numbering) -> dict[str, Numbers]:
    taken = np.full(len(cells), -1)
    found: dict[str, Numbers] = {}
    for name, by_tag in _groups(gmsh, TDIM[kind]).items():
        place = _places(numbers(by_tag), cells, f"cells of physical group {name!r}")
        twice = place[taken[place] >= 0]
        if len(twice):
            other = list(found)[taken[twice[0]]]
            raise MeshError(
                f"cell {twice[0]} is in the physical groups {other!r} and {name!r}; subdomains "
                "can't overlap: leave it in one"
            )
        taken[place] = len(found)
        found[name] = np.sort(place)
    return found


def _places(rows: Numbers, among: Numbers, what: str) -> Numbers:
    """The first row of `among` with the vertices of each row."""
    keys = row_keys(np.sort(np.concatenate([among, np.where(rows < 0, 0, rows)]), axis=1))
    known, first = np.unique(keys[: len(among)], return_index=True)
    wanted = keys[len(among) :]
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    lost = (known[place] != wanted) | (rows < 0).any(axis=1)
    if lost.any():
        raise MeshError(
            f"{lost.sum()} {what} belong to no cell, the first has vertices "
            f"{rows[lost][0].tolist()}: mesh the domain as a whole, conforming"
        )
    return first[place]
