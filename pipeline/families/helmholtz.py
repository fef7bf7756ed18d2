"""The Helmholtz equation in a closed domain: real, symmetric and indefinite."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient
from pipeline.models import SpaceSpec

__all__ = ["Helmholtz"]


class Helmholtz(Family):
    """−Δu − k² u = f in Ω, u = g on ∂Ω.

    Weak form: ∫ ∇u·∇v − k² u v − f v dx = 0 for all v that vanish on ∂Ω. Indefinite once k² is
    above the lowest eigenvalue of −Δ, and u is large where k² is near one of them; the mesh has
    to resolve the wave, (k h)² k small with P1.
    """

    family: Literal["helmholtz"]
    wave_number: Coefficient = quantity("k", "wave number", units="1/m")
    source: Coefficient = quantity("f", "source", 1.0, units="1/m^2")
    boundary: Coefficient = quantity("g", "value on the boundary", 0.0)
    output_space: SpaceSpec = Field(
        SpaceSpec(family="P", degree=1), description="Space of u: P1, P2 or P3."
    )

    STRATEGY: ClassVar[dict[str, Any]] = {"ksp": "preonly", "pc": "lu"}
    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {"output_space": ("P1", "P2", "P3")}

    def outputs(self, dim: int) -> list[Output]:
        """Return the amplitude u."""
        return [Output("u", self.output_space, "1", "amplitude")]

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """−Δu − k² u − f."""
        return -q.div(q.grad(u)) - c.k**2 * u - c.f

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ ∇u·∇v − k² u v − f v dx."""
        return q.dx(q.inner(q.grad(u), q.grad(v)) - c.k**2 * u * v - c.f * v)

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """U = g."""
        return [q.dirichlet("u", c.g)]
