"""Semilinear reaction and diffusion: Newton's method, a symmetric system in each step."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.boundary import Sides, dirichlet_rest, natural
from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient
from pipeline.models import SpaceSpec

__all__ = ["ReactionDiffusion"]


class ReactionDiffusion(Family):
    """−∇·(a ∇u) + s u³ − r u = f in Ω, u = g on ∂Ω; on named sides a given flux or an exchange.

    Weak form: ∫ a ∇u·∇v + (s u³ − r u − f) v dx − ∫_sides (a ∂u/∂n) v ds = 0 for all v, v = 0 where
    u = g: u is stationary for the energy ∫ a |∇u|²/2 + s u⁴/4 − r u²/2 − f u dx. For s ≥ 0 and
    r < the lowest eigenvalue of −∇·(a ∇·) it has one minimum and no other solution; beyond
    (Allen–Cahn) there are several, and Newton's method finds one.
    """

    family: Literal["reaction_diffusion"]
    diffusivity: Coefficient = quantity("a", "diffusivity", units="m^2/s", positive=True)
    cubic: Coefficient = quantity(
        "s", "rate of the cubic reaction, ≥ 0", 1.0, units="m^6/(mol^2 s)"
    )
    growth: Coefficient = quantity("r", "rate of growth", 0.0, units="1/s")
    source: Coefficient = quantity("f", "source", 1.0, units="mol/(m^3 s)")
    boundary: Coefficient = quantity("g", "value on the boundary", 0.0, units="mol/m^3")
    sides: Sides = Field({}, description="Conditions on named parts of the boundary instead.")
    output_space: SpaceSpec = Field(
        SpaceSpec(family="P", degree=1), description="Space of u: P1, P2 or P3."
    )

    LINEAR: ClassVar[bool] = False
    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {"output_space": ("P1", "P2", "P3")}

    def outputs(self, dim: int) -> list[Output]:
        """Return the concentration u."""
        return [Output("u", self.output_space, "mol/m^3", "concentration")]

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """−∇·(a ∇u) + s u³ − r u − f."""
        return -q.div(c.a * q.grad(u)) + c.s * u**3 - c.r * u - c.f

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ a ∇u·∇v + (s u³ − r u − f) v dx − ∫_sides (a ∂u/∂n) v ds."""
        inside = c.a * q.inner(q.grad(u), q.grad(v)) + (c.s * u**3 - c.r * u - c.f) * v
        return q.dx(inside) - natural(q, self.sides, u, v)

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """U = g outside of the sides."""
        return dirichlet_rest(q, self.sides, "u", c.g, determined=True)
