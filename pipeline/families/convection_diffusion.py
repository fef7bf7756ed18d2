"""Convection and diffusion, stabilised along the stream where convection rules (SUPG)."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.boundary import Sides, dirichlet_rest, natural
from pipeline.families.components import components
from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient
from pipeline.models import SpaceSpec

__all__ = ["ConvectionDiffusion"]


class ConvectionDiffusion(Family):
    """−∇·(ε ∇u) + b·∇u = f in Ω, u = g on ∂Ω; on named sides a given flux ε ∂u/∂n or an exchange.

    Weak form with R(u) = −∇·(ε ∇u) + b·∇u − f: ∫ ε ∇u·∇v + b·∇u v − f v dx
    − ∫_sides (ε ∂u/∂n) v ds + Σ_K ∫_K τ R(u) b·∇v dx = 0 for all v that vanish where u = g. The
    last sum (streamline upwind Petrov–Galerkin, Brooks & Hughes 1982) vanishes for the solution;
    τ = ((2|b|/h)² + (12 ε/h²)²)^(−1/2) (Shakib, Hughes & Johan 1991), h the diameter of the cell
    over the degree of u. It removes the oscillations, but for some percent next to sharp layers.
    """

    family: Literal["convection_diffusion"]
    diffusivity: Coefficient = quantity("eps", "diffusivity", units="m^2/s", positive=True)
    velocity_x: Coefficient = quantity("b_x", "velocity along x", units="m/s")
    velocity_y: Coefficient = quantity("b_y", "velocity along y", 0.0, units="m/s")
    velocity_z: Coefficient = quantity("b_z", "velocity along z, in 3-D", 0.0, units="m/s")
    source: Coefficient = quantity("f", "source", 1.0, units="mol/(m^3 s)")
    boundary: Coefficient = quantity("g", "value on the boundary", 0.0, units="mol/m^3")
    sides: Sides = Field({}, description="Conditions on named parts of the boundary instead.")
    stabilise: bool = Field(True, description="Whether to add the SUPG terms.")
    output_space: SpaceSpec = Field(
        SpaceSpec(family="P", degree=1), description="Space of u: P1 or P2."
    )

    STRATEGY: ClassVar[dict[str, Any]] = {"ksp": "gmres", "pc": "ilu"}
    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {"output_space": ("P1", "P2")}

    def outputs(self, dim: int) -> list[Output]:
        """Return the concentration u."""
        return [Output("u", self.output_space, "mol/m^3", "concentration")]

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """−∇·(ε ∇u) + b·∇u − f."""
        return -q.div(c.eps * q.grad(u)) + q.inner(components(q, c, "b"), q.grad(u)) - c.f

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ ε ∇u·∇v + (b·∇u − f) v dx − ∫_sides (ε ∂u/∂n) v ds + Σ_K ∫_K τ R(u) b·∇v dx."""
        b = components(q, c, "b")
        inside = c.eps * q.inner(q.grad(u), q.grad(v)) + (q.inner(b, q.grad(u)) - c.f) * v
        total = q.dx(inside) - natural(q, self.sides, u, v)
        if self.stabilise:
            total = total + q.dx(self.strong(q, u, c) * (self.weights(q, v, c) - v))
        return total

    def weights(self, q: Any, v: Any, c: Any) -> Any:
        """What residuals are tested with: v + τ b·∇v, or v alone."""
        if not self.stabilise:
            return v
        b, h = components(q, c, "b"), q.h / self.output_space.degree
        tau = 1 / q.sqrt(4 * q.inner(b, b) / h**2 + (12 * c.eps / h**2) ** 2)
        return v + tau * q.inner(b, q.grad(v))

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """U = g outside of the sides."""
        return dirichlet_rest(q, self.sides, "u", c.g)
