"""The Helmholtz equation with absorbing sides: complex, solved as a real system of two fields."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient
from pipeline.models import SpaceSpec

__all__ = ["HelmholtzAbsorbing"]


class HelmholtzAbsorbing(Family):
    """−Δu − k² u = f in Ω, ∂u/∂n − i k u = g on the sides `absorbing`, u = 0 elsewhere on ∂Ω.

    u = u_re + i u_im is a wave e^{−iωt} u whose outgoing part leaves through the sides; g = 0
    but for a wave that comes in. Weak form for all v, w that vanish on the rest of ∂Ω:
    ∫ ∇u_re·∇v − k² u_re v − f_re v dx + ∫_absorbing (k u_im − g_re) v ds
    + ∫ ∇u_im·∇w − k² u_im w − f_im w dx − ∫_absorbing (k u_re + g_im) w ds = 0.
    It has one solution for all k > 0. The condition is of first order: exact for plane waves
    that leave at a right angle.
    """

    family: Literal["helmholtz_absorbing"]
    wave_number: Coefficient = quantity("k", "wave number", units="1/m", positive=True)
    source_re: Coefficient = quantity("f_re", "source, real part", 1.0, units="1/m^2")
    source_im: Coefficient = quantity("f_im", "source, imaginary part", 0.0, units="1/m^2")
    incoming_re: Coefficient = quantity("g_re", "incoming wave, real part", 0.0, units="1/m")
    incoming_im: Coefficient = quantity("g_im", "incoming wave, imaginary part", 0.0, units="1/m")
    absorbing: tuple[str, ...] = Field(("boundary",), description="Sides that waves leave by.")
    output_space: SpaceSpec = Field(
        SpaceSpec(family="P", degree=1), description="Space of u_re and u_im: P1, P2 or P3."
    )

    STRATEGY: ClassVar[dict[str, Any]] = {"ksp": "preonly", "pc": "lu"}
    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {"output_space": ("P1", "P2", "P3")}

    def outputs(self, dim: int) -> list[Output]:
        """Return the real and the imaginary part of the amplitude."""
        return [
            Output("u_re", self.output_space, "1", "amplitude, real part"),
            Output("u_im", self.output_space, "1", "amplitude, imaginary part"),
        ]

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """(−Δu_re − k² u_re − f_re, −Δu_im − k² u_im − f_im)."""
        pairs = zip(u, (c.f_re, c.f_im), strict=True)
        return tuple(-q.div(q.grad(part)) - c.k**2 * part - f for part, f in pairs)

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """See the class."""
        total: Any = None
        for part, test, f in zip(u, v, (c.f_re, c.f_im), strict=True):
            waves = q.inner(q.grad(part), q.grad(test)) - c.k**2 * part * test - f * test
            total = q.dx(waves) if total is None else total + q.dx(waves)
        into_re, into_im = c.g_re - c.k * u[1], c.g_im + c.k * u[0]
        for side in self.absorbing:
            total = total - q.ds(side, into_re * v[0] + into_im * v[1])
        return total

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """U = 0 outside of the absorbing sides."""
        where = q.boundary_without(list(self.absorbing))
        return [] if where is None else [q.dirichlet(u, 0.0, where) for u in ("u_re", "u_im")]
