"""Stokes: orders, symmetry, what flows in flows out, Poiseuille's flow."""

import meshes  # isort: skip
import numpy as np
import pytest
import ufl
from dolfinx import fem
from meshes_for_tests import fitted_orders, problem_of, solve, square, tagged

from pipeline.families.stokes import Stokes
from pipeline.manufactured import consistency

ELEMENTS = ("taylor_hood", "mini")
SIDES = {"inlet": "left", "outlet": "right", "span": (0.0, 1.0)}


def make(element="taylor_hood", **more):
    return Stokes(**{"family": "stokes", "element": element, "viscosity": 0.7, **SIDES, **more})


def number(form):
    return fem.assemble_scalar(fem.form(form))


def test_weak_and_strong_form_are_one():
    assert consistency(make(force_x="x", force_y="1 + y"), *square(3)) < 1e-9


@pytest.mark.parametrize("element", ELEMENTS)
def test_the_orders_are_those_of_theory(element):
    orders = fitted_orders(make(element), square, (8, 16, 32))
    k = 2 if element == "taylor_hood" else 1
    np.testing.assert_allclose(orders["u"], [k + 1, k], atol=0.15)
    # On lattices MINI's pressure gains half an order (Eichel, Tobiska & Xie, Math. Comp. 2011).
    gain = 0.0 if element == "taylor_hood" else 0.5
    np.testing.assert_allclose(orders["p"], [k + gain, k - 1 + gain], atol=0.15)


@pytest.mark.parametrize("element", ELEMENTS)
def test_the_matrix_is_symmetric(element):
    A, _ = problem_of(make(element), *square(4)).assemble()
    assert (A - A.copy().transpose()).norm() < 1e-13 * A.norm()


@pytest.mark.parametrize("element", ELEMENTS)
def test_past_a_cylinder_the_discrete_divergence_is_zero(element):
    channel = meshes.ChannelCylinder(0.1)
    family = Stokes(family="stokes", element=element, viscosity=1e-3, inflow="0.3 + y - 4*y**2")
    problem = problem_of(family, *tagged(channel))
    solve(problem)
    velocity, _ = ufl.split(problem.w)
    tests = ufl.TestFunction(fem.functionspace(problem.mesh, ("P", 1)))
    divergence = fem.assemble_vector(fem.form(tests * ufl.div(velocity) * ufl.dx)).array
    size = fem.assemble_vector(fem.form(tests * abs(ufl.div(velocity)) * ufl.dx)).array
    assert np.linalg.norm(divergence) < 1e-10 * np.linalg.norm(size)
    q = problem.q
    flux = {side: number(q.ds(side, ufl.inner(velocity, q.n))) for side in ("inlet", "outlet")}
    assert flux["inlet"] == pytest.approx(-flux["outlet"], rel=1e-11) and flux["outlet"] > 0.05
    assert number(q.ds("cylinder", ufl.inner(velocity, velocity))) < 1e-28


def test_poiseuilles_flow_is_exact():
    family = make(inflow=1.5)
    problem = problem_of(family, *square(4))
    solve(problem)
    V, dofs = problem.parts["u"]
    u = fem.Function(V)
    u.interpolate(lambda x: np.stack([6 * x[1] * (1 - x[1]), 0 * x[0]]))
    np.testing.assert_allclose(problem.w.x.array[np.ravel(dofs)], u.x.array, atol=1e-12)
    Q, dofs = problem.parts["p"]
    p = fem.Function(Q)
    p.interpolate(lambda x: 0.7 * 12 * (1 - x[0]))
    np.testing.assert_allclose(problem.w.x.array[np.ravel(dofs)], p.x.array, atol=1e-11)
