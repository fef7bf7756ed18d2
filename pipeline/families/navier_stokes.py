"""Steady incompressible Navier–Stokes flow: through a channel, and in a lid-driven cavity."""

import math
from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.families.flow import Channel, Flow
from pipeline.family import quantity
from pipeline.inputs import Coefficient, ScalarCoefficient

__all__ = ["LidDrivenCavity", "NavierStokes"]


class Convective(Flow):
    """Flow with inertia: ρ (u·∇)u is added to the momentum balance."""

    density: ScalarCoefficient = quantity("rho", "density", 1.0, units="kg/m^3", positive=True)

    LINEAR: ClassVar[bool] = False

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """(ρ (u·∇)u − μ Δu + ∇p − f, −∇·u)."""
        momentum, mass = super().strong(q, u, c)
        return momentum + c.rho * q.dot(q.grad(u[0]), u[0]), mass

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ ρ (u·∇)u·v + μ ∇u : ∇v − p ∇·v − r ∇·u − f·v dx."""
        inertia = c.rho * q.inner(q.dot(q.grad(u[0]), u[0]), v[0])
        return super().weak(q, u, v, c) + q.dx(inertia)


class NavierStokes(Convective, Channel):
    """ρ (u·∇)u − μ Δu + ∇p = f, ∇·u = 0 in Ω; u = inflow on `inlet`, open `outlet`, else u = 0.

    Weak form: ∫ ρ (u·∇)u·v + μ ∇u : ∇v − p ∇·v − r ∇·u − f·v dx = 0 for all (v, r), v = 0 but on
    `outlet`, where μ ∂u/∂n − p n = 0. The defaults on the domain channel_cylinder are the DFG
    benchmark 2D-1 at Re = 20 (Schäfer & Turek 1996). Without stabilisation: for Reynolds numbers
    whose boundary layers the mesh resolves. Where Newton's method fails, the inflow grows in steps.
    """

    family: Literal["navier_stokes"]


class LidDrivenCavity(Convective):
    """ρ (u·∇)u − μ Δu + ∇p = f, ∇·u = 0 in Ω, u = U e_x on `lid`, u = 0 elsewhere on ∂Ω.

    Weak form as for `navier_stokes`, v = 0 on ∂Ω. The pressure is 0 at the corner (0, 0), the
    ends of the lid are at rest. Where Newton's method fails, the lid is sped up in steps.
    """

    family: Literal["lid_driven_cavity"]
    speed: Coefficient = quantity("U", "speed of the lid", 1.0, units="m/s")
    lid: str = Field("top", description="Side that moves along x.")

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """U = U e_x on the lid, u = 0 on the rest, p = 0 at a corner."""
        lid = q.dirichlet("u", q.vector([q.load * c.U, 0.0]), self.lid)
        rest = q.dirichlet("u", q.vector([0.0, 0.0]), q.boundary_without([self.lid]))
        return [lid, rest, q.pin("p", (0.0, 0.0))]

    def exact(self, q: Any) -> Any:
        """A flow that no wall lets through: with a pin, what the data let in too much has no way.

        U = ∇×ψ with ψ = sin²(πx) sin²(πy)/(20π) on the unit square, and a smooth pressure.
        """
        x, y = math.pi * q.x[0], math.pi * q.x[1]
        along = q.sin(x) ** 2 * q.sin(y) * q.cos(y) / 10
        across = -q.sin(x) * q.cos(x) * q.sin(y) ** 2 / 10
        return (q.vector([along, across]), q.sin(1.3 * q.x[0] + 0.4) * q.cos(1.7 * q.x[1])), {}
