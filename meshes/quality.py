"""Meshes that are no meshes: degenerate, inverted, doubled cells, each reported with its place."""

import math
from typing import Any

import basix
import numpy as np
from numpy.typing import NDArray

from meshes.rows import row_keys

__all__ = ["MeshError", "cell_volumes", "check_quality", "corner_jacobians"]

TDIM = {"interval": 1, "triangle": 2, "quadrilateral": 2, "tetrahedron": 3, "hexahedron": 3}
"""Topological dimension of the cell types that are supported."""

_VERTICES = {"interval": 2, "triangle": 3, "quadrilateral": 4, "tetrahedron": 4, "hexahedron": 8}
_DEGENERATE = 1e-12  # of h^d: below it det J is rounding


class MeshError(ValueError):
    """A mesh, a file of one, or a name on it, is not what it has to be."""


def corner_jacobians(
    points: NDArray[np.float64], cells: NDArray[np.int64], cell_type: str
) -> NDArray[np.float64]:
    """Return det J at the corners of each cell. Not collective.

    J is the derivative of the map from the reference cell (Basix's: unit simplex, unit cube).
    It is constant on simplices, which have one column.

    Args:
        points: Vertices, shape (nv, tdim).
        cells: Vertex numbers in Basix's order, shape (nc, k).
        cell_type: "interval", "triangle", "quadrilateral", "tetrahedron" or "hexahedron".

    Returns:
        Shape (nc, 1) for simplices, (nc, 2^tdim) otherwise, in units of length^tdim.
    """
    x, tdim = points[cells], TDIM[cell_type]
    if _VERTICES[cell_type] == tdim + 1:
        return np.linalg.det(x[:, 1:] - x[:, :1])[:, None]
    corners = range(2**tdim)
    # The neighbour along axis d differs in bit d of the corner's number.
    edges = [[_edge(x, corner, 1 << axis) for axis in range(tdim)] for corner in corners]
    return np.stack([np.linalg.det(np.stack(rows, axis=1)) for rows in edges], axis=1)


def cell_volumes(
    points: NDArray[np.float64], cells: NDArray[np.int64], cell_type: str
) -> NDArray[np.float64]:
    """Return the volume of each cell, shape (nc,). Not collective.

    |det J| / d! on simplices. On quadrilaterals and hexahedra det J is a polynomial of degree
    ≤ 2 in each reference coordinate, which 2-point Gauss quadrature integrates exactly.
    """
    tdim = TDIM[cell_type]
    if _VERTICES[cell_type] == tdim + 1:
        return np.abs(corner_jacobians(points, cells, cell_type)[:, 0]) / math.factorial(tdim)
    kind: Any = basix.CellType[cell_type]
    element: Any = basix.create_element(basix.ElementFamily.P, kind, 1)
    rule: Any = basix.make_quadrature(kind, 3)
    q, w = rule
    gradients = element.tabulate(1, q)[1:, :, :, 0]
    J = np.einsum("dqk,ckx->cqxd", gradients, points[cells])
    return np.asarray(np.abs(np.linalg.det(J) @ w))


def _edge(x: NDArray[np.float64], corner: int, bit: int) -> NDArray[np.float64]:
    return x[:, corner | bit] - x[:, corner & ~bit]


def check_quality(
    points: NDArray[np.float64],
    cells: NDArray[np.int64],
    cell_type: str,
    reference: NDArray[np.float64] | None = None,
) -> None:
    """Refuse a mesh with a cell that is degenerate, inverted or there twice. Not collective.

    Simplices may have either orientation (DOLFINx takes both); in quadrilaterals and hexahedra
    det J has to have one sign at all corners. Positive corners do not prove that a hexahedron
    is valid inside, but no invalid one with planar faces passes.

    Args:
        points: Vertices, shape (nv, gdim).
        cells: Vertex numbers in Basix's order, shape (nc, k).
        cell_type: Name of the cell type.
        reference: Vertices of the mesh that `points` were moved from, shape (nv, gdim): the
            sign of det J has to be the same there.

    Raises:
        MeshError: Naming the first bad cell and the coordinates of its vertices.
    """
    _check_arrays(points, cells, cell_type)
    jacobians = corner_jacobians(points, cells, cell_type)
    size = np.ptp(points[cells], axis=1).max(axis=1) ** TDIM[cell_type]
    flat = (np.abs(jacobians) <= _DEGENERATE * size[:, None]).any(axis=1)
    _refuse(flat, "is degenerate (det J = 0)", "merge or move its vertices", points, cells)
    folded = (np.sign(jacobians) != np.sign(jacobians[:, :1])).any(axis=1)
    _refuse(
        folded,
        "is inverted at a corner (det J changes sign)",
        f"order the vertices as Basix does for a {cell_type}, and make the cell convex",
        points,
        cells,
    )
    if reference is not None:
        before = corner_jacobians(reference, cells, cell_type)
        turned = (np.sign(jacobians) != np.sign(before)).any(axis=1)
        cure = "use a smaller displacement or a finer mesh"
        _refuse(turned, "is inverted by the displacement", cure, points, cells)
    _check_doubles(points, cells)


def _check_arrays(points: NDArray[np.float64], cells: NDArray[np.int64], cell_type: str) -> None:
    if cell_type not in TDIM:
        raise MeshError(f"cells are {cell_type!r}; supported: {', '.join(TDIM)}")
    tdim, k = TDIM[cell_type], _VERTICES[cell_type]
    if points.ndim != 2 or cells.ndim != 2 or cells.shape[1] != k or not len(cells):
        raise MeshError(
            f"points of shape {points.shape}, cells of shape {cells.shape}; expected "
            f"(vertices, dimension) and (at least one, {k}) for a {cell_type}"
        )
    if points.shape[1] != tdim:
        raise MeshError(
            f"{cell_type} cells of dimension {tdim} in {points.shape[1]} dimensions; surfaces and "
            "curves in space are not supported: give cells of the dimension of the space"
        )
    if cells.min() < 0 or cells.max() >= len(points):
        bad = int(np.flatnonzero((cells < 0).any(1) | (cells >= len(points)).any(1))[0])
        raise MeshError(
            f"cell {bad} has vertices {cells[bad].tolist()}; there are vertices 0 to "
            f"{len(points) - 1}"
        )
    bad_points = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad_points):
        raise MeshError(f"vertex {bad_points[0]} is at {_place(points[bad_points[0]])}: not finite")


def _check_doubles(points: NDArray[np.float64], cells: NDArray[np.int64]) -> None:
    _, first, inverse = np.unique(
        row_keys(np.sort(cells, axis=1)), return_index=True, return_inverse=True
    )
    double = np.arange(len(cells)) != first[inverse]
    if double.any():
        bad = int(np.flatnonzero(double)[0])
        what = f"has the same vertices as cell {first[inverse[bad]]}"
        _refuse(double, what, "remove one of them", points, cells)


def _refuse(
    bad: NDArray[np.bool_],
    what: str,
    cure: str,
    points: NDArray[np.float64],
    cells: NDArray[np.int64],
) -> None:
    if not bad.any():
        return
    cell = int(np.flatnonzero(bad)[0])
    place = ", ".join(_place(x) for x in points[cells[cell]])
    more = f" ({bad.sum()} cells in all)" if bad.sum() > 1 else ""
    raise MeshError(f"cell {cell} with vertices {place} {what}{more}: {cure}")


def _place(x: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in x) + ")"
