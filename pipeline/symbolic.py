"""The calculus of `meshes.calculus` in SymPy: what `manifest.problem` says is what is solved.

A family's `weak` and `strong` are evaluated with symbols for coefficients and functions of the
coordinates for fields. Vectors are column matrices, their components named u_x, u_y, u_z.
"""

from dataclasses import dataclass, field
from typing import Any

import sympy as sp

__all__ = ["SymbolicCalculus", "unknown"]

AXES = "xyz"


def unknown(name: str, coordinates: list[sp.Symbol], shape: tuple[int, ...] = ()) -> Any:
    """Return the function `name`(x, …): a scalar, or a column of components `name`_x, … of them."""
    if not shape:
        return sp.Function(name)(*coordinates)
    labels = AXES if shape[0] <= 3 else [str(i) for i in range(shape[0])]
    return sp.Matrix([sp.Function(f"{name}_{a}")(*coordinates) for a in labels[: shape[0]]])


@dataclass
class Integrals:
    """A sum of integrals over the domain or parts of its boundary."""

    terms: list[tuple[str, Any]] = field(default_factory=list)

    def __add__(self, other: "Integrals") -> "Integrals":
        return Integrals(self.terms + other.terms)

    def __sub__(self, other: "Integrals") -> "Integrals":
        return self + (-other)

    def __neg__(self) -> "Integrals":
        return Integrals([(where, -value) for where, value in self.terms])


class SymbolicCalculus:
    """Operators on SymPy expressions of the coordinates.

    Attributes:
        dim: Number of coordinates.
        x, n: Coordinates and outward normal, as columns.
        h, dt, time: Symbols.
        load: 1.
        previous: The solution at the time before.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.coordinates = list(sp.symbols(" ".join(AXES[:dim]) + ","))
        self.x = sp.Matrix(self.coordinates)
        self.n = sp.Matrix([sp.Symbol(f"n_{a}") for a in AXES[:dim]])
        self.h, self.dt, self.time = sp.symbols("h dt t")
        self.load = sp.Integer(1)  # the problem is the one under its whole load
        self.previous: Any = None
        self.parts: list[str] = []

    ln, exp, sqrt = staticmethod(sp.log), staticmethod(sp.exp), staticmethod(sp.sqrt)
    sin, cos, cosh = staticmethod(sp.sin), staticmethod(sp.cos), staticmethod(sp.cosh)

    def grad(self, u: Any) -> Any:
        """∇u: a column for a scalar, (∇u)_ij = ∂u_i/∂x_j for a column."""
        if isinstance(u, sp.MatrixBase):
            return sp.Matrix([[sp.diff(c, s) for s in self.coordinates] for c in u])
        return sp.Matrix([sp.diff(u, s) for s in self.coordinates])

    def div(self, u: Any) -> Any:
        """∇·u of a column, row by row of a square matrix (UFL's convention)."""
        if u.shape[1] == 1:
            return sum(sp.diff(c, s) for c, s in zip(u, self.coordinates, strict=True))
        return sp.Matrix([self.div(u.row(i).T) for i in range(u.shape[0])])

    def curl(self, u: Any) -> Any:
        """∇×u; in the plane a scalar of a vector, a vector of a scalar."""
        if not isinstance(u, sp.MatrixBase):
            x, y = self.coordinates
            return sp.Matrix([sp.diff(u, y), -sp.diff(u, x)])
        d = [[sp.diff(c, s) for s in self.coordinates] for c in u]
        if len(u) == 2:
            return d[1][0] - d[0][1]
        return sp.Matrix([d[2][1] - d[1][2], d[0][2] - d[2][0], d[1][0] - d[0][1]])

    def inner(self, a: Any, b: Any) -> Any:
        """Sum of the products of entries."""
        if not isinstance(a, sp.MatrixBase):
            return a * b
        return sum(s * t for s, t in zip(a, b, strict=True))

    def dot(self, a: Any, b: Any) -> Any:
        """Contract the last index of a with the first of b."""
        if a.shape[1] == 1 and b.shape[1] == 1:
            return self.inner(a, b)
        if a.shape[1] == 1:
            return (a.T * b).T
        return a * b

    def outer(self, a: Any, b: Any) -> Any:
        """A bᵀ."""
        return a * b.T

    def cross(self, a: Any, b: Any) -> Any:
        """A × b in space."""
        return a.cross(b)

    def sym(self, a: Any) -> Any:
        """(a + aᵀ)/2."""
        return (a + a.T) / 2

    def transpose(self, a: Any) -> Any:
        """aᵀ."""
        return a.T

    def tr(self, a: Any) -> Any:
        """Trace."""
        return a.trace()

    def det(self, a: Any) -> Any:
        """Determinant."""
        return a.det()

    def inv(self, a: Any) -> Any:
        """Inverse."""
        return a.inv()

    def expression(self, f: Any) -> Any:
        """An expression in the coordinates."""
        return sp.sympify(f(self.coordinates, sp))

    def boundary_without(self, parts: list[str]) -> str:
        """Return the name of the boundary without some parts."""
        return "boundary" if not parts else f"boundary without {', '.join(parts)}"

    def identity(self) -> Any:
        """The d × d identity."""
        return sp.eye(self.dim)

    def vector(self, parts: Any) -> Any:
        """A column."""
        return sp.Matrix(list(parts))

    def conditional(self, test: Any, yes: Any, no: Any) -> Any:
        """`yes` where test > 0, else `no`."""
        return sp.Piecewise((yes, sp.Gt(test, 0)), (no, True))

    def dx(self, integrand: Any) -> Integrals:
        """Integral over the domain."""
        return Integrals([("domain", integrand)])

    def ds(self, where: str, integrand: Any) -> Integrals:
        """Integral over a part of the boundary."""
        self.parts.append(where)
        return Integrals([(where, integrand)])

    def dirichlet(
        self, output: str, value: Any, where: str = "boundary", component: int | None = None
    ) -> dict[str, Any]:
        """The condition as data: output − value = 0."""
        name = output if component is None else f"{output}_{AXES[component]}"
        return {"where": where, "type": "dirichlet", "field": name, "value": value}

    def pin(self, output: str, point: tuple[float, ...], value: float = 0.0) -> dict[str, Any]:
        """The condition at the dof nearest to a point."""
        where = f"the dof nearest to {tuple(point)}"
        return {"where": where, "type": "pin", "field": output, "value": value}
