"""Boundary conditions of scalar problems: Dirichlet data, and what holds on named sides instead.

With the flux A(u)·n that a weak form leaves on the boundary:

    Neumann    A(u)·n = flux
    Robin      A(u)·n = coefficient · (value − u)
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.expressions import function
from pipeline.models import Expression, SpecModel

__all__ = ["Neumann", "Robin", "Sides", "dirichlet_rest", "natural"]


class Neumann(SpecModel):
    """A given flux into the domain."""

    kind: Literal["neumann"]
    flux: Expression = Field("0.0", description="Flux into the domain.")


class Robin(SpecModel):
    """An exchange with the outside."""

    kind: Literal["robin"]
    coefficient: Expression = Field("1.0", description="Exchange coefficient, > 0.")
    value: Expression = Field("0.0", description="Value outside.")


Side = Annotated[Neumann | Robin, Field(discriminator="kind")]
Sides = dict[str, Side]


def natural(q: Any, sides: Sides, u: Any, v: Any) -> Any:
    """Return Σ_sides ∫ A(u)·n v ds, to be subtracted from the weak form; 0 without sides."""
    total: Any = q.dx(0 * v)
    for name, side in sides.items():
        if isinstance(side, Neumann):
            total = total + q.ds(name, q.expression(function(side.flux)) * v)
        else:
            beta, outside = function(side.coefficient), function(side.value)
            total = total + q.ds(name, q.expression(beta) * (q.expression(outside) - u) * v)
    return total


def dirichlet_rest(
    q: Any, sides: Sides, output: str, value: Any, determined: bool = False
) -> list[Any]:
    """Return u = value on the boundary without the sides; nothing if no boundary is left.

    Args:
        q: The calculus.
        sides: What holds on named sides.
        output: The field u.
        value: Its boundary value.
        determined: Whether the equation in the domain alone fixes the constant in u.

    Raises:
        ValueError: A flux is given all around, and nothing fixes the constant in u.
    """
    where = q.boundary_without(list(sides))
    if where is not None:
        return [q.dirichlet(output, value, where)]
    if not determined and all(isinstance(side, Neumann) for side in sides.values()):
        raise ValueError(
            f"problem.sides: a flux is given on the whole boundary, so {output} is known up to "
            "a constant only; leave a part out (its value is given then) or make a side robin"
        )
    return []
