"""Domains with circles in them, meshed by gmsh. Circles become polygons of the mesh's edges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshes.boxes import rest, sides
from meshes.domains import Circles
from meshes.gmsh_model import gmsh_session, plane_mesh
from meshes.grid import Grid, regular_grid
from meshes.quality import MeshError
from meshes.tagged import TaggedMesh, name_boundary

__all__ = ["Annulus", "ChannelCylinder", "Disk", "PerforatedPlate"]

type Circle = tuple[tuple[float, float], float]


class _Gmsh:
    """What the domains below share: one run of gmsh a domain, and the grid from the mesh."""

    def mesh(self) -> TaggedMesh:
        """Return a serial mesh of the domain; needs gmsh.

        Raises:
            MeshError: The measures make no such domain, or gmsh is not there.
        """
        return _meshed(self)

    def grid(self, shape: Sequence[int] | None = None) -> Grid:
        """Return a regular grid over the bounding box, by default about as fine as the mesh."""
        return regular_grid(self.mesh(), shape)

    def _make(self) -> TaggedMesh:
        raise NotImplementedError


@lru_cache(maxsize=4)
def _meshed(domain: _Gmsh) -> TaggedMesh:
    return domain._make()


@dataclass(frozen=True)
class Disk(_Gmsh):
    """A disk; name: outer.

    Attributes:
        size: Length of an edge, about; the mesh's h.
        centre: Centre of the disk.
        radius: Its radius.
        cell: "triangle" or "quadrilateral".
    """

    size: float
    centre: tuple[float, float] = (0.0, 0.0)
    radius: float = 1.0
    cell: str = "triangle"

    @property
    def circles(self) -> Circles:
        """The boundary's circle."""
        return {"outer": ((self.centre, self.radius),)}

    def _make(self) -> TaggedMesh:
        with gmsh_session() as gmsh:
            gmsh.model.occ.addDisk(*self.centre, 0, self.radius, self.radius)
            mesh = plane_mesh(gmsh, self.size, self.cell)
        return name_boundary(mesh, {"outer": rest})


@dataclass(frozen=True)
class Annulus(_Gmsh):
    """The ring between two circles of one centre; names: inner, outer.

    Attributes:
        size: Length of an edge, about.
        inner: Radius of the hole.
        outer: Radius of the disk around it.
        centre: Centre of both.
        cell: "triangle" or "quadrilateral".
    """

    size: float
    inner: float = 0.5
    outer: float = 1.0
    centre: tuple[float, float] = (0.0, 0.0)
    cell: str = "triangle"

    @property
    def circles(self) -> Circles:
        """The two circles of the boundary."""
        return {"inner": ((self.centre, self.inner),), "outer": ((self.centre, self.outer),)}

    def _make(self) -> TaggedMesh:
        if not 0 < self.inner < self.outer:
            raise MeshError(f"radii {self.inner:g} and {self.outer:g}; expected 0 < inner < outer")
        with gmsh_session() as gmsh:
            disk = gmsh.model.occ.addDisk(*self.centre, 0, self.outer, self.outer)
            _punch(gmsh, disk, self.circles["inner"])
            mesh = plane_mesh(gmsh, self.size, self.cell)
        middle = (self.inner + self.outer) / 2
        hole = _near(self.centre, middle)
        return name_boundary(mesh, {"inner": hole, "outer": rest})


@dataclass(frozen=True)
class PerforatedPlate(_Gmsh):
    """A rectangle with round holes; names: left, right, bottom, top, and hole for all of them.

    Attributes:
        size: Length of an edge, about, on the sides.
        holes: Centre and radius of each hole; they touch neither each other nor a side.
        low: Lower left corner.
        high: Upper right corner.
        hole_size: Length of an edge on the holes; `size` if left out.
        cell: "triangle" or "quadrilateral".
    """

    size: float
    holes: tuple[Circle, ...] = (((0.5, 0.5), 0.2),)
    low: tuple[float, float] = (0.0, 0.0)
    high: tuple[float, float] = (1.0, 1.0)
    hole_size: float | None = None
    cell: str = "triangle"

    @property
    def circles(self) -> Circles:
        """The circles of the holes."""
        return {"hole": self.holes}

    def _make(self) -> TaggedMesh:
        mesh = _plate(self.low, self.high, self.holes, self.size, self.hole_size, self.cell)
        return name_boundary(mesh, sides(self.low, self.high) | {"hole": rest})


