"""VTKHDF: functions of one sample as a file that ParaView and VTK open, written with h5py.

The format is VTK's own (https://docs.vtk.org/en/latest/vtk_file_formats/vtkhdf_file_format/),
an `UnstructuredGrid` of version 2.0, which has time steps. What a file can hold of a function:

- continuous Lagrange (P1, P2, …, MINI): its values at the vertices, `PointData`; exact for P1;
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

__all__ = ["VtkField", "vtk_field", "vtkhdf"]

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


@dataclass(frozen=True, eq=False)
class VtkField:
    """Values of a function as VTK holds them.

    Attributes:
        at_points: of vertices, else of cells.
        values: (T, points or cells) scalars, (T, points or cells, 3) vectors, others (…, v).
    """

    at_points: bool
    values: Array


def vtk_field(mesh: Mapping[str, Any], space: Mapping[str, Any], coefficients: Array) -> VtkField:
    """Return what VTK can hold of a function.

    Args:
        mesh: the stored mesh, its points moved where the sample has a geometry of its own.
        space: tables of the space.
        coefficients: (T, dim), T = 1 without a time axis.
    """
    cells = np.asarray(mesh["cells"], dtype=np.int64)
    corners = _reference_corners(str(mesh["cell_type"]))
    if at_points := _continuous(space):
        count = len(np.asarray(mesh["points"]))
        owner, local = np.zeros((2, count), dtype=np.int64)
        for k in range(cells.shape[1]):
            owner[cells[:, k]], local[cells[:, k]] = np.arange(len(cells)), k
        where = corners[local]
    else:
        owner = np.arange(len(cells))
        where = np.tile(corners.mean(axis=0), (len(cells), 1))
    steps = [StoredFunction(mesh, space, u).evaluate(owner, where) for u in coefficients]
    return VtkField(at_points, _three_components(np.stack(steps)))


def vtkhdf(
    mesh: Mapping[str, Any], fields: Mapping[str, VtkField], times: Array | None = None
) -> bytes:
    """Return the bytes of a VTKHDF file.

    Args:
        mesh: the stored mesh.
        fields: name → its values; those with one step are the same at all times.
        times: (T) of the steps; None without a time axis.

    Raises:
        ValueError: a field has neither one step nor as many as there are times.
    """
    steps = 1 if times is None else len(times)
    for name, field in fields.items():
        if len(field.values) not in (1, steps):
            raise ValueError(f"field {name!r} has {len(field.values)} steps; expected 1 or {steps}")
    kind, order = _CELLS[str(mesh["cell_type"])]
    points = np.zeros((len(np.asarray(mesh["points"])), 3))
    points[:, : int(mesh["gdim"])] = mesh["points"]
    cells = np.asarray(mesh["cells"], dtype=np.int64)[:, order]

    def fill(file: h5py.File) -> None:
        root = file.create_group("VTKHDF")
        root.attrs["Version"] = np.array(VERSION, dtype=np.int64)
        root.attrs.create("Type", b"UnstructuredGrid", dtype=h5py.string_dtype("ascii", 16))
        for name, count in _counts(points, cells).items():
            root[name] = np.array([count], dtype=np.int64)
        root["Points"], root["Connectivity"] = points, cells.ravel()
        root["Offsets"] = np.arange(len(cells) + 1, dtype=np.int64) * cells.shape[1]
        root["Types"] = np.full(len(cells), kind, dtype=np.uint8)
        for name, field in fields.items():
            data = root.require_group("PointData" if field.at_points else "CellData")
            data[name] = field.values.reshape(-1, *field.values.shape[2:])
        if times is not None:
            _add_steps(root, np.asarray(times, dtype=np.float64), fields)

    size = points.nbytes + 2 * cells.nbytes + sum(f.values.nbytes for f in fields.values())
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
