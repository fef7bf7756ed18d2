"""Heat conduction between two sides: anisotropic, and with a conductivity that depends on T."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient
from pipeline.models import SpaceSpec

__all__ = ["Thermal", "ThermalNonlinear"]


class _Block(Family):
    """A conductor held at T_l and T_r on two sides."""

    conductivity: Coefficient = quantity("k", "conductivity", units="W/(m K)", positive=True)
    ratio: Coefficient = quantity("r", "conductivity along e over k", 1.0, positive=True)
    angle: Coefficient = quantity("theta", "angle by which e is turned", 0.0, units="rad")
    source: Coefficient = quantity("f", "heat source", 0.0, units="W/m^3")
    left: Coefficient = quantity("T_l", "temperature on the first side", units="degC")
    right: Coefficient = quantity("T_r", "temperature on the second side", units="degC")
    held: tuple[str, str] = Field(("left", "right"), description="Sides held at T_l and at T_r.")
    output_space: SpaceSpec = Field(
        SpaceSpec(family="P", degree=1), description="Space of T: P1, P2 or P3."
    )

    DIMENSIONS: ClassVar[tuple[int, ...]] = (2, 3)
    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {"output_space": ("P1", "P2", "P3")}

    def outputs(self, dim: int) -> list[Output]:
        """Return the temperature T."""
        return [Output("T", self.output_space, "degC", "temperature")]

    def conduct(self, q: Any, u: Any, c: Any) -> Any:
        """K ∇T, the heat flux with its sign turned [W/m²]."""
        e = q.vector([0.0] * (q.dim - 2) + [-q.sin(c.theta), q.cos(c.theta)])
        gradient = q.grad(u)
        return c.k * (gradient + (c.r - 1) * q.inner(e, gradient) * e)

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """−∇·(K ∇T) − f."""
        return -q.div(self.conduct(q, u, c)) - c.f

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ K ∇T·∇v − f v dx."""
        return q.dx(q.inner(self.conduct(q, u, c), q.grad(v)) - c.f * v)

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """T = T_l on the first side, T = T_r on the second."""
        first, second = self.held
        return [q.dirichlet("T", c.T_l, first), q.dirichlet("T", c.T_r, second)]


class Thermal(_Block):
    """−∇·(K ∇T) = f in Ω, T = T_l and T = T_r on the sides `held`, (K ∇T)·n = 0 elsewhere on ∂Ω.

    K = k (I + (r − 1) e eᵀ): k across and r k along e. In the plane e = (−sin θ, cos θ), so
    K = k R(θ) diag(1, r) R(θ)ᵀ; in space e = (0, −sin θ, cos θ). Weak form: ∫ K ∇T·∇v − f v dx = 0
    for all v that vanish on the two sides. With P1, r = 1, f = 0 on triangles without obtuse
    angles T_l and T_r bound T; heat is conserved: what enters at one side leaves at the other.
    """

    family: Literal["thermal"]


class ThermalNonlinear(_Block):
    """−∇·((1 + α T) K ∇T) = f in Ω, T = T_l and T = T_r on the two sides `held`, no flux elsewhere.

    K as for `thermal`; k is the conductivity at T = 0. Weak form: ∫ (1 + α T) K ∇T·∇v − f v dx = 0
    for all v that vanish on the two sides. It is a problem of conduction while 1 + α T > 0.
    """

    family: Literal["thermal_nonlinear"]
    slope: Coefficient = quantity("alpha", "relative change of the conductivity", units="1/K")

    LINEAR: ClassVar[bool] = False
    STRATEGY: ClassVar[dict[str, Any]] = {"ksp": "gmres", "pc": "ilu"}

    def conduct(self, q: Any, u: Any, c: Any) -> Any:
        """(1 + α T) K ∇T [W/m²]."""
        return (1 + c.alpha * u) * super().conduct(q, u, c)
