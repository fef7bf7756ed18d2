"""The domains that a spec can ask for, told apart by the key `domain`."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.curved_domains import AnnulusSpec, ChannelCylinderSpec, DiskSpec, PerforatedPlateSpec
from pipeline.domain_models import SIDES, DomainModel, Length, PlaneCell, ascending
from pipeline.models import UserPath
from pipeline.spec_errors import SpecError

if TYPE_CHECKING:  # importing meshes starts MPI
    from meshes import Domain

__all__ = ["DomainSpec", "UnitSquareSpec"]

Count = Annotated[int, Field(ge=1, le=4096)]
Diagonal = Annotated[
    Literal["right", "left", "crossed"],
    Field(description='How squares are cut in triangles; "crossed" makes four of each.'),
]


class UnitIntervalSpec(DomainModel):
    """The unit interval in equal cells. Boundaries: left, right."""

    domain: Literal["unit_interval"]
    resolution: Annotated[int, Field(ge=1, le=10**6)] = Field(description="Cells.")

    boundaries: ClassVar[tuple[str, ...]] = ("left", "right")

    @property
    def tdim(self) -> int:
        """Dimension of the cells, and of the space."""
        return 1

    @property
    def cell_type(self) -> str:
        """Always intervals."""
        return "interval"

    def build(self) -> "Domain":
        """Return the domain. Imports `meshes`."""
        from meshes import Interval

        return Interval(self.resolution)

    def _coarse_size(self) -> float:
        return 1 / self.resolution


class UnitSquareSpec(DomainModel):
    """The unit square in `resolution`² squares, or their triangles. Boundaries: see rectangle."""

    domain: Literal["unit_square"]
    resolution: Count = Field(description="Squares along a side.")
    diagonal: Diagonal = "right"
    cell: PlaneCell = "triangle"

    boundaries: ClassVar[tuple[str, ...]] = SIDES

    def build(self) -> "Domain":
        """Return the domain. Imports `meshes`."""
        from meshes import UnitSquare

        return UnitSquare(self.resolution, self.diagonal, self.cell)

    def _coarse_size(self) -> float:
        return 1 / self.resolution


class RectangleSpec(DomainModel):
    """A rectangle in equal ones. Boundaries: left, right, bottom, top."""

    domain: Literal["rectangle"]
    resolution: tuple[Count, Count] = Field(description="Cells along x and y.")
    low: tuple[float, float] = Field((0.0, 0.0), description="Lower left corner, in length.")
    high: tuple[float, float] = Field((1.0, 1.0), description="Upper right corner, in length.")
    diagonal: Diagonal = "right"
    cell: PlaneCell = "triangle"

    boundaries: ClassVar[tuple[str, ...]] = SIDES

    @model_validator(mode="after")
    def _corners(self) -> "RectangleSpec":
        ascending(self.low, self.high)
        return self

    def build(self) -> "Domain":
        """Return the domain. Imports `meshes`."""
        from meshes import Rectangle

        return Rectangle(self.resolution, self.low, self.high, self.cell, self.diagonal)

    def _coarse_size(self) -> float:
        return _largest(self.low, self.high, self.resolution)


class BoxSpec(DomainModel):
    """A box in equal ones. Boundaries: left, right (x), front, back (y), bottom, top (z)."""

    domain: Literal["box"]
    resolution: tuple[Count, Count, Count] = Field(description="Cells along x, y and z.")
    low: tuple[float, float, float] = Field((0.0, 0.0, 0.0), description="Corner, in length.")
    high: tuple[float, float, float] = Field((1.0, 1.0, 1.0), description="Corner, in length.")
    cell: Literal["tetrahedron", "hexahedron"] = Field(
        "tetrahedron", description="Cells of the mesh; six tetrahedra make a box."
    )

    boundaries: ClassVar[tuple[str, ...]] = ("left", "right", "front", "back", "bottom", "top")

    @property
    def tdim(self) -> int:
        """Dimension of the cells, and of the space."""
        return 3

    @model_validator(mode="after")
    def _corners(self) -> "BoxSpec":
        ascending(self.low, self.high)
        return self

    def build(self) -> "Domain":
        """Return the domain. Imports `meshes`."""
        from meshes import Box

        return Box(self.resolution, self.low, self.high, self.cell)

    def _coarse_size(self) -> float:
        return _largest(self.low, self.high, self.resolution)


class LShapeSpec(DomainModel):
    """(−1, 1)² without its lower right quarter. Boundaries: reentrant (at (0, 0)), outer."""

    domain: Literal["l_shape"]
    resolution: Count = Field(description="Squares along a side of unit length.")
    diagonal: Diagonal = "right"
    cell: PlaneCell = "triangle"

    boundaries: ClassVar[tuple[str, ...]] = ("outer", "reentrant")

    def build(self) -> "Domain":
        """Return the domain. Imports `meshes`."""
        from meshes import LShape

        return LShape(self.resolution, self.cell, self.diagonal)

    def _coarse_size(self) -> float:
        return 1 / self.resolution


class SlottedBlockSpec(DomainModel):
    """The unit square with a slot cut into it from the top. Boundaries: the sides', and slot."""

    domain: Literal["slotted_block"]
    resolution: Count = Field(description="Cells along a side, about.")
    centre: float = Field(0.5, description="x of the slot's middle.")
    width: Length = Field(0.05, description="Width of the slot.")
    depth: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, description="Depth of the slot.")
    cell: PlaneCell = "triangle"

    boundaries: ClassVar[tuple[str, ...]] = (*SIDES, "slot")

    @model_validator(mode="after")
    def _slot_within(self) -> "SlottedBlockSpec":
        a, b = self.centre - self.width / 2, self.centre + self.width / 2
        if not 0 < a < b < 1:
            raise ValueError(f"slot from x = {a:g} to {b:g}; allowed: within 0 < x < 1")
        return self

    def build(self) -> "Domain":
        """Return the domain. Imports `meshes`."""
        from meshes import SlottedBlock

        return SlottedBlock(self.resolution, self.centre, self.width, self.depth, self.cell)

    def _coarse_size(self) -> float:
        return 1 / self.resolution


