"""Darcy flow in its mixed form: the flux in H(div), mass conserved cell by cell."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient
from pipeline.models import SpaceSpec

__all__ = ["DarcyMixed"]


class DarcyMixed(Family):
    """a⁻¹ σ + ∇p = 0, ∇·σ = f in Ω, p = g on ∂Ω; σ·n = 0 on the sides named `walls`.

    Weak form: ∫ a⁻¹ σ·τ − p ∇·τ + (f − ∇·σ) r dx + ∫ g τ·n ds = 0 for all (τ, r). With
    RT_k × DG_{k−1} or BDM_k × DG_{k−1}, ∇·σ is the L² projection of f: ∫_K ∇·σ = ∫_K f.
    """

    family: Literal["darcy_mixed"]
    coefficient: Coefficient = quantity(
        "a", "permeability over viscosity", units="m^2/(Pa s)", positive=True
    )
    source: Coefficient = quantity("f", "source", 1.0, units="1/s")
    boundary: Coefficient = quantity("g", "pressure on the boundary", 0.0, units="Pa")
    walls: tuple[str, ...] = Field((), description="Sides that nothing flows through.")
    flux_space: SpaceSpec = Field(
        SpaceSpec(family="RT", degree=1), description="Space of σ: RT1, RT2 or BDM1."
    )

    STRATEGY: ClassVar[dict[str, Any]] = {"ksp": "preonly", "pc": "lu"}
    DIMENSIONS: ClassVar[tuple[int, ...]] = (2, 3)
    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {"flux_space": ("RT1", "RT2", "BDM1")}

    def outputs(self, dim: int) -> list[Output]:
        """Return the flux σ and the pressure p, constant or linear in each cell."""
        pressure = SpaceSpec(family="DG", degree=self.flux_space.degree - 1)
        return [
            Output("sigma", self.flux_space, "m/s", "flux"),
            Output("p", pressure, "Pa", "pressure"),
        ]

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """(a⁻¹ σ + ∇p, f − ∇·σ)."""
        sigma, p = u
        return sigma / c.a + q.grad(p), c.f - q.div(sigma)

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ a⁻¹ σ·τ − p ∇·τ + (f − ∇·σ) r dx + ∫ g τ·n ds."""
        (sigma, p), (tau, r) = u, v
        inside = q.inner(sigma, tau) / c.a - p * q.div(tau) + (c.f - q.div(sigma)) * r
        return q.dx(inside) + q.ds("boundary", c.g * q.inner(tau, q.n))

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """σ·n = 0 on the walls; some side has to be open, or p is known up to a constant only."""
        if q.boundary_without(list(self.walls)) is None:
            raise ValueError("problem.walls: walls all around; leave a side open, where p is given")
        return [q.dirichlet("sigma", q.vector([0.0] * q.dim), wall) for wall in self.walls]
