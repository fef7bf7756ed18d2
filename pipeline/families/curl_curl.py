"""Maxwell's equations in their curl–curl form: the electric field in H(curl)."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.families.components import components
from pipeline.family import Family, Output, quantity
from pipeline.inputs import Coefficient
from pipeline.models import SpaceSpec

__all__ = ["CurlCurl"]


class CurlCurl(Family):
    """∇×(ν ∇×E) + κ E = J in Ω, E×n = 0 on ∂Ω (perfect conductor).

    Eddy currents over one implicit step Δt: ν = 1/permeability, κ = conductivity/Δt, J the rate
    of the driving current. In the plane ∇×E = ∂E_y/∂x − ∂E_x/∂y and ∇×φ = (∂φ/∂y, −∂φ/∂x).
    Weak form: ∫ ν (∇×E)·(∇×v) + κ E·v − J·v dx = 0 for all v with v×n = 0. Nédélec's first kind
    is continuous in the tangential components alone; gradients are in the kernel of ∇×, exactly.
    """

    family: Literal["curl_curl"]
    reluctivity: Coefficient = quantity("nu", "reluctivity", 1.0, units="m/H", positive=True)
    kappa: Coefficient = quantity(
        "kappa", "conductivity over time", 1.0, units="S/(m s)", positive=True
    )
    current_x: Coefficient = quantity("J_x", "driving current rate, x", 0.0, units="A/(m^2 s)")
    current_y: Coefficient = quantity("J_y", "driving current rate, y", 0.0, units="A/(m^2 s)")
    current_z: Coefficient = quantity("J_z", "driving current rate, z", 0.0, units="A/(m^2 s)")
    output_space: SpaceSpec = Field(
        SpaceSpec(family="N1curl", degree=1), description="Space of E: N1curl1 or N1curl2."
    )

    STRATEGY: ClassVar[dict[str, Any]] = {"ksp": "preonly", "pc": "cholesky"}
    DIMENSIONS: ClassVar[tuple[int, ...]] = (2, 3)
    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {"output_space": ("N1curl1", "N1curl2")}

    def outputs(self, dim: int) -> list[Output]:
        """Return the electric field E."""
        return [Output("E", self.output_space, "V/m", "electric field")]

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """∇×(ν ∇×E) + κ E − J."""
        return q.curl(c.nu * q.curl(u)) + c.kappa * u - components(q, c, "J")

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """∫ ν (∇×E)·(∇×v) + κ E·v − J·v dx."""
        energy = c.nu * q.inner(q.curl(u), q.curl(v)) + c.kappa * q.inner(u, v)
        return q.dx(energy - q.inner(components(q, c, "J"), v))

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """E×n = 0."""
        return [q.dirichlet("E", q.vector([0.0] * q.dim))]
