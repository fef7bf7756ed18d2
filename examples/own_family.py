"""A family of one's own: diffusion with absorption in a random medium."""

from typing import Literal

from rekrylov import Coefficient, Family, Output, SpaceSpec, quantity


class Absorption(Family):
    """−∇·(a ∇u) + s u = f in Ω, u = 0 on ∂Ω.

    Weak form: ∫ a ∇u·∇v + s u v − f v dx = 0 for all v that vanish on ∂Ω.
    """

    family: Literal["absorption"]
    diffusion: Coefficient = quantity("a", "diffusivity", units="m^2/s", positive=True)
    absorption: Coefficient = quantity("s", "absorption rate", 1.0, units="1/s")
    source: Coefficient = quantity("f", "source", 1.0, units="mol/(m^3 s)")

    def outputs(self, dim):
        """Return the concentration u."""
        return [Output("u", SpaceSpec(family="P", degree=2), "mol/m^3", "concentration")]

    def strong(self, q, u, c):
        """−∇·(a ∇u) + s u − f."""
        return -q.div(c.a * q.grad(u)) + c.s * u - c.f

    def weak(self, q, u, v, c):
        """∫ a ∇u·∇v + s u v − f v dx."""
        return q.dx(c.a * q.inner(q.grad(u), q.grad(v)) + c.s * u * v - c.f * v)

    def conditions(self, q, c):
        """U = 0 on the boundary."""
        return [q.dirichlet("u", 0.0)]
