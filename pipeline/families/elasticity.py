"""Linear elasticity: a body clamped on one side and pulled on another."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.families.components import components
from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient, ScalarCoefficient
from pipeline.models import SpaceSpec

__all__ = ["Elasticity", "lame"]


def lame(Y: Any, nu: Any) -> tuple[Any, Any]:
    """Return Lamé's λ and μ [Pa] of Young's modulus Y [Pa] and Poisson's ratio ν."""
    return Y * nu / ((1 + nu) * (1 - 2 * nu)), Y / (2 * (1 + nu))


class Elasticity(Family):
    """−∇·σ(u) = f in Ω, u = 0 on `clamped`, σ·n = t on `loaded`, σ·n = 0 elsewhere on ∂Ω.

    σ = 2μ ε + λ (tr ε) I, ε = (∇u + ∇uᵀ)/2, small strains; plane strain in 2-D. Weak form:
    ∫ σ(u) : ε(v) − f·v dx − ∫_loaded t·v ds = 0 for all v, v = 0 on `clamped`. P1 locks as
    ν → ½; P2 bears ν ≤ 0.45 well.
    """

    family: Literal["elasticity"]
    modulus: Coefficient = quantity("Y", "Young's modulus", units="Pa", positive=True)
    ratio: ScalarCoefficient = quantity("nu", "Poisson's ratio", 0.3, within=(-1.0, 0.5))
    force_x: Coefficient = quantity("f_x", "body force along x", 0.0, units="N/m^3")
    force_y: Coefficient = quantity("f_y", "body force along y", 0.0, units="N/m^3")
    force_z: Coefficient = quantity("f_z", "body force along z, in 3-D", 0.0, units="N/m^3")
    traction_x: Coefficient = quantity("t_x", "traction along x", 0.0, units="Pa")
    traction_y: Coefficient = quantity("t_y", "traction along y", 0.0, units="Pa")
    traction_z: Coefficient = quantity("t_z", "traction along z, in 3-D", 0.0, units="Pa")
    clamped: tuple[str, ...] = Field(("left",), description="Sides that don't move.")
    loaded: tuple[str, ...] = Field(("right",), description="Sides under the traction.")
    output_space: SpaceSpec = Field(
        SpaceSpec(family="P", degree=1), description="Space of each component of u: P1 or P2."
    )

    STRATEGY: ClassVar[dict[str, Any]] = {"ksp": "preonly", "pc": "cholesky"}
    DIMENSIONS: ClassVar[tuple[int, ...]] = (2, 3)
    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {"output_space": ("P1", "P2")}

    def outputs(self, dim: int) -> list[Output]:
        """Return the displacement u."""
        return [Output("u", self.output_space.vector(dim), "m", "displacement")]

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """−∇·σ(u) − f."""
        return -q.div(_stress(q, u, c)) - components(q, c, "f")

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ σ(u) : ε(v) − f·v dx − ∫_loaded t·v ds."""
        work = q.inner(_stress(q, u, c), q.sym(q.grad(v)))
        total = q.dx(work - q.inner(components(q, c, "f"), v))
        for side in self.loaded:
            total = total - q.ds(side, q.inner(components(q, c, "t"), v))
        return total

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """U = 0 on the clamped sides."""
        return [q.dirichlet("u", q.vector([0.0] * q.dim), side) for side in self.clamped]


def _stress(q: Any, u: Any, c: Any) -> Any:
    lam, mu = lame(c.Y, c.nu)
    strain = q.sym(q.grad(u))
    return 2 * mu * strain + lam * q.tr(strain) * q.identity()