@dataclass(frozen=True)
class ChannelCylinder(_Gmsh):
    """A channel with a cylinder across it; names: inlet, outlet, walls, cylinder.

    The defaults are the DFG benchmark's, in metres (M. Schäfer & S. Turek, Benchmark
    computations of laminar flow around a cylinder, 1996).

    Attributes:
        size: Length of an edge, about, on the channel's sides.
        length: Length of the channel, along x.
        height: Height of the channel.
        centre: Centre of the cylinder.
        radius: Its radius.
        cylinder_size: Length of an edge on the cylinder; `size` / 4 if left out.
        cell: "triangle" or "quadrilateral".
    """

    size: float
    length: float = 2.2
    height: float = 0.41
    centre: tuple[float, float] = (0.2, 0.2)
    radius: float = 0.05
    cylinder_size: float | None = None
    cell: str = "triangle"

    @property
    def circles(self) -> Circles:
        """The cylinder's circle."""
        return {"cylinder": ((self.centre, self.radius),)}

    def _make(self) -> TaggedMesh:
        low, high = (0.0, 0.0), (self.length, self.height)
        holes, fine = self.circles["cylinder"], self.cylinder_size or self.size / 4
        mesh = _plate(low, high, holes, self.size, fine, self.cell)
        ends = sides(low, high)
        names = {"inlet": ends["left"], "outlet": ends["right"]}
        names["walls"] = lambda x: ends["bottom"](x) | ends["top"](x)
        return name_boundary(mesh, names | {"cylinder": rest})


def _plate(
    low: tuple[float, float],
    high: tuple[float, float],
    holes: Sequence[Circle],
    size: float,
    hole_size: float | None,
    cell: str,
) -> TaggedMesh:
    """A rectangle with holes, graded from `hole_size` on the holes to `size`."""
    _check_holes(low, high, holes)
    with gmsh_session() as gmsh:
        width, height = high[0] - low[0], high[1] - low[1]
        plate = gmsh.model.occ.addRectangle(*low, 0, width, height)
        _punch(gmsh, plate, holes)
        fine = hole_size or size

        def length(x: float, y: float) -> float:
            """Grows by a quarter of the distance to the nearest hole."""
            gaps = [float(np.hypot(x - c[0], y - c[1])) - r for c, r in holes]
            return min(size, fine + 0.25 * max(min(gaps), 0.0))

        return plane_mesh(gmsh, size, cell, length if fine < size else None)


def _check_holes(
    low: tuple[float, float], high: tuple[float, float], holes: Sequence[Circle]
) -> None:
    if not holes or low[0] >= high[0] or low[1] >= high[1]:
        raise MeshError(f"plate from {low} to {high} with {len(holes)} holes; expected one or more")
    for i, (centre, radius) in enumerate(holes):
        gap = min(*np.subtract(centre, low), *np.subtract(high, centre))
        if not 0 < radius < gap:
            raise MeshError(
                f"hole {i} at {centre} has radius {radius:g}, the nearest side is {gap:g} away; "
                "expected 0 < radius < that: move or shrink it"
            )
        for j, (other, its) in enumerate(holes[:i]):
            if np.hypot(*np.subtract(centre, other)) <= radius + its:
                raise MeshError(f"holes {j} at {other} and {i} at {centre} touch: move one")


def _punch(gmsh: Any, surface: int, holes: Sequence[Circle]) -> None:
    disks = [(2, gmsh.model.occ.addDisk(*c, 0, r, r)) for c, r in holes]
    gmsh.model.occ.cut([(2, surface)], disks)


def _near(centre: tuple[float, float], radius: float) -> Callable[[NDArray], NDArray[np.bool_]]:
    return lambda x: np.hypot(*(x - np.array(centre)).T) < radius
