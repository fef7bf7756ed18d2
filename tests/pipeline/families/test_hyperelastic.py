"""The hyperelastic beam: orders, energy, the limit of small strains, buckling."""

import meshes  # isort: skip
import numpy as np
import pytest
import ufl
from dolfinx import fem
from meshes_for_tests import cube, fitted_orders, problem_of, solve, square, tagged

from pipeline.families.elasticity import Elasticity, lame
from pipeline.families.hyperelastic import Hyperelastic
from pipeline.manufactured import consistency

RANDOM = {"law": "lognormal"}


def make(**more):
    return Hyperelastic(**{"family": "hyperelastic", "modulus": RANDOM, "compression": 0.1, **more})


def space(degree):
    return {"family": "P", "degree": degree}


@pytest.mark.parametrize("build", [square, cube])
def test_weak_and_strong_form_are_one(build):
    assert consistency(make(force_x="x", force_y=2), *build(3)) < 1e-9


@pytest.mark.parametrize("degree, sizes", [(1, (8, 16, 32)), (2, (4, 8, 16))])
def test_the_orders_are_those_of_theory(degree, sizes):
    orders = fitted_orders(make(output_space=space(degree)), square, sizes)["u"]
    np.testing.assert_allclose(orders, [degree + 1, degree], atol=0.15)


@pytest.mark.long
def test_the_orders_are_those_of_theory_in_space():
    orders = fitted_orders(make(), cube, (2, 4, 6))["u"]
    np.testing.assert_allclose(orders, [3, 2], atol=0.15)


def energy(q, u, E, nu):
    """∫ W, from invariants, for J > 0.2."""
    lam, mu = lame(E, nu)
    F = ufl.Identity(q.dim) + ufl.grad(u)
    lnJ = ufl.ln(ufl.det(F))
    return q.dx(mu / 2 * (ufl.inner(F, F) - q.dim) - mu * lnJ + lam / 2 * lnJ**2)


@pytest.mark.parametrize("build", [square, cube])
def test_the_residual_is_the_gradient_of_the_energy(build):
    family = make(modulus=3.0, ratio=0.35, clamped=(), pressed=())
    problem = problem_of(family, *build(2))
    u = problem.w
    u.x.array[:] = 0.03 * np.random.default_rng(1).uniform(-1, 1, u.x.array.size)
    problem.residual()
    gradient = ufl.derivative(energy(problem.q, u, 3.0, 0.35), u)
    expected = fem.assemble_vector(fem.form(gradient)).array
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(problem.b.array, expected, atol=1e-12)


def test_cells_turned_over_meet_a_finite_force_that_pushes_them_back():
    problem = problem_of(make(modulus=1.0, clamped=(), pressed=()), *square(2))
    u, forces = problem.w, []
    for squeeze in (0.9, 1.0, 1.5, 3.0):  # F = diag(1 − squeeze, 1), J = 1 − squeeze
        u.interpolate(lambda x, s=squeeze: np.stack([-s * x[0], 0 * x[0]]))
        assert np.isfinite(problem.residual())
        forces.append(problem.b.array @ u.x.array)
    assert all(a < b for a, b in zip(forces, forces[1:], strict=False)) and forces[0] > 0


def test_small_strains_are_those_of_linear_elasticity():
    there = square(6)
    sides, found = ("left", "right"), []
    for size in (1e-3, 5e-4):
        data = {"modulus": 1.0, "force_x": f"{size}*y", "force_y": size}
        beam = problem_of(make(compression=0.0, **data), *there)
        solid = problem_of(
            Elasticity(
                family="elasticity", clamped=sides, loaded=(), output_space=space(2), **data
            ),
            *there,
        )
        solve(beam), solve(solid)
        difference = np.linalg.norm(beam.w.x.array - solid.w.x.array)
        found.append(difference / np.linalg.norm(solid.w.x.array))
    assert found[0] < 3e-3
    assert found[0] / found[1] == pytest.approx(2, rel=0.05)  # the difference is of second order


HEIGHT = 0.05
CRITICAL = np.pi**2 * HEIGHT**2 / 3  # of a clamped beam of length 1: 4π²I/A (Euler)


def bent(share, force, steps=1):
    """Deflection at mid-span and least J of a beam compressed to a multiple of Euler's load."""
    beam = meshes.Rectangle((32, 2), (0.0, 0.0), (1.0, HEIGHT), "quadrilateral")
    family = make(modulus=1.0, compression=share * CRITICAL, force_y=force, steps=steps)
    problem = problem_of(family, *tagged(beam))
    outcome = solve(problem, 1e-9, family.times())
    x = problem.W.tabulate_dof_coordinates()
    middle = np.argmin(np.abs(x[:, 0] - 0.5) + np.abs(x[:, 1] - HEIGHT / 2))
    DG = fem.functionspace(problem.mesh, ("DG", 1))
    J, F = fem.Function(DG), ufl.Identity(2) + ufl.grad(problem.w)
    J.interpolate(fem.Expression(ufl.det(F), DG.element.interpolation_points))
    return np.array(outcome.states)[:, 2 * middle + 1], J.x.array.min()


def buckled(share):
    """Deflection (Euler, Lagrange): the shortening of a (1 − cos 2πx)/2 is π²a²/4."""
    return 2 / np.pi * np.sqrt(max(share - 1.0, 0.0) * CRITICAL)


def half_way(force):
    """Deflection at half of Euler's load: twice that without compression, f h L⁴/(384 E'I)."""
    return 2 * force * HEIGHT / (384 / (1 - 0.3**2) * HEIGHT**3 / 12)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_beam_buckles_beyond_eulers_load_to_the_side_of_the_force(sign):
    (straight,), _ = bent(0.5, sign * 1e-4)
    (bowed,), least = bent(4.0, sign * 1e-4)
    assert straight == pytest.approx(half_way(sign * 1e-4), rel=0.03)
    assert bowed * sign == pytest.approx(buckled(4.0), rel=0.02)
    assert least > 0.8


def test_in_steps_the_beam_follows_the_path_from_rest():
    path, least = bent(4.0, 1e-5, steps=8)  # shares of Euler's load: ½, 1, 1½, …
    expected = [buckled(0.5 * k) for k in range(1, 9)]
    np.testing.assert_allclose(path[2:], expected[2:], rtol=0.03)
    assert path[0] == pytest.approx(half_way(1e-5), rel=0.03)
    assert path[1] < 0.1 * path[-1]
    assert least > 0.8
