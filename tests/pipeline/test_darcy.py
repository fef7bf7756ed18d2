"""Darcy: theoretical convergence orders, statement, symmetry, laws of the coefficient."""

import numpy as np
import sympy
from mpi4py import MPI

from pipeline.discretisation import Discretisation
from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree
from pipeline.spec import parse_spec
from pipeline.statement import statement


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


def test_the_matrix_is_symmetric_and_its_free_rows_conserve():
    spec = make(6)
    tree = spaces_tree(spec)
    there = Discretisation(spec, tree, MPI.COMM_SELF)
    A, _ = there.assemble(Sampler(spec, tree).inputs(0))
    dense = A.convert("dense").getDenseArray()
    assert np.abs(dense - dense.T).max() < 1e-14
    assert np.linalg.eigvalsh(dense).min() > 0


def test_an_equal_coefficient_is_not_assembled_again():
    spec = make(6)
    tree = spaces_tree(spec)
    there = Discretisation(spec, tree, MPI.COMM_SELF)
    inputs = Sampler(spec, tree).inputs(0)
    A, _ = there.assemble(inputs)
    state = A.stateGet()
    there.assemble({name: values.copy() for name, values in inputs.items()})
    assert A.stateGet() == state
    there.assemble({name: 2 * values for name, values in inputs.items()})
    assert A.stateGet() != state


def test_the_two_phase_coefficient_has_two_values_on_cells():
    spec = make(8, coefficient={"law": "two_phase", "high": 10, "low": 5})
    tree = spaces_tree(spec)
    a = Sampler(spec, tree).inputs(1)["inputs/a"]
    assert a.shape == (128,) and set(np.unique(a)) == {5.0, 10.0}


def test_the_statement_parses_and_is_the_equation():
    said = statement(make(source="x*y", boundary="x"))
    x, y = sympy.symbols("x y")
    f = sympy.Function("f")(x, y)
    a, u = sympy.Function("a")(x, y), sympy.Function("u")(x, y)
    exact_a, exact_u = 1 + x * y, sympy.sin(sympy.pi * x) * sympy.exp(y) + x
    right = -sum(sympy.diff(exact_a * sympy.diff(exact_u, s), s) for s in (x, y))
    (strong,) = (sympy.sympify(text) for text in said["strong"])
    residual = strong.subs({a: exact_a, u: exact_u}).doit().subs(f, right)
    assert sympy.simplify(residual) == 0
    weak = sum(sympy.sympify(term["integrand"]) for term in said["weak"])
    v = sympy.Function("v_u")(x, y)
    gradients = sum(a * sympy.diff(u, s) * sympy.diff(v, s) for s in (x, y))
    assert sympy.simplify(weak - (gradients - f * v)) == 0
    assert said["symbols"]["f"]["value"] == "x*y"
    assert [(b["type"], b["expression"]) for b in said["boundary"]] == [
        ("dirichlet", ["u - (g(x, y))"])
    ]
