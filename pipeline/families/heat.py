"""The heat equation: outputs with a time axis, one matrix for all steps."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.boundary import Sides, dirichlet_rest, natural
from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient
from pipeline.models import SpaceSpec

__all__ = ["Heat"]


class Heat(Family):
    """∂u/∂t − ∇·(a ∇u) = f in Ω, u = g on ∂Ω, u = u0 at t = 0; on `sides` a flux or an exchange.

    Weak form of a step Δt, with ū = ϑ u + (1 − ϑ) u_before: ∫ (u − u_before) v/Δt + a ∇ū·∇v
    − f v dx − ∫_sides (a ∂ū/∂n) v ds = 0 for all v, v = 0 where u = g. ϑ = 1 is the implicit Euler
    method (order 1, damps all), ϑ = ½ Crank and Nicolson's (order 2, but the error of an u0 that
    is rough or doesn't fit g hardly fades). For f = g = 0 the L² norm of u falls in every step.
    """

    family: Literal["heat"]
    diffusivity: Coefficient = quantity("a", "diffusivity", units="m^2/s", positive=True)
    source: Coefficient = quantity("f", "source", 0.0, units="K/s")
    boundary: Coefficient = quantity("g", "temperature on the boundary", 0.0, units="K")
    start: Coefficient = quantity("u0", "temperature at t = 0", units="K")
    sides: Sides = Field({}, description="Conditions on named parts of the boundary instead.")
    end: float = Field(gt=0, description="Time of the last step [s].")
    steps: int = Field(ge=1, le=10_000, description="Steps, of equal length.")
    theta: float = Field(1.0, ge=0.5, le=1, description="Share of the new time in a step.")
    output_space: SpaceSpec = Field(
        SpaceSpec(family="P", degree=1), description="Space of u: P1, P2 or P3."
    )

    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {"output_space": ("P1", "P2", "P3")}

    def outputs(self, dim: int) -> list[Output]:
        """Return the temperature u."""
        return [Output("u", self.output_space, "K", "temperature")]

    def _between(self, q: Any, u: Any) -> Any:
        return self.theta * u + (1 - self.theta) * q.previous

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """(u − u_before)/Δt − ∇·(a ∇ū) − f."""
        return (u - q.previous) / q.dt - q.div(c.a * q.grad(self._between(q, u))) - c.f

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ (u − u_before) v/Δt + a ∇ū·∇v − f v dx − ∫_sides (a ∂ū/∂n) v ds."""
        mean = self._between(q, u)
        inside = c.a * q.inner(q.grad(mean), q.grad(v)) + ((u - q.previous) / q.dt - c.f) * v
        return q.dx(inside) - natural(q, self.sides, mean, v)

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """U = g outside of the sides."""
        return dirichlet_rest(q, self.sides, "u", c.g, determined=True)

    def initial(self, q: Any, c: Any) -> Any:
        """U = u0."""
        return c.u0

    def times(self) -> list[float]:
        """Return k end/steps, k = 1 to `steps`."""
        return [self.end * k / self.steps for k in range(1, self.steps + 1)]
