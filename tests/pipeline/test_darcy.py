"""Darcy: theoretical convergence orders, statement, symmetry, laws of the coefficient."""

import numpy as np
import pytest
import sympy
from mpi4py import MPI

from pipeline.dataset_folder import family_of
from pipeline.discretisation import Discretisation
from pipeline.problem import sample_rng
from pipeline.spec import parse_spec
from pipeline.stages.sample import sampler_of, spaces_tree

EXACT = "sin(pi*x)*exp(y) + x"
COEFFICIENT = "1 + x*y"


def source():
    x, y = sympy.symbols("x y")
    u, a = sympy.sympify(EXACT), sympy.sympify(COEFFICIENT)
    return str(-sum(sympy.diff(a * sympy.diff(u, s), s) for s in (x, y)))


def make(resolution=8, degree=1, **problem):
    space = {"output_space": {"family": "P", "degree": degree}}
    problem = {"family": "darcy", "coefficient": {"law": "lognormal"}, **space, **problem}
    return parse_spec(
        {
            "name": "t",
            "samples": 4,
            "problem": {
                "family": "darcy",
                "output_space": {"family": "P", "degree": degree},
                **problem,
            },
            "mesh": {"domain": "unit_square", "resolution": resolution},
        }
    )


def errors(resolution, degree):
    """L2 and H1 errors against the interpolant in a space two degrees higher, by quadrature."""
    import dolfinx.fem as fem
    import ufl

    import solvers

    spec = make(
        resolution,
        degree,
        source=source(),
        boundary=EXACT,
        input_space={"family": "P", "degree": 2},
    )
    tree = spaces_tree(spec)
    there = Discretisation(spec, tree, MPI.COMM_SELF)
    x, y = tree["spaces"]["P2"]["points"].T
    A, b = there.assemble({"inputs/a": 1 + x * y})
    system = solvers.System(0, A, b, there.problem.free)
    direct = solvers.Strategy(ksp="preonly", pc="lu")
    (solution,) = solvers.solve_stream([system], direct, rtol=1e-9, comm=MPI.COMM_SELF)
    u = there.problem.solution()
    u.x.array[:] = there.canonical(solution.x)
    X = ufl.SpatialCoordinate(u.function_space.mesh)
    exact = ufl.sin(ufl.pi * X[0]) * ufl.exp(X[1]) + X[0]
    dx = ufl.dx(metadata={"quadrature_degree": 8})
    difference = u - exact
    l2 = fem.assemble_scalar(fem.form(difference**2 * dx))
    h1 = fem.assemble_scalar(fem.form(ufl.inner(ufl.grad(difference), ufl.grad(difference)) * dx))
    return np.sqrt([l2, h1])


@pytest.mark.parametrize("degree", [1, 2])
def test_errors_fall_with_the_theoretical_order(degree):
    resolutions = np.array([8, 16, 32])
    found = np.array([errors(n, degree) for n in resolutions])
    rates = -np.polyfit(np.log(resolutions), np.log(found), 1)[0]
    assert abs(rates[0] - (degree + 1)) < 0.15, f"L2 rate {rates[0]:.3f}, errors {found[:, 0]}"
    assert abs(rates[1] - degree) < 0.15, f"H1 rate {rates[1]:.3f}, errors {found[:, 1]}"


def test_the_matrix_is_symmetric_and_its_free_rows_conserve():
    spec = make(6)
    tree = spaces_tree(spec)
    there = Discretisation(spec, tree, MPI.COMM_SELF)
    A, _ = there.assemble(sampler_of(spec, tree).inputs(sample_rng(0, 0)))
    dense = A.convert("dense").getDenseArray()
    assert np.abs(dense - dense.T).max() < 1e-14
    assert np.linalg.eigvalsh(dense).min() > 0


def test_an_equal_coefficient_is_not_assembled_again():
    spec = make(6)
    tree = spaces_tree(spec)
    there = Discretisation(spec, tree, MPI.COMM_SELF)
    inputs = sampler_of(spec, tree).inputs(sample_rng(0, 0))
    A, _ = there.assemble(inputs)
    state = A.stateGet()
    there.assemble({name: values.copy() for name, values in inputs.items()})
    assert A.stateGet() == state
    there.assemble({name: 2 * values for name, values in inputs.items()})
    assert A.stateGet() != state


def test_the_two_phase_coefficient_has_two_values_on_cells():
    spec = make(8, coefficient={"law": "two_phase", "high": 10, "low": 5})
    tree = spaces_tree(spec)
    a = sampler_of(spec, tree).inputs(sample_rng(0, 1))["inputs/a"]
    assert a.shape == (128,) and set(np.unique(a)) == {5.0, 10.0}


def test_the_statement_parses_and_is_the_equation():
    statement = family_of(make(source="x*y", boundary="x")).statement()
    strong = sympy.sympify(statement["strong"])
    x, y, f = sympy.symbols("x y f")
    a, u = sympy.Function("a"), sympy.Function("u")
    exact = {a(x, y): sympy.sympify(COEFFICIENT), u(x, y): sympy.sympify(EXACT)}
    residual = strong.subs(exact).doit().subs(f, sympy.sympify(source()))
    assert sympy.simplify(residual) == 0
    assert sympy.sympify(statement["weak"]).has(sympy.Integral)
    assert statement["symbols"]["f"]["value"] == "x*y"
    assert [b["type"] for b in statement["boundary"]] == ["dirichlet"]
