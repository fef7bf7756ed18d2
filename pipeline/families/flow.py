"""What the flow problems share: velocity and pressure, and a channel with a random inflow."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.families.components import components
from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient, ScalarCoefficient
from pipeline.models import SpaceSpec

__all__ = ["Channel", "Flow"]


class Flow(Family):
    """−μ Δu + ∇p = f, ∇·u = 0, without boundary conditions.

    Weak form: ∫ μ ∇u : ∇v − p ∇·v − r ∇·u − f·v dx = 0 for all (v, r); on sides without a
    condition μ ∂u/∂n − p n = 0 ("do nothing"). Velocities and pressures are of one inf-sup
    stable pair: Taylor–Hood, P2 × P1, or MINI, P1 with a bubble × P1.
    """

    family: str
    viscosity: ScalarCoefficient = quantity(
        "mu", "dynamic viscosity", 1e-3, units="Pa s", positive=True
    )
    force_x: Coefficient = quantity("f_x", "body force along x", 0.0, units="N/m^3")
    force_y: Coefficient = quantity("f_y", "body force along y", 0.0, units="N/m^3")
    element: Literal["taylor_hood", "mini"] = Field(
        "taylor_hood", description="taylor_hood: P2 × P1; mini: P1 with a bubble × P1."
    )

    STRATEGY: ClassVar[dict[str, Any]] = {"ksp": "preonly", "pc": "lu"}
    DIMENSIONS: ClassVar[tuple[int, ...]] = (2,)

    def outputs(self, dim: int) -> list[Output]:
        """Return the velocity u and the pressure p."""
        name, degree = ("P", 2) if self.element == "taylor_hood" else ("MINI", 1)
        velocity = SpaceSpec(family=name, degree=degree).vector(dim)
        return [
            Output("u", velocity, "m/s", "velocity"),
            Output("p", SpaceSpec(family="P", degree=1), "Pa", "pressure"),
        ]

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """(−μ Δu + ∇p − f, −∇·u)."""
        velocity, p = u
        momentum = -c.mu * q.div(q.grad(velocity)) + q.grad(p) - components(q, c, "f")
        return momentum, -q.div(velocity)

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ μ ∇u : ∇v − p ∇·v − r ∇·u − f·v dx: symmetric."""
        (velocity, p), (test, r) = u, v
        viscous = c.mu * q.inner(q.grad(velocity), q.grad(test))
        coupling = p * q.div(test) + r * q.div(velocity)
        return q.dx(viscous - coupling - q.inner(components(q, c, "f"), test))


class Channel(Flow):
    """Conditions of a channel along x: an inflow, walls and obstacles at rest, an open outlet."""

    inflow: Coefficient = quantity(
        "U", "inflow, times the parabola that is 1 amid the inlet", 0.3, units="m/s"
    )
    inlet: str = Field("inlet", description="Side that the fluid comes in through, along x.")
    outlet: str = Field("outlet", description="Side that it leaves through, freely.")
    span: tuple[float, float] = Field(
        (0.0, 0.41), description="Lower and upper end of the inlet, y [m]."
    )

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """U = 4 U s (1 − s) e_x at the inlet, s from 0 to 1 across it; u = 0 on the rest."""
        low, high = self.span
        y, load = q.x[1], 1.0 if self.LINEAR else q.load
        profile = load * c.U * 4 * (y - low) * (high - y) / (high - low) ** 2
        found = [q.dirichlet("u", q.vector([profile, 0.0]), self.inlet)]
        walls = q.boundary_without([self.inlet, self.outlet])
        if walls is not None:
            found.append(q.dirichlet("u", q.vector([0.0, 0.0]), walls))
        return found
