"""VTKHDF: functions of one sample as a file that ParaView and VTK open, written with h5py.

The format is VTK's own (https://docs.vtk.org/en/latest/vtk_file_formats/vtkhdf_file_format/),
an `UnstructuredGrid` of version 2.0, which has time steps. What a file can hold of a function:

- continuous Lagrange (P1, P2, …, MINI): its values at the vertices, `PointData`; exact for P1.
  On quadratic cells, which have nodes on edges, faces and inside too, exact for P2;
- all others (DG, CR, Raviart–Thomas, BDM, Nédélec), which jump at facets: their values at the
  middles of the cells, `CellData`; exact for DG0.

Vectors get three components, as VTK wants them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from storage.function import StoredFunction
from storage.hdf5 import build_image

__all__ = ["VtkCells", "VtkField", "vtk_cells", "vtk_field", "vtkhdf"]

type Array = NDArray[np.float64]

VERSION = (2, 0)
_CELLS = {
    "interval": (3, (0, 1)),
    "triangle": (5, (0, 1, 2)),
    "quadrilateral": (9, (0, 1, 3, 2)),
    "tetrahedron": (10, (0, 1, 2, 3)),
    "hexahedron": (12, (0, 1, 3, 2, 4, 5, 7, 6)),
}
"""VTK's number of a cell type, and its order of our vertices (Basix numbers a square row-wise)."""
_QUADRATIC = {
    "interval": (21, ("01",)),
    "triangle": (22, ("01", "12", "02")),
    "quadrilateral": (28, ("01", "12", "23", "03", "0123")),
    "tetrahedron": (24, ("01", "12", "02", "03", "13", "23")),
    "hexahedron": (
        29,
        ("01", "12", "23", "03", "45", "56", "67", "47", "04", "15", "26", "37")
        + ("0347", "1256", "0145", "2367", "0123", "4567", "01234567"),
    ),
}
"""VTK's number of the quadratic cell, and of which corners (in VTK's order) each further node is
the middle."""


@dataclass(frozen=True, eq=False)
class VtkField:
    """Values of a function as VTK holds them.

    Attributes:
        at_points: of vertices, else of cells.
        values: (T, points or cells) scalars, (T, points or cells, 3) vectors, others (…, v).
    """

    at_points: bool
    values: Array


@dataclass(frozen=True, eq=False)
class VtkCells:
    """Cells as VTK has them, and where their nodes are on ours.

    Attributes:
        kind: VTK's number of the cell type.
        cells: (nc, k) nodes, in VTK's order.
        corners: (nodes, c) the vertices whose middle a node is, -1 where there are fewer.
        owner: (nodes) a cell that has the node.
        reference: (nodes, tdim) where it is in that cell.
    """

    kind: int
    cells: NDArray[np.int64]
    corners: NDArray[np.int64]
    owner: NDArray[np.int64]
    reference: Array

    def points(self, vertices: Array) -> Array:
        """The nodes' places (nodes, gdim), of the vertices' (nv, gdim)."""
        used = self.corners >= 0
        return (vertices[self.corners] * used[..., None]).sum(axis=1) / used.sum(axis=1)[:, None]


def vtk_cells(mesh: Mapping[str, Any], quadratic: bool = False) -> VtkCells:
    """Return the mesh's cells as linear ones, or as quadratic ones of the same shape.

    Nodes of linear cells are numbered as the mesh does; of quadratic ones vertices come first.
    """
    name = str(mesh["cell_type"])
    kind, order = _CELLS[name]
    vertices = np.asarray(mesh["cells"], dtype=np.int64)[:, order]
    places: list[tuple[int, ...]] = [(k,) for k in range(len(order))]
    cells, corners = vertices, np.arange(len(np.asarray(mesh["points"])))[:, None]
    if quadratic:
        kind, middles = _QUADRATIC[name]
        places += [tuple(map(int, text)) for text in middles]
        cells, corners = _with_middles(vertices, places)
    at = _reference_corners(name)[list(order)]
    where = np.stack([at[list(place)].mean(axis=0) for place in places])
    owner, local = np.zeros((2, len(corners)), dtype=np.int64)
    for k in range(cells.shape[1]):
        owner[cells[:, k]], local[cells[:, k]] = np.arange(len(cells)), k
    return VtkCells(kind, cells, corners, owner, where[local])


