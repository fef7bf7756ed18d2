"""Convection–diffusion: orders with and without SUPG, boundary layers, residuals."""

import meshes  # isort: skip
import numpy as np
import pytest
from meshes_for_tests import cube, fitted_orders, problem_of, solve, square, tagged

from pipeline.families.convection_diffusion import ConvectionDiffusion
from pipeline.manufactured import consistency

RANDOM = {"law": "lognormal"}
CLOSED = {"bottom": {"kind": "neumann"}, "top": {"kind": "neumann"}}


def make(degree=1, **more):
    given = {"family": "convection_diffusion", "velocity_x": "1 + y", "velocity_y": "x"} | more
    given = {"diffusivity": RANDOM} | given
    return ConvectionDiffusion(**given, output_space={"family": "P", "degree": degree})


@pytest.mark.parametrize("stabilise", [True, False])
@pytest.mark.parametrize("build", [square, cube])
def test_weak_and_strong_form_are_one(build, stabilise):
    family = make(velocity_z=0.5, source="x", stabilise=stabilise)
    assert consistency(family, *build(4)) < 1e-9


def test_there_is_a_one_dimensional_problem():
    """b u' − ε u'' = 1 , u = 0 at both ends."""
    family = make(2, diffusivity=1.0, velocity_x=1.0)
    problem = problem_of(family, *tagged(meshes.Interval(8)))
    solve(problem)
    x = problem.W.tabulate_dof_coordinates()[:, 0]
    exact = x - np.expm1(x) / np.expm1(1)
    np.testing.assert_allclose(problem.w.x.array, exact, atol=1e-4)


@pytest.mark.parametrize("eps", [RANDOM, 1e-3])
@pytest.mark.parametrize("degree, sizes", [(1, (8, 16, 32)), (2, (6, 12, 24))])
def test_the_orders_are_those_of_theory(degree, sizes, eps):
    orders = fitted_orders(make(degree, diffusivity=eps), square, sizes)["u"]
    np.testing.assert_allclose(orders, [degree + 1, degree], atol=0.15)


@pytest.mark.long
@pytest.mark.parametrize("degree, sizes", [(1, (4, 8, 12)), (2, (3, 5, 7))])
def test_the_orders_are_those_of_theory_in_space(degree, sizes):
    orders = fitted_orders(make(degree, velocity_z=0.5), cube, sizes)["u"]
    np.testing.assert_allclose(orders, [degree + 1, degree], atol=0.15)


def layer(stabilise, degree=1, n=10, eps=0.01):
    """Nodal values and exact ones of u = (e^{x/ε} − 1)/(e^{1/ε} − 1), b = 1, |b| h/(2ε) = 5."""
    family = make(
        degree,
        diffusivity=eps,
        velocity_x=1.0,
        velocity_y=0.0,
        source=0.0,
        boundary="x",
        sides=CLOSED,
        stabilise=stabilise,
    )
    problem = problem_of(family, *square(n))
    solve(problem)
    x = problem.W.tabulate_dof_coordinates()[:, 0]
    return problem.w.x.array, np.exp((x - 1) / eps)


@pytest.mark.parametrize("degree, undershoot", [(1, 0.02), (2, 0.02)])
def test_a_boundary_layer_oscillates_only_without_stabilisation(degree, undershoot):
    u, exact = layer(True, degree)
    assert u.min() > -undershoot and u.max() < 1 + undershoot
    raw, _ = layer(False, degree)
    assert raw.min() < -0.3


def test_on_a_fine_mesh_both_are_the_exact_layer():
    for stabilise in (True, False):
        u, exact = layer(stabilise, 2, 40, 0.05)
        np.testing.assert_allclose(u, exact, atol=4e-3)


def test_a_polynomial_solution_is_exact_in_spite_of_the_stabilisation():
    """u = x² + y in P2: −ε Δu = −2ε has to be in the residual, or the SUPG terms shift it."""
    family = make(
        2,
        diffusivity=0.01,
        velocity_x="1 + y",
        velocity_y=2.0,
        source="2*x*(1 + y) + 2 - 0.02",
        boundary="x**2 + y",
    )
    problem = problem_of(family, *square(4))
    solve(problem)
    x = problem.W.tabulate_dof_coordinates()
    np.testing.assert_allclose(problem.w.x.array, x[:, 0] ** 2 + x[:, 1], atol=1e-11)
