"""Poisson's equation with random sources and random boundary data."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.boundary import Sides, dirichlet_rest, natural
from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient
from pipeline.models import SpaceSpec

__all__ = ["Poisson"]


class Poisson(Family):
    """−Δu = f in Ω, u = g on ∂Ω; on named sides a given flux ∂u/∂n or an exchange.

    Weak form: ∫ ∇u·∇v dx − ∫ f v dx − ∫_sides (∂u/∂n) v ds = 0 for all v, v = 0 where u = g.
    """

    family: Literal["poisson"]
    source: Coefficient = quantity("f", "source", 1.0)
    boundary: Coefficient = quantity("g", "value on the boundary", 0.0)
    sides: Sides = Field({}, description="Conditions on named parts of the boundary instead.")
    output_space: SpaceSpec = Field(
        SpaceSpec(family="P", degree=1), description="Space of u: P1, P2, P3 or CR1."
    )

    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {"output_space": ("P1", "P2", "P3", "CR1")}

    def outputs(self, dim: int) -> list[Output]:
        """Return the solution u."""
        return [Output("u", self.output_space, "1", "solution")]

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """−Δu − f."""
        return -q.div(q.grad(u)) - c.f

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ ∇u·∇v − f v dx − ∫_sides (∂u/∂n) v ds."""
        return q.dx(q.inner(q.grad(u), q.grad(v)) - c.f * v) - natural(q, self.sides, u, v)

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """U = g outside of the sides."""
        return dirichlet_rest(q, self.sides, "u", c.g)