def _with_middles(
    vertices: NDArray[np.int64], places: list[tuple[int, ...]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Nodes of the cells (nc, places), and the vertices (nodes, c) they are the middles of."""
    width = max(map(len, places))
    sets = np.full((len(vertices), len(places), width), -1, dtype=np.int64)
    for k, place in enumerate(places):
        sets[:, k, width - len(place) :] = np.sort(vertices[:, place], axis=1)
    corners, number = np.unique(sets.reshape(-1, width), axis=0, return_inverse=True)
    return number.reshape(len(vertices), len(places)), corners


def vtk_field(
    mesh: Mapping[str, Any],
    space: Mapping[str, Any],
    coefficients: Array,
    cells: VtkCells | None = None,
) -> VtkField:
    """Return what VTK can hold of a function.

    Args:
        mesh: the stored mesh, its points moved where the sample has a geometry of its own.
        space: tables of the space.
        coefficients: (T, dim), T = 1 without a time axis.
        cells: of `vtk_cells`, those that the file has; linear ones by default.
    """
    if at_points := _continuous(space):
        nodes = vtk_cells(mesh) if cells is None else cells
        owner, where = nodes.owner, nodes.reference
    else:
        owner = np.arange(len(np.asarray(mesh["cells"])))
        middle = _reference_corners(str(mesh["cell_type"])).mean(axis=0)
        where = np.tile(middle, (len(owner), 1))
    steps = [StoredFunction(mesh, space, u).evaluate(owner, where) for u in coefficients]
    return VtkField(at_points, _three_components(np.stack(steps)))


def vtkhdf(
    mesh: Mapping[str, Any],
    fields: Mapping[str, VtkField],
    times: Array | None = None,
    cells: VtkCells | None = None,
    about: Mapping[str, str] | None = None,
) -> bytes:
    """Return the bytes of a VTKHDF file.

    Args:
        mesh: the stored mesh.
        fields: name → its values; those with one step are the same at all times.
        times: (T) of the steps; None without a time axis.
        cells: of `vtk_cells`, those that the fields were made for; linear ones by default.
        about: attributes of the root.

    Raises:
        ValueError: a field has neither one step nor as many as there are times.
    """
    steps = 1 if times is None else len(times)
    for name, field in fields.items():
        if len(field.values) not in (1, steps):
            raise ValueError(f"field {name!r} has {len(field.values)} steps; expected 1 or {steps}")
    nodes = vtk_cells(mesh) if cells is None else cells
    places = nodes.points(np.asarray(mesh["points"], dtype=np.float64))
    points = np.pad(places, ((0, 0), (0, 3 - places.shape[1])))

    def fill(file: h5py.File) -> None:
        root = file.create_group("VTKHDF")
        root.attrs["Version"] = np.array(VERSION, dtype=np.int64)
        root.attrs.create("Type", b"UnstructuredGrid", dtype=h5py.string_dtype("ascii", 16))
        file.attrs.update(about or {})
        for name, count in _counts(points, nodes.cells).items():
            root[name] = np.array([count], dtype=np.int64)
        root["Points"], root["Connectivity"] = points, nodes.cells.ravel()
        root["Offsets"] = np.arange(len(nodes.cells) + 1, dtype=np.int64) * nodes.cells.shape[1]
        root["Types"] = np.full(len(nodes.cells), nodes.kind, dtype=np.uint8)
        for name, field in fields.items():
            data = root.require_group("PointData" if field.at_points else "CellData")
            data[name] = field.values.reshape(-1, *field.values.shape[2:])
        if times is not None:
            _add_steps(root, np.asarray(times, dtype=np.float64), fields)

    size = points.nbytes + 2 * nodes.cells.nbytes + sum(f.values.nbytes for f in fields.values())
    return build_image(fill, size)


def _add_steps(root: h5py.Group, times: Array, fields: Mapping[str, VtkField]) -> None:
    """The mesh is stored once and read at every step: its offsets are all zero."""
    steps = root.create_group("Steps")
    steps.attrs["NSteps"] = np.int64(len(times))
    steps["Values"] = times
    zeros = np.zeros(len(times), dtype=np.int64)
    steps["PartOffsets"], steps["PointOffsets"] = zeros, zeros
    steps["NumberOfParts"] = zeros + 1
    steps["CellOffsets"] = steps["ConnectivityIdOffsets"] = zeros[:, None]
    for name, field in fields.items():
        offsets = steps.require_group(f"{'Point' if field.at_points else 'Cell'}DataOffsets")
        count, length = field.values.shape[:2]
        offsets[name] = np.arange(len(times)) * length if count > 1 else zeros


def _counts(points: Array, cells: NDArray[np.int64]) -> dict[str, int]:
    return {
        "NumberOfPoints": len(points),
        "NumberOfCells": len(cells),
        "NumberOfConnectivityIds": cells.size,
    }


def _continuous(space: Mapping[str, Any]) -> bool:
    return str(space["family"]) in ("P", "MINI") and not space["discontinuous"]


def _reference_corners(kind: str) -> Array:
    import basix

    return np.asarray(basix.geometry(basix.CellType[kind]), dtype=np.float64)


def _three_components(values: Array) -> Array:
    """(T, n, v) → (T, n) for scalars, (T, n, 3) for vectors in the plane."""
    v = values.shape[2]
    if v == 1:
        return values[:, :, 0]
    return np.pad(values, ((0, 0), (0, 0), (0, 1))) if v == 2 else values
