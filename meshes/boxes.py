"""Domains of straight sides along the axes: meshes made of a lattice of squares or cubes.

Every such mesh is DOLFINx's lattice with its planes moved to the given places, less the cells
that are cut out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dolfinx.mesh
import numpy as np
from dolfinx.mesh import CellType, DiagonalType
from mpi4py import MPI
from numpy.typing import NDArray

from meshes.grid import Grid, regular_grid
from meshes.quality import MeshError
from meshes.tagged import TaggedMesh, drop_unused, from_dolfinx, name_boundary

__all__ = ["BackwardStep", "Box", "Interval", "LShape", "Rectangle", "SlottedBlock", "UnitSquare"]
__all__ += ["lattice", "sides"]

Array = NDArray[np.float64]
type Rule = Callable[[Array], NDArray[np.bool_]]

_SIDES = (("left", "right"), ("bottom", "top"))
_CUBE_SIDES = (("left", "right"), ("front", "back"), ("bottom", "top"))


def lattice(planes: Sequence[Array], cell: str, diagonal: str = "right") -> TaggedMesh:
    """Return the cells between planes along the axes, without names. Not collective.

    Args:
        planes: For each direction the ascending coordinates of the planes.
        cell: "interval", "triangle", "quadrilateral", "tetrahedron" or "hexahedron".
        diagonal: How a square is cut in triangles: "right", "left", "crossed" (four of them).
    """
    counts = [len(places) - 1 for places in planes]
    if min(counts) < 1 or any((np.diff(places) <= 0).any() for places in planes):
        raise MeshError(f"planes at {[list(p) for p in planes]}; expected ascending coordinates")
    kind = CellType[cell]
    box: list[Any] = [np.zeros(len(planes)), np.array(counts, dtype=float)]
    if len(planes) == 1:
        msh = dolfinx.mesh.create_interval(MPI.COMM_SELF, counts[0], [0.0, float(counts[0])])
    elif len(planes) == 2:
        way = DiagonalType[diagonal]
        msh = dolfinx.mesh.create_rectangle(MPI.COMM_SELF, box, counts, kind, diagonal=way)
    else:
        msh = dolfinx.mesh.create_box(MPI.COMM_SELF, box, counts, kind)
    mesh = from_dolfinx(msh)
    columns = zip(mesh.points.T, planes, strict=True)
    points = [np.interp(x, np.arange(len(places)), places) for x, places in columns]
    return TaggedMesh(np.stack(points, axis=1), mesh.cells, mesh.cell_type)


def sides(low: Sequence[float], high: Sequence[float]) -> dict[str, Rule]:
    """Return the rules that name the sides of a box, for `name_boundary`.

    left and right bound x; bottom and top bound y in the plane and z in space, where front
    and back bound y.
    """
    names = _CUBE_SIDES if len(low) == 3 else _SIDES
    close = 1e-9 * max(b - a for a, b in zip(low, high, strict=True))
    rules: dict[str, Rule] = {}
    for axis, ends in enumerate(zip(low, high, strict=True)):
        for name, place in zip(names[axis], ends, strict=True):
            rules[name] = _at(axis, place, close)
    return rules


def _at(axis: int, place: float, close: float) -> Rule:
    return lambda x: np.abs(x[:, axis] - place) < close


def rest(x: Array) -> NDArray[np.bool_]:
    """The rule that always holds: for the name of what no earlier rule took."""
    return np.ones(len(x), dtype=bool)


def _cut(mesh: TaggedMesh, out: Rule) -> TaggedMesh:
    """The mesh without the cells whose midpoints are in the part that is cut out."""
    cells = mesh.cells[~out(mesh.points[mesh.cells].mean(axis=1))]
    points, cells, _ = drop_unused(mesh.points, cells)
    return TaggedMesh(points, cells, mesh.cell_type)


def _pieces(places: Sequence[float], h: float) -> Array:
    """Planes at the given places, and between them, at most h apart."""
    parts = [np.array(places[:1])]
    for a, b in zip(places[:-1], places[1:], strict=True):
        parts.append(np.linspace(a, b, max(1, int(np.ceil((b - a) / h - 1e-9))) + 1)[1:])
    return np.concatenate(parts)


@dataclass(frozen=True)
class Interval:
    """The interval (low, high) in `resolution` equal cells; names left, right."""

    resolution: int
    low: float = 0.0
    high: float = 1.0

    def mesh(self) -> TaggedMesh:
        """Return a serial mesh of the interval."""
        mesh = lattice([np.linspace(self.low, self.high, self.resolution + 1)], "interval")
        return name_boundary(mesh, sides([self.low], [self.high]))

    def grid(self, shape: Sequence[int] | None = None) -> Grid:
        """Return a regular grid, by default the vertices; see `regular_grid`."""
        return regular_grid(self.mesh(), shape or [self.resolution + 1])


@dataclass(frozen=True)
class Rectangle:
    """A rectangle cut into equal ones of one quadrilateral or of triangles.

    Names: left, right, bottom, top.

    Attributes:
        resolution: Rectangles in each direction.
        low: Lower left corner.
        high: Upper right corner.
        cell: "triangle" or "quadrilateral".
        diagonal: Which diagonal cuts a rectangle: "right", "left", "crossed" (four triangles).
    """

    resolution: tuple[int, int]
    low: tuple[float, float] = (0.0, 0.0)
    high: tuple[float, float] = (1.0, 1.0)
    cell: str = "triangle"
    diagonal: str = "right"

    def mesh(self) -> TaggedMesh:
        """Return a serial mesh of the rectangle."""
        ends = zip(self.low, self.high, self.resolution, strict=True)
        planes = [np.linspace(a, b, n + 1) for a, b, n in ends]
        mesh = lattice(planes, self.cell, self.diagonal)
        return name_boundary(mesh, sides(self.low, self.high))

    def grid(self, shape: Sequence[int] | None = None) -> Grid:
        """Return a regular grid, by default the corners of the rectangles."""
        return regular_grid(self.mesh(), shape or [n + 1 for n in self.resolution])


@dataclass(frozen=True)
class UnitSquare:
    """The unit square (0, 1)², cut into `resolution`² squares: a `Rectangle`.

    Attributes:
        resolution: Number of squares along a side.
        diagonal: As of `Rectangle`.
        cell: "triangle" or "quadrilateral".
    """

    resolution: int
    diagonal: str = "right"
    cell: str = "triangle"

    def mesh(self) -> TaggedMesh:
        """Return a serial mesh of the square."""
        return self._rectangle().mesh()

    def grid(self, shape: Sequence[int] | None = None) -> Grid:
        """Return a regular grid, by default the (resolution + 1)² corners of the squares."""
        return self._rectangle().grid(shape)

    def _rectangle(self) -> Rectangle:
        n = (self.resolution, self.resolution)
        return Rectangle(n, cell=self.cell, diagonal=self.diagonal)


@dataclass(frozen=True)
class Box:
    """A box cut into equal ones of one hexahedron or of six tetrahedra.

    Names: left, right (x), front, back (y), bottom, top (z).

    Attributes:
        resolution: Boxes in each direction.
        low: The corner of least coordinates.
        high: The corner of greatest coordinates.
        cell: "tetrahedron" or "hexahedron".
    """

    resolution: tuple[int, int, int]
    low: tuple[float, float, float] = (0.0, 0.0, 0.0)
    high: tuple[float, float, float] = (1.0, 1.0, 1.0)
    cell: str = "tetrahedron"

    def mesh(self) -> TaggedMesh:
        """Return a serial mesh of the box."""
        ends = zip(self.low, self.high, self.resolution, strict=True)
        mesh = lattice([np.linspace(a, b, n + 1) for a, b, n in ends], self.cell)
        return name_boundary(mesh, sides(self.low, self.high))

    def grid(self, shape: Sequence[int] | None = None) -> Grid:
        """Return a regular grid, by default the corners of the boxes."""
        return regular_grid(self.mesh(), shape or [n + 1 for n in self.resolution])


@dataclass(frozen=True)
class LShape:
    """(−1, 1)² without [0, 1) × (−1, 0]; names outer, and reentrant for the two sides at (0, 0).

    Attributes:
        resolution: Squares along each of the two sides of unit length.
        cell: "triangle" or "quadrilateral".
        diagonal: As of `Rectangle`.
    """

    resolution: int
    cell: str = "triangle"
    diagonal: str = "right"

    def mesh(self) -> TaggedMesh:
        """Return a serial mesh of the L."""
        whole = lattice([_pieces([-1, 0, 1], 1 / self.resolution)] * 2, self.cell, self.diagonal)
        mesh = _cut(whole, lambda x: (x[:, 0] > 0) & (x[:, 1] < 0))
        return name_boundary(mesh, {"outer": _any(sides([-1, -1], [1, 1])), "reentrant": rest})

    def grid(self, shape: Sequence[int] | None = None) -> Grid:
        """Return a regular grid over the square around the L, by default its vertices."""
        return regular_grid(self.mesh(), shape or [2 * self.resolution + 1] * 2)


@dataclass(frozen=True)
class SlottedBlock:
    """The unit square with a narrow vertical slot that is cut from its top edge downwards.

    Names: left, right, bottom, top, slot. The parts of the top beside the slot are "top".

    Attributes:
        resolution: Cells along a side of the square, about; planes meet the slot exactly.
        centre: x of the slot's middle.
        width: Width of the slot.
        depth: How far the slot goes down.
        cell: "triangle" or "quadrilateral".
    """

    resolution: int
    centre: float = 0.5
    width: float = 0.05
    depth: float = 0.5
    cell: str = "triangle"

    def mesh(self) -> TaggedMesh:
        """Return a serial mesh of the block.

        Raises:
            MeshError: The slot isn't within the square.
        """
        a, b, bottom = self.centre - self.width / 2, self.centre + self.width / 2, 1 - self.depth
        if not (0 < a < b < 1 and 0 < bottom < 1):
            raise MeshError(
                f"slot from x = {a:g} to {b:g} down to y = {bottom:g}; expected one within the "
                "unit square that leaves some of each side: change centre, width or depth"
            )
        h = 1 / self.resolution
        whole = lattice([_pieces([0, a, b, 1], h), _pieces([0, bottom, 1], h)], self.cell)
        mesh = _cut(whole, lambda x: (x[:, 0] > a) & (x[:, 0] < b) & (x[:, 1] > bottom))
        return name_boundary(mesh, sides([0, 0], [1, 1]) | {"slot": rest})

    def grid(self, shape: Sequence[int] | None = None) -> Grid:
        """Return a regular grid over the square, by default of resolution + 1 points a side."""
        return regular_grid(self.mesh(), shape or [self.resolution + 1] * 2)


@dataclass(frozen=True)
class BackwardStep:
    """A channel that widens at x = 0: (−inlet, 0) × (step, height) and (0, outlet) × (0, height).

    Names: inlet (x = −inlet), outlet (x = outlet), walls (the step included). The defaults are
    an expansion of 1 : 2 (J. Kim & P. Moin, J. Comput. Phys. 59 (1985) 308).

    Attributes:
        resolution: Cells along the height of the outlet.
        inlet: Length before the step.
        outlet: Length after the step.
        height: Height after the step.
        step: Height of the step.
        cell: "triangle" or "quadrilateral".
    """

    resolution: int
    inlet: float = 2.0
    outlet: float = 10.0
    height: float = 1.0
    step: float = 0.5
    cell: str = "triangle"

    def mesh(self) -> TaggedMesh:
        """Return a serial mesh of the channel.

        Raises:
            MeshError: The step fills the channel, or a length is not positive.
        """
        if not (0 < self.step < self.height and self.inlet > 0 and self.outlet > 0):
            raise MeshError(
                f"step of {self.step:g} in a channel of height {self.height:g}, lengths "
                f"{self.inlet:g} and {self.outlet:g}; expected 0 < step < height, lengths > 0"
            )
        h, box = self.height / self.resolution, ([-self.inlet, 0], [self.outlet, self.height])
        across = _pieces([0, self.step, self.height], h)
        whole = lattice([_pieces([-self.inlet, 0, self.outlet], h), across], self.cell)
        mesh = _cut(whole, lambda x: (x[:, 0] < 0) & (x[:, 1] < self.step))
        ends = sides(*box)
        return name_boundary(mesh, {"inlet": ends["left"], "outlet": ends["right"], "walls": rest})

    def grid(self, shape: Sequence[int] | None = None) -> Grid:
        """Return a regular grid over the bounding box, by default about as fine as the mesh."""
        return regular_grid(self.mesh(), shape)


def _any(rules: dict[str, Rule]) -> Rule:
    return lambda x: np.any([rule(x) for rule in rules.values()], axis=0)
