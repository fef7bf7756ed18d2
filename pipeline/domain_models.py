"""What all domains of a spec share, and the laws of holes that differ from sample to sample."""

from itertools import product
from math import hypot
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.models import SpecModel

if TYPE_CHECKING:  # importing meshes starts MPI
    import numpy as np
    from numpy.typing import NDArray

    from meshes import Domain
    from meshes.grid import Grid

__all__ = ["Circle", "CurvedModel", "DomainModel", "MorphSpec", "MorphedModel", "UniformRange"]
__all__ += ["SIDES", "Length", "PlaneCell", "ascending"]

type Circle = tuple[tuple[float, float], float]
"""Centre and radius."""

Length = Annotated[float, Field(gt=0)]
PlaneCell = Annotated[Literal["triangle", "quadrilateral"], Field(description="Cells of the mesh.")]
SIDES = ("left", "right", "bottom", "top")

_STRAIN = 0.75  # of meshes.morph.hole_morph's good values; a test compares
_SMALLEST = 0.4


class DomainModel(SpecModel):
    """A domain and its mesh.

    Attributes:
        boundaries: Names of the parts of the boundary, besides "boundary" for all of it; None
            where only the mesh knows.
    """

    domain: str
    levels: Annotated[int, Field(ge=1, le=12)] = Field(
        1,
        description="Nested meshes; the keys here describe the coarsest, each further level "
        "halves the cells, and the finest is the data set's mesh.",
    )
    grid: tuple[Annotated[int, Field(ge=2, le=8192)], ...] | None = Field(
        None,
        description="Points in each direction of the regular grid over the bounding box; "
        "default: about as fine as the mesh.",
    )

    boundaries: ClassVar[tuple[str, ...] | None] = None

    @property
    def tdim(self) -> int:
        """Dimension of the cells, and of the space."""
        return 2

    @property
    def gdim(self) -> int:
        """Dimension of the space: that of the cells, as surfaces are not supported."""
        return self.tdim

    @property
    def cell_type(self) -> str | None:
        """Name of the cell type; None where only the mesh knows."""
        return getattr(self, "cell", None)

    @property
    def mesh_size(self) -> float | None:
        """About the length of an edge on the finest level, before meshing; None if unknown."""
        coarse = self._coarse_size()
        return None if coarse is None else coarse / 2 ** (self.levels - 1)

    def _coarse_size(self) -> float | None:
        raise NotImplementedError

    @property
    def moves(self) -> bool:
        """Whether the mesh differs from sample to sample."""
        return getattr(self, "morph", None) is not None

    def build(self) -> "Domain":
        """Return the domain on its coarsest level. Imports `meshes`, which starts MPI."""
        raise NotImplementedError

    def mesh_levels(self) -> list[dict[str, Any]]:
        """Return the `mesh` trees of all levels, coarse to fine. Imports `meshes`."""
        import meshes

        domain = self.build()
        snap = getattr(domain, "circles", None) if getattr(self, "snap", False) else None
        return meshes.hierarchy(meshes.mesh_tree(domain), self.levels, snap)

    def evaluation_grid(self, finest: dict[str, Any]) -> "Grid":
        """Return shape, points and mask of the regular grid over the finest mesh.

        Without `grid` it has the domain's own number of points, refined as often as the mesh.

        Args:
            finest: The last of `mesh_levels`.
        """
        import meshes

        shape: tuple[int, ...] | None = self.grid
        if shape is None:
            coarse, *_ = self.build().grid()
            shape = tuple((n - 1) * 2 ** (self.levels - 1) + 1 for n in coarse)
        mesh = meshes.TaggedMesh(finest["points"], finest["cells"], finest["cell_type"])
        return meshes.regular_grid(mesh, shape)

    @model_validator(mode="after")
    def _grid_has_all_directions(self) -> Self:
        if self.grid is not None and len(self.grid) != self.gdim:
            raise ValueError(
                f"grid: got {len(self.grid)} numbers; allowed: {self.gdim}, one a side"
            )
        return self


class CurvedModel(DomainModel):
    """A domain with circles, meshed by gmsh."""

    size: Annotated[float, Field(gt=0)] = Field(
        description="Length of an edge, about, in units of length."
    )
    snap: bool = Field(
        False,
        description="Put the new vertices of finer levels on the circles; the levels are not "
        "nested then. Otherwise the boundary stays the coarsest level's polygon.",
    )

    def _coarse_size(self) -> float:
        return self.size


