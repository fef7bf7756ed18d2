"""Domains of a spec with circles in them: disk, ring, plate with holes, channel with cylinder."""

from math import hypot
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.domain_models import (
    SIDES,
    Circle,
    CurvedModel,
    Length,
    MorphedModel,
    PlaneCell,
    ascending,
)
from pipeline.models import SpecModel

if TYPE_CHECKING:  # importing meshes starts MPI
    from meshes import Domain

__all__ = ["AnnulusSpec", "ChannelCylinderSpec", "DiskSpec", "HoleSpec", "PerforatedPlateSpec"]


class DiskSpec(CurvedModel):
    """A disk. Boundary: outer. Needs gmsh."""

    domain: Literal["disk"]
    centre: tuple[float, float] = Field((0.0, 0.0), description="Centre, in length.")
    radius: Length = Field(1.0, description="Radius, in length.")
    cell: PlaneCell = "triangle"

    boundaries: ClassVar[tuple[str, ...]] = ("outer",)

    def build(self) -> "Domain":
        """Return the domain. Imports `meshes`."""
        from meshes import Disk

        return Disk(self.size, self.centre, self.radius, self.cell)


class AnnulusSpec(CurvedModel):
    """The ring between two circles. Boundaries: inner, outer. Needs gmsh."""

    domain: Literal["annulus"]
    inner: Length = Field(0.5, description="Radius of the hole, in length.")
    outer: Length = Field(1.0, description="Outer radius, in length.")
    centre: tuple[float, float] = Field((0.0, 0.0), description="Centre, in length.")
    cell: PlaneCell = "triangle"

    boundaries: ClassVar[tuple[str, ...]] = ("inner", "outer")

    @model_validator(mode="after")
    def _ring(self) -> "AnnulusSpec":
        if not self.inner < self.outer:
            raise ValueError(f"inner: got {self.inner:g}; allowed: below outer = {self.outer:g}")
        return self

    def build(self) -> "Domain":
        """Return the domain. Imports `meshes`."""
        from meshes import Annulus

        return Annulus(self.size, self.inner, self.outer, self.centre, self.cell)


class HoleSpec(SpecModel):
    """A round hole."""

    x: float = Field(description="Centre, x, in length.")
    y: float = Field(description="Centre, y, in length.")
    radius: Length = Field(description="Radius, in length.")


class PerforatedPlateSpec(MorphedModel):
    """A rectangle with round holes. Boundaries: left, right, bottom, top, hole. Needs gmsh."""

    domain: Literal["perforated_plate"]
    low: tuple[float, float] = Field((0.0, 0.0), description="Lower left corner, in length.")
    high: tuple[float, float] = Field((1.0, 1.0), description="Upper right corner, in length.")
    holes: Annotated[tuple[HoleSpec, ...], Field(min_length=1, max_length=100)] = Field(
        (HoleSpec(x=0.5, y=0.5, radius=0.2),),
        description="Holes that touch neither each other nor a side; one only if it is morphed.",
    )
    hole_size: Length | None = Field(
        None, description="Length of an edge on the holes, about; default: size."
    )
    cell: PlaneCell = "triangle"

    boundaries: ClassVar[tuple[str, ...]] = (*SIDES, "hole")

    @model_validator(mode="after")
    def _holes_fit(self) -> "PerforatedPlateSpec":
        ascending(self.low, self.high)
        for i, (centre, radius) in enumerate(self._circles):
            _inside(f"holes.{i}", (centre, radius), self.low, self.high)
            for other, its in self._circles[:i]:
                if hypot(centre[0] - other[0], centre[1] - other[1]) <= radius + its:
                    raise ValueError(f"holes.{i}: touches the hole at {other}; allowed: a gap")
        if self.morph is not None and len(self.holes) > 1:
            raise ValueError(f"morph: got {len(self.holes)} holes; allowed: one")
        return self

    @property
    def _circles(self) -> tuple[Circle, ...]:
        return tuple(((hole.x, hole.y), hole.radius) for hole in self.holes)

    @property
    def hole(self) -> Circle:
        """The first hole, on the reference mesh."""
        return self._circles[0]

    @property
    def reach(self) -> float:
        """Distance from the hole's centre to the nearest side."""
        return _gap(self.hole[0], self.low, self.high)

    def build(self) -> "Domain":
        """Return the domain. Imports `meshes`."""
        from meshes import PerforatedPlate

        corners = (self.low, self.high)
        return PerforatedPlate(self.size, self._circles, *corners, self.hole_size, self.cell)


class ChannelCylinderSpec(MorphedModel):
    """A channel with a cylinder across it. Boundaries: inlet, outlet, walls, cylinder. Needs gmsh.

    The defaults are the DFG benchmark's (Schäfer & Turek 1996), in metres.
    """

    domain: Literal["channel_cylinder"]
    length: Length = Field(2.2, description="Length of the channel.")
    height: Length = Field(0.41, description="Height of the channel.")
    centre: tuple[float, float] = Field((0.2, 0.2), description="Centre of the cylinder.")
    radius: Length = Field(0.05, description="Radius of the cylinder.")
    cylinder_size: Length | None = Field(
        None, description="Length of an edge on the cylinder, about; default: size / 4."
    )
    cell: PlaneCell = "triangle"

    boundaries: ClassVar[tuple[str, ...]] = ("inlet", "outlet", "walls", "cylinder")

    @model_validator(mode="after")
    def _cylinder_fits(self) -> "ChannelCylinderSpec":
        _inside("radius", self.hole, (0.0, 0.0), (self.length, self.height))
        return self

    @property
    def hole(self) -> Circle:
        """The cylinder on the reference mesh."""
        return self.centre, self.radius

    @property
    def reach(self) -> float:
        """Distance from the cylinder's centre to the nearest side."""
        return _gap(self.centre, (0.0, 0.0), (self.length, self.height))

    def build(self) -> "Domain":
        """Return the domain. Imports `meshes`."""
        from meshes import ChannelCylinder

        measures = (self.length, self.height, self.centre, self.radius, self.cylinder_size)
        return ChannelCylinder(self.size, *measures, self.cell)


def _gap(centre: tuple[float, float], low: tuple[float, float], high: tuple[float, float]) -> float:
    """Distance to the nearest side of a rectangle."""
    (x, y), (a, b), (c, d) = centre, low, high
    return min(x - a, y - b, c - x, d - y)


def _inside(key: str, circle: Circle, low: tuple[float, float], high: tuple[float, float]) -> None:
    centre, radius = circle
    if not radius < (gap := _gap(centre, low, high)):
        raise ValueError(
            f"{key}: radius {radius:g} at {centre}, {gap:g} from the nearest side; allowed: less"
        )