class BackwardStepSpec(DomainModel):
    """A channel that widens downwards at x = 0. Boundaries: inlet, outlet, walls (with the step).

    It is (−inlet, 0) × (step, height) and (0, outlet) × (0, height).
    """

    domain: Literal["backward_step"]
    resolution: Count = Field(description="Cells along the outlet's height.")
    inlet: Length = Field(2.0, description="Length before the step.")
    outlet: Length = Field(10.0, description="Length after the step.")
    height: Length = Field(1.0, description="Height of the channel after the step.")
    step: Length = Field(0.5, description="Height of the step.")
    cell: PlaneCell = "triangle"

    boundaries: ClassVar[tuple[str, ...]] = ("inlet", "outlet", "walls")

    @model_validator(mode="after")
    def _step_is_lower(self) -> "BackwardStepSpec":
        if not self.step < self.height:
            raise ValueError(f"step: got {self.step:g}; allowed: below height = {self.height:g}")
        return self

    def build(self) -> "Domain":
        """Return the domain. Imports `meshes`."""
        from meshes import BackwardStep

        lengths = (self.inlet, self.outlet, self.height, self.step)
        return BackwardStep(self.resolution, *lengths, self.cell)

    def _coarse_size(self) -> float:
        return self.height / self.resolution


class FileSpec(DomainModel):
    """A user's mesh; its physical groups are the names of boundaries. Needs gmsh."""

    domain: Literal["file"]
    path: UserPath = Field(description="A gmsh file, .msh 4.1 or 2.2, straight-sided cells.")
    dimension: Literal[1, 2, 3] = Field(2, description="Dimension of the mesh.")

    @property
    def tdim(self) -> int:
        """Dimension of the cells, and of the space."""
        return self.dimension

    def build(self) -> "Domain":
        """Return the domain. Imports `meshes`."""
        from meshes import UserMesh

        return UserMesh(self.path, self.dimension)

    def identity_extra(self) -> dict[str, Any]:
        """Return the SHA-256 of the file's content: that determines the data, not its place.

        Raises:
            SpecError: The file can't be read.
        """
        try:
            content = Path(self.path).read_bytes()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            message = f"mesh.path: {self.path} can't be read ({reason}); give a .msh file"
            raise SpecError([message]) from None
        return {"path": None, "sha256": hashlib.sha256(content).hexdigest()}

    def _coarse_size(self) -> None:
        return None


def _largest(low: tuple[float, ...], high: tuple[float, ...], counts: tuple[int, ...]) -> float:
    return max((b - a) / n for a, b, n in zip(low, high, counts, strict=True))


DomainSpec = Annotated[
    UnitIntervalSpec
    | UnitSquareSpec
    | RectangleSpec
    | BoxSpec
    | LShapeSpec
    | SlottedBlockSpec
    | BackwardStepSpec
    | DiskSpec
    | AnnulusSpec
    | PerforatedPlateSpec
    | ChannelCylinderSpec
    | FileSpec,
    Field(discriminator="domain"),
]
"""One of the domains; `domain` says which."""
