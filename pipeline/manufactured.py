"""Manufactured solutions: what a family is tested and its orders are fitted with.

For a smooth u* and smooth quantities the problem solved is

    F(u_h; v) = F(u*; v)    for all v,    u_h = interpolant of u* where the family has conditions,

whose solution is u* up to the discretisation. That the weak form belongs to the strong one is
a separate question: for v that vanish near the boundary, F(u*; v) = ∫ strong(u*)·v.

With time, u* goes up and down as 1 + ½ sin t and F is that of a step, at the exact u* before and
after it: the scheme in time cancels, and what is left is the error of the spaces, carried from
step to step. Orders in Δt need a solution that is exact in time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from pipeline.expressions import function
from pipeline.family import Family
from pipeline.inputs import is_field_law, is_law
from pipeline.march import march

__all__ = ["Errors", "consistency", "manufactured_errors"]

_RTOL = 1e-10
_DEGREE = 8  # of the quadrature for errors


@dataclass(frozen=True)
class Errors:
    """The errors of one output.

    Attributes:
        name: The output.
        l2: ‖u_h − u*‖ in L².
        derivative: ‖D(u_h − u*)‖ in L²; D is the derivative that its space has: gradient (cell
            by cell), divergence or curl.
    """

    name: str
    l2: float
    derivative: float


class _Manufactured:
    """The formulation whose solution is u*."""

    LINEAR = QUADRATURE = None

    def __init__(self, family: Family) -> None:
        self.family = family
        self.LINEAR, self.QUADRATURE = family.LINEAR, family.QUADRATURE

    def exact(self, q: Any, time: Any = 0.0) -> tuple[Any, Any]:
        """Return u* at a time as the family takes it, and the quantities."""
        u, c = _exact(self.family, q)
        return _single([self._at(q, part, time) for part in u]), c

    def _at(self, q: Any, u: Any, time: Any) -> Any:
        return (1 + 0.5 * q.sin(time)) * u if self.family.times() else u

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        exact, known = self.exact(q, q.time)
        solved, before = self.family.weak(q, u, v, known), q.previous
        if self.family.times():
            q.previous = self.exact(q, q.time - q.dt)[0]
        exactly = self.family.weak(q, exact, v, known)
        q.previous = before
        return solved - exactly

    def conditions(self, q: Any, c: Any) -> list[Any]:
        exact, known = _exact(self.family, q)
        names = [o.symbol for o in self.family.outputs(q.dim)]
        found = []
        for condition in self.family.conditions(q, known):
            value = self._at(q, exact[names.index(condition.output)], q.time)
            if condition.component is not None:
                value = value[condition.component]
            if condition.is_pin:
                value = _at(value, condition.where, q)
            found.append(replace(condition, value=value))
        return found

    def initial(self, q: Any, c: Any) -> Any:
        return self.exact(q)[0] if self.family.times() else None


def manufactured_errors(family: Family, mesh: Any, facets: dict[str, Any]) -> list[Errors]:
    """Solve the manufactured problem on a mesh and return the errors of each output. Collective.

    With time they are those at the last step.

    Args:
        family: A family with its quantities; random fields are replaced by smooth ones.
        mesh: A DOLFINx mesh.
        facets: Facet tags by name, "boundary" among them.
    """
    import meshes

    form = _Manufactured(family)
    outputs = {o.symbol: meshes.SpaceName(*o.space.key) for o in family.outputs(mesh.geometry.dim)}
    problem, times = meshes.Problem(form, mesh, facets, outputs, meshes.Data()), family.times()
    _solve(problem, times)
    exact, _ = form.exact(problem.q, times[-1] if times else 0.0)
    parts = exact if isinstance(exact, tuple) else (exact,)
    return [
        _errors(name, V, problem.w.x.array[dofs], u)
        for (name, (V, dofs)), u in zip(problem.parts.items(), parts, strict=True)
    ]


def consistency(family: Family, mesh: Any, facets: dict[str, Any]) -> float:
    """Return |F(u*; v) − ∫ strong(u*)·v| / ∫ |strong(u*)·v| for a v that is 0 on the boundary.

    It is as small as the quadrature is exact, whatever the mesh, if the two forms are one. A
    Petrov–Galerkin family tests with more than v: it says what in a method `weights(q, v, c)`.
    With time, the forms are those of a step from another smooth field, Δt = 1.
    Only where `mesh` covers its bounding box. Collective.
    """
    import meshes  # isort: skip
    import ufl
    from dolfinx import fem
    from mpi4py import MPI

    q = meshes.UflCalculus(mesh, facets, quadrature=12)
    form = _Manufactured(family)
    u, known = form.exact(q)
    if family.times():
        q.previous = _single(_tests(family, q))
    v = _single([_bump(q, mesh) * test for test in _tests(family, q)])
    weak, strong = family.weak(q, u, v, known), family.strong(q, u, known)
    weights = family.weights(q, v, known)
    pairs = zip(*(f if isinstance(f, tuple) else (f,) for f in (strong, weights)), strict=True)
    product = sum(ufl.inner(s, t) for s, t in pairs)
    values = [
        mesh.comm.allreduce(fem.assemble_scalar(fem.form(f)), op=MPI.SUM)
        for f in (weak, q.dx(product), q.dx(abs(product)))
    ]
    return float(abs(values[0] - values[1]) / values[2])


def smooth_field(q: Any, shape: tuple[int, ...], index: int = 0) -> Any:
    """Return a smooth function without symmetries, of a value shape, in the calculus q."""
    if not shape:
        return _wave(q, index)
    return q.vector([_wave(q, index + k) for k in range(shape[0])])


def _wave(q: Any, index: int) -> Any:
    phase, value = 0.3 + 0.7 * index, 1.0
    for axis in range(q.dim):
        value = value * q.sin((1.4 + 0.3 * axis + 0.2 * index) * q.x[axis] + phase + 0.5 * axis)
    return value


def _exact(family: Family, q: Any) -> tuple[list[Any], SimpleNamespace]:
    """u* for each output, and the quantities.

    A family's own `exact` is taken where it has one; else u* are smooth fields. Random fields
    are 1 + ¼ sin(…), which is positive, random numbers 1, other quantities as the spec says.
    """
    found: dict[str, Any] = {}
    for k, quantity in enumerate(family.quantities()):
        value = quantity.value
        if not is_law(value):
            found[quantity.symbol] = q.expression(function(str(value)))
        elif is_field_law(value):
            found[quantity.symbol] = 1.0 + 0.25 * _wave(q, 5 + k)
        else:
            one = q.expression(function("1.0"))
            found[quantity.symbol] = one if value.size is None else q.vector([one] * value.size)
    outputs = family.outputs(q.dim)
    u = [smooth_field(q, o.space.value_shape(q.dim), i) for i, o in enumerate(outputs)]
    if (given := family.exact(q)) is not None:
        own, quantities = given
        u = list(own) if isinstance(own, tuple) else [own]
        found |= quantities
    return u, SimpleNamespace(**found)


def _single(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else tuple(parts)


def _solve(problem: Any, times: list[float]) -> None:
    """Solve the problem in place, by a direct solver (and Newton's method)."""
    from solvers import Strategy, solve_stream

    coroutine = march(problem, 0, _RTOL, np.float64, times)
    strategy = Strategy(ksp="preonly", pc="lu")

    def systems() -> Iterator[Any]:
        while step:
            yield step[-1]

    step = [next(coroutine)]
    for solution in solve_stream(systems(), strategy, rtol=_RTOL, comm=problem.comm):
        try:
            step.append(coroutine.send(solution))
        except StopIteration as end:
            step.clear()
            if not end.value.converged:
                raise ArithmeticError(f"manufactured problem: {end.value.reason}") from None
            problem.accept(end.value.states[-1])


def _errors(name: str, V: Any, values: Any, exact: Any) -> Errors:
    import basix
    import ufl
    from dolfinx import fem
    from mpi4py import MPI

    u = fem.Function(V)
    u.x.array[:] = values
    dx = ufl.dx(domain=V.mesh, metadata={"quadrature_degree": _DEGREE})
    D = {basix.MapType.contravariantPiola: ufl.div, basix.MapType.covariantPiola: ufl.curl}
    derivative = D.get(V.element.basix_element.map_type, ufl.grad)
    squares = [
        V.mesh.comm.allreduce(fem.assemble_scalar(fem.form(ufl.inner(e, e) * dx)), op=MPI.SUM)
        for e in (u - exact, derivative(u) - derivative(exact))
    ]
    return Errors(name, *(float(np.sqrt(abs(s))) for s in squares))


def _tests(family: Family, q: Any) -> list[Any]:
    outputs = family.outputs(q.dim)
    return [smooth_field(q, o.space.value_shape(q.dim), 11 + i) for i, o in enumerate(outputs)]


def _bump(q: Any, mesh: Any) -> Any:
    """Π (x_i − l_i)²(h_i − x_i)² over the bounding box, which is 1 at its centre."""
    from mpi4py import MPI

    points, value = mesh.geometry.x, 1.0
    for axis in range(q.dim):
        low = mesh.comm.allreduce(points[:, axis].min(), op=MPI.MIN)
        high = mesh.comm.allreduce(points[:, axis].max(), op=MPI.MAX)
        s = (q.x[axis] - low) * (high - q.x[axis]) * (4.0 / (high - low) ** 2)
        value = value * s * s
    return value


def _at(value: Any, point: Any, q: Any) -> float:
    """The value of an expression in x at a point."""
    return float(value(tuple(float(s) for s in point)))
