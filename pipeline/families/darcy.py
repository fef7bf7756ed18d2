"""Darcy flow in its primal form: the pressure in a continuous space."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.boundary import Sides, dirichlet_rest, natural
from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient
from pipeline.models import SpaceSpec

__all__ = ["Darcy"]


class Darcy(Family):
    """−∇·(a ∇u) = f in Ω, u = g on ∂Ω; on named sides a given flux a ∂u/∂n or an exchange.

    Weak form: ∫ a ∇u·∇v dx − ∫ f v dx − ∫_sides (a ∂u/∂n) v ds = 0 for all v, v = 0 where u = g.
    """

    family: Literal["darcy"]
    coefficient: Coefficient = quantity(
        "a", "permeability over viscosity", units="m^2/(Pa s)", positive=True
    )
    source: Coefficient = quantity("f", "source", 1.0, units="1/s")
    boundary: Coefficient = quantity("g", "pressure on the boundary", 0.0, units="Pa")
    sides: Sides = Field({}, description="Conditions on named parts of the boundary instead.")
    output_space: SpaceSpec = Field(
        SpaceSpec(family="P", degree=1), description="Space of u: P1, P2, P3 or CR1."
    )

    REVISION: ClassVar[int] = 2
    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {"output_space": ("P1", "P2", "P3", "CR1")}

    def outputs(self, dim: int) -> list[Output]:
        """Return the pressure u."""
        return [Output("u", self.output_space, "Pa", "pressure")]

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """−∇·(a ∇u) − f."""
        return -q.div(c.a * q.grad(u)) - c.f

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ a ∇u·∇v − f v dx − ∫_sides (a ∂u/∂n) v ds."""
        inside = q.dx(c.a * q.inner(q.grad(u), q.grad(v)) - c.f * v)
        return inside - natural(q, self.sides, u, v)

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """U = g outside of the sides."""
        return dirichlet_rest(q, self.sides, "u", c.g)
