"""A hyperelastic beam under compression: large deformations, beyond the load of buckling."""

from math import log
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipeline.families.components import components
from pipeline.families.elasticity import lame
from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient, ScalarCoefficient
from pipeline.models import SpaceSpec

__all__ = ["Hyperelastic"]

_LEAST_J = 0.2


class Hyperelastic(Family):
    """−∇·P(F) = B in Ω, u = 0 on `clamped`, u = −δ e_x on `pressed`, P·n = 0 elsewhere on ∂Ω.

    F = I + ∇u, J = det F, P = ∂W/∂F of the compressible neo-Hookean energy (R. W. Ogden,
    Non-linear Elastic Deformations, 1984)

        W = μ/2 (tr FᵀF − d) − μ ln J + λ/2 (ln J)²,    P = μ F + (λ ln J − μ) F⁻ᵀ,

    plane strain in 2-D. Weak form: ∫ P(F) : ∇v − B·v dx = 0 for all v that vanish on `clamped`
    and `pressed`. Below J = 0.2 the terms in ln J go on linearly in J, so that Newton's iterates
    may turn cells over; a solution with such cells is not to be trusted.

    A slender beam of height h and length L buckles near δ = π²h²/(3L), to the side that B or Y
    says. Beyond that the straight beam is in balance too: with some `steps` Newton's method
    follows the path from rest, where B is not too small (steps: 4 and 1e-5 Y/m in the tests).
    """

    family: Literal["hyperelastic"]
    modulus: Coefficient = quantity(
        "Y", "Young's modulus at small strain", units="Pa", positive=True
    )
    ratio: ScalarCoefficient = quantity("nu", "Poisson's ratio", 0.3, within=(-1.0, 0.5))
    compression: ScalarCoefficient = quantity("delta", "displacement of the end", units="m")
    force_x: Coefficient = quantity("B_x", "body force along x", 0.0, units="N/m^3")
    force_y: Coefficient = quantity("B_y", "body force along y", 0.0, units="N/m^3")
    force_z: Coefficient = quantity("B_z", "body force along z, in 3-D", 0.0, units="N/m^3")
    clamped: tuple[str, ...] = Field(("left",), description="Sides that don't move.")
    pressed: tuple[str, ...] = Field(("right",), description="Sides moved by −δ along x.")
    steps: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="Equal steps in which δ is applied; u after each of them is an output."
    )
    output_space: SpaceSpec = Field(
        SpaceSpec(family="P", degree=2), description="Space of each component of u: P1 or P2."
    )

    LINEAR: ClassVar[bool] = False
    QUADRATURE: ClassVar[int | None] = 4
    STRATEGY: ClassVar[dict[str, Any]] = {"ksp": "preonly", "pc": "lu"}
    DIMENSIONS: ClassVar[tuple[int, ...]] = (2, 3)
    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {"output_space": ("P1", "P2")}

    def outputs(self, dim: int) -> list[Output]:
        """Return the displacement u."""
        return [Output("u", self.output_space.vector(dim), "m", "displacement")]

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """−∇·P(F) − B; ∇·(U′ cof F) is cof F ∇U′ by Piola's identity ∇·cof F = 0."""
        mu, F, cofactors, pressure = _stresses(q, u, c)
        return -q.div(mu * F) - q.dot(cofactors, q.grad(pressure)) - components(q, c, "B")

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ P(F) : ∇v − B·v dx."""
        mu, F, cofactors, pressure = _stresses(q, u, c)
        stress = mu * F + pressure * cofactors
        return q.dx(q.inner(stress, q.grad(v)) - q.inner(components(q, c, "B"), v))

    def times(self) -> list[float]:
        """Return the shares of δ after each of several steps."""
        return [k / self.steps for k in range(1, self.steps + 1)] if self.steps > 1 else []

    def initial(self, q: Any, c: Any) -> Any:
        """U = 0 before the first of several steps."""
        zero = q.expression(lambda coordinates, functions: 0.0)
        return q.vector([zero] * q.dim) if self.steps > 1 else None

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """U = 0 on the clamped sides, u = −δ e_x, or the present share of it, on the pressed."""
        share = q.load * q.time if self.steps > 1 else q.load
        rest, moved = [0.0] * q.dim, [-share * c.delta] + [0.0] * (q.dim - 1)
        return [q.dirichlet("u", q.vector(rest), side) for side in self.clamped] + [
            q.dirichlet("u", q.vector(moved), side) for side in self.pressed
        ]

    def exact(self, q: Any) -> tuple[Any, dict[str, Any]]:
        """A smooth small displacement; the quantities as they are."""
        from pipeline.manufactured import smooth_field

        return 0.05 * smooth_field(q, (q.dim,)), {}


def _stresses(q: Any, u: Any, c: Any) -> tuple[Any, Any, Any, Any]:
    """μ, F, cof F, U′(J) of P = μ F + U′ cof F; U = λ/2 (ln J)² − μ ln J, linear for J < 0.2."""
    lam, mu = lame(c.Y, c.nu)
    F = q.identity() + q.grad(u)
    J = q.det(F)
    beyond = (lam * log(_LEAST_J) - mu) / _LEAST_J
    pressure = q.conditional(J - _LEAST_J, (lam * q.ln(J) - mu) / J, beyond)
    return mu, F, _cofactors(q, F), pressure


def _cofactors(q: Any, F: Any) -> Any:
    """J F⁻ᵀ as a polynomial in F (Cayley and Hamilton), which exists where J = 0 too."""
    first = q.tr(F)
    if q.dim == 2:
        return first * q.identity() - q.transpose(F)
    square = q.dot(F, F)
    second = (first**2 - q.tr(square)) / 2
    return q.transpose(square - first * F + second * q.identity())