class UniformRange(SpecModel):
    """Uniformly distributed between two numbers."""

    low: float = Field(description="Least value.")
    high: float = Field(description="Greatest value.")

    @model_validator(mode="after")
    def _ascending(self) -> "UniformRange":
        if not self.low <= self.high:
            raise ValueError(f"got {self.low:g} to {self.high:g}; allowed: low ≤ high")
        return self


class MorphSpec(SpecModel):
    """A hole that differs by sample: the mesh of the hole as given is deformed to fit it.

    What is left out stays as on the reference mesh.
    """

    x: UniformRange | None = Field(None, description="Centre, x, in units of length.")
    y: UniformRange | None = Field(None, description="Centre, y, in units of length.")
    radius: UniformRange | None = Field(None, description="Radius, in units of length.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the random parameters, in the order in which values are given."""
        return tuple(name for name in ("x", "y", "radius") if getattr(self, name) is not None)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Least and greatest value of each parameter."""
        laws = (getattr(self, name) for name in self.names)
        return tuple((law.low, law.high) for law in laws)

    @model_validator(mode="after")
    def _something_varies(self) -> "MorphSpec":
        if not self.names:
            raise ValueError("nothing varies; give x, y or radius, or leave morph out")
        return self


class MorphedModel(CurvedModel):
    """A domain with a hole that may differ from sample to sample."""

    morph: MorphSpec | None = Field(
        None, description="Random position and radius of the hole; left out: the same in all."
    )

    @property
    def hole(self) -> Circle:
        """The hole on the reference mesh."""
        raise NotImplementedError

    @property
    def reach(self) -> float:
        """Distance from the hole's centre to the nearest other boundary: nothing moves beyond."""
        raise NotImplementedError

    def displacement(
        self, points: "NDArray[np.float64]", values: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return the displacement of a sample's mesh, (nv, 2). Imports `meshes`; not collective.

        Args:
            points: Vertices of the reference mesh, shape (nv, 2).
            values: The parameters in the order of `morph.names`.

        Raises:
            meshes.MeshError: The values are beyond what the map can do.
        """
        from meshes import hole_morph

        (x, y), radius = self.hole
        there = self._at(tuple(float(value) for value in values))
        moved = (there["x"], there["y"])
        return hole_morph(points, (x, y), radius, moved, there["radius"], self.reach)

    def _at(self, values: tuple[float, ...]) -> dict[str, float]:
        if self.morph is None or len(values) != len(self.morph.names):
            names = () if self.morph is None else self.morph.names
            raise ValueError(f"got {len(values)} values for the parameters {names}")
        (x, y), radius = self.hole
        given = dict(zip(self.morph.names, values, strict=True))
        return {"x": x, "y": y, "radius": radius} | given

    @model_validator(mode="after")
    def _morph_is_moderate(self) -> Self:
        """Refuse a law some of whose samples would fold the mesh."""
        if self.morph is None or self.reach <= self.hole[1]:  # the latter is told by its owner
            return self
        (x, y), radius = self.hole
        for values in product(*self.morph.ranges):
            at = self._at(values)
            growth = max(at["radius"] - radius, 0.0)
            strain = 1.5 * (hypot(at["x"] - x, at["y"] - y) + growth) / (self.reach - radius)
            if strain > _STRAIN or at["radius"] < _SMALLEST * radius:
                most = _STRAIN / 1.5 * (self.reach - radius)
                raise ValueError(
                    f"morph: the hole at ({at['x']:g}, {at['y']:g}) of radius {at['radius']:g} is "
                    f"too far from ({x:g}, {y:g}), {radius:g}; allowed: shift + growth ≤ {most:.3g}"
                    f", radius ≥ {_SMALLEST * radius:.3g}"
                )
        return self


def ascending(low: tuple[float, ...], high: tuple[float, ...]) -> None:
    """Check that two corners span a box.

    Raises:
        ValueError: They don't.
    """
    if not all(a < b for a, b in zip(low, high, strict=True)):
        raise ValueError(f"got corners {low} and {high}; allowed: low < high in each direction")
