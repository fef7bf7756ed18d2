"""Elasticity: orders, rigid bodies, energy, patch test, the cantilever of Euler and Bernoulli."""

import meshes  # isort: skip
import numpy as np
import pytest
import ufl
from dolfinx import fem
from meshes_for_tests import cube, fitted_orders, problem_of, solve, square, tagged
from mpi4py import MPI

from pipeline.families.elasticity import Elasticity, lame
from pipeline.manufactured import consistency, manufactured_errors

RANDOM = {"law": "lognormal"}


def make(cls=Elasticity, **more):
    return cls(**{"family": "elasticity", "modulus": RANDOM, **more})


def space(degree):
    return {"family": "P", "degree": degree}


@pytest.mark.parametrize("build", [square, cube])
def test_weak_and_strong_form_are_one(build):
    family = make(force_x="1 + x*y", force_y=2, traction_y=3)
    assert consistency(family, *build(3)) < 1e-9


@pytest.mark.parametrize("degree, sizes", [(1, (16, 32, 64)), (2, (8, 16, 32))])
def test_the_orders_are_those_of_theory(degree, sizes):
    orders = fitted_orders(make(output_space=space(degree)), square, sizes)["u"]
    np.testing.assert_allclose(orders, [degree + 1, degree], atol=0.15)


@pytest.mark.long
@pytest.mark.parametrize("degree, sizes", [(1, (10, 14, 18)), (2, (3, 6, 9))])
def test_the_orders_are_those_of_theory_in_space(degree, sizes):
    family = make(modulus=1.0, ratio=0.0, output_space=space(degree))
    orders = fitted_orders(family, cube, sizes)["u"]
    np.testing.assert_allclose(orders, [degree + 1, degree], atol=0.15)


@pytest.mark.parametrize("build, modes", [(square, 3), (cube, 6)])
def test_rigid_bodies_are_the_kernel_of_the_free_operator(build, modes):
    family = make(modulus="1 + x", clamped=(), loaded=())
    A, _ = problem_of(family, *build(3)).assemble()
    dense = A.convert("dense").getDenseArray()
    assert np.abs(dense - dense.T).max() < 1e-14
    values = np.linalg.eigvalsh(dense)
    assert np.abs(values[:modes]).max() < 1e-13 and values[modes] > 1e-2


def test_the_energy_is_half_the_work_of_the_load():
    family = make(modulus="1 + x*y", force_x="y", traction_y=-0.3, output_space=space(2))
    problem = problem_of(family, *square(8))
    solve(problem)
    q, u = problem.q, problem.w
    lam, mu = lame(1 + q.x[0] * q.x[1], 0.3)
    strain = ufl.sym(ufl.grad(u))
    energy = 0.5 * (2 * mu * ufl.inner(strain, strain) + lam * ufl.tr(strain) ** 2)
    energy, work = q.dx(energy), q.dx(q.x[1] * u[0]) + q.ds("right", -0.3 * u[1])
    energy, work = (fem.assemble_scalar(fem.form(f)) for f in (energy, work))
    assert energy == pytest.approx(work / 2, rel=1e-11) and energy > 1e-3


class Linear(Elasticity):
    """The patch test: a displacement without symmetries whose strain is the same everywhere."""

    def exact(self, q):
        gradient = [[0.3, -0.2, 0.1], [0.5, 0.7, -0.4], [0.2, 0.6, -0.1]]
        rows = (row[: q.dim] for row in gradient[: q.dim])
        return q.vector([sum(a * x for a, x in zip(r, q.x, strict=False)) for r in rows]), {}


@pytest.mark.parametrize("build", [square, cube])
def test_the_patch_test_is_passed(build):
    (error,) = manufactured_errors(make(Linear, modulus=3e5), *build(4))
    assert max(error.l2, error.derivative) < 1e-11


def test_uniaxial_tension_is_exact():
    family = make(modulus=4.0, ratio=0.0, traction_x=0.2)
    problem = problem_of(family, *square(4))
    solve(problem)
    exact = fem.Function(problem.W)
    exact.interpolate(lambda x: np.stack([0.05 * x[0], 0 * x[1]]))
    np.testing.assert_allclose(problem.w.x.array, exact.x.array, atol=1e-13)


@pytest.mark.parallel([1, 2, 3])
def test_a_slender_cantilever_bends_as_euler_and_bernoulli_say():
    length, height, E, nu, t = 1.0, 0.05, 2e9, 0.3, -1e4
    beam = meshes.Rectangle((40, 2), (0.0, 0.0), (length, height))
    family = make(modulus=E, ratio=nu, traction_y=t, output_space=space(2))
    problem = problem_of(family, *tagged(beam, MPI.COMM_WORLD))
    solve(problem, 1e-9)
    q = problem.q
    mean = fem.assemble_scalar(fem.form(q.ds("right", problem.w[1] / height)))
    tip = MPI.COMM_WORLD.allreduce(mean)
    inertia = height**3 / 12
    expected = t * height * length**3 / (3 * E / (1 - nu**2) * inertia)  # plane strain
    assert tip == pytest.approx(expected, rel=0.02)
