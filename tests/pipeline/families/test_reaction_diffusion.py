"""Reaction–diffusion: orders, Newton's convergence, energy, recycling over Newton steps."""

import meshes  # noqa: F401  # isort: skip
import numpy as np
import pytest
import ufl
from dolfinx import fem
from meshes_for_tests import cube, fitted_orders, problem_of, solve, square

from pipeline.families.reaction_diffusion import ReactionDiffusion
from pipeline.manufactured import consistency
from pipeline.march import march
from solvers import Strategy, solve_stream

RANDOM = {"law": "lognormal"}
ROUGH = "0.1*exp(2*sin(9*x)*cos(7*y))"


def make(degree=1, **more):
    given = {"family": "reaction_diffusion", "diffusivity": RANDOM} | more
    return ReactionDiffusion(**given, output_space={"family": "P", "degree": degree})


@pytest.mark.parametrize("build", [square, cube])
def test_weak_and_strong_form_are_one(build):
    assert consistency(make(growth="1 + x", cubic="y", source="x"), *build(4)) < 1e-9


@pytest.mark.parametrize("degree, sizes", [(1, (8, 16, 32)), (2, (4, 8, 16)), (3, (4, 8, 16))])
def test_the_orders_are_those_of_theory(degree, sizes):
    orders = fitted_orders(make(degree, growth=2.0), square, sizes)["u"]
    np.testing.assert_allclose(orders, [degree + 1, degree], atol=0.15)


@pytest.mark.long
def test_the_orders_are_those_of_theory_in_space():
    orders = fitted_orders(make(), cube, (4, 8, 12))["u"]
    np.testing.assert_allclose(orders, [2, 1], atol=0.15)


def strong_source(n=16, diffusivity=0.1):
    return problem_of(make(diffusivity=diffusivity, cubic=5.0, source=20.0), *square(n))


def energy(problem):
    u = problem.w
    density = 0.05 * ufl.inner(ufl.grad(u), ufl.grad(u)) + 1.25 * u**4 - 20 * u
    return fem.assemble_scalar(fem.form(density * ufl.dx))


def newton(problem):
    """Drive Newton's method with exact solves; residuals and energies before each step."""
    steps, found = march(problem, 0, 1e-13, np.float64, []), []
    system = next(steps)
    while True:
        found.append((problem.residual(), energy(problem)))
        A, b = problem.newton_system()
        strategy = Strategy(ksp="preonly", pc="lu")
        solution = next(iter(solve_stream(iter([system]), strategy, rtol=1e-12, comm=problem.comm)))
        try:
            system = steps.send(solution)
        except StopIteration as end:
            assert end.value.converged, end.value.reason
            found.append((problem.residual(), energy(problem)))
            return np.array(found), end.value


def test_newton_converges_with_order_two_and_the_energy_falls():
    found, outcome = newton(strong_source())
    rho, energies = found[:, 0] / found[0, 0], found[:, 1]
    assert 4 <= outcome.systems <= 12
    close = rho[(rho < 0.1) & (rho > 1e-12)]
    assert len(close) >= 2
    orders = np.log(close[1:]) / np.log(close[:-1])
    assert orders.max() > 1.6
    falls = np.diff(energies)
    assert np.all(falls <= 1e-9 * np.abs(energies[-1])) and falls[0] < -0.1


def test_the_reaction_alone_gives_the_cubic_root():
    """a ∇u·n = 0 all around: s u³ − r u = f has a constant solution, the root."""
    closed = {side: {"kind": "neumann"} for side in ("left", "right", "bottom", "top")}
    problem = problem_of(
        make(diffusivity=1.0, cubic=2.0, source=18.0, growth=-1.0, sides=closed), *square(4)
    )
    outcome = solve(problem, 1e-12)
    np.testing.assert_allclose(problem.w.x.array, 2.0, rtol=1e-5)
    assert outcome.systems > 3


def systems_of(problem, samples, outcomes, answers):
    """The systems of several samples one after another; `answers` holds the last solution."""
    for i in range(samples):
        steps = march(problem, i, 1e-9, np.float64, [])
        system = next(steps)
        while system is not None:
            yield system
            try:
                system = steps.send(answers.pop())
            except StopIteration as end:
                outcomes.append(end.value)
                system = None


def applications(recycling, samples=2):
    """Operator applications of a stream of samples with GCRO-DR, and its systems."""
    problem, outcomes, answers, seen = strong_source(48, ROUGH), [], [], 0
    strategy = Strategy(ksp="gcrodr", pc="jacobi", restart=30, recycle=10, recycling=recycling)
    stream = systems_of(problem, samples, outcomes, answers)
    for solution in solve_stream(stream, strategy, rtol=1e-9, comm=problem.comm):
        answers.append(solution)
        seen += 1
    assert len(outcomes) == samples and all(o.converged for o in outcomes)
    assert seen == sum(o.systems for o in outcomes)
    assert all(not o.ladder for o in outcomes)
    return sum(o.iterations for o in outcomes), seen


def test_the_recycled_space_runs_across_newtons_steps_and_samples():
    """One stream for all systems. Newton's are solved loosely, so that the gain is small: 12 %."""
    (kept, systems), (cold, _) = applications(True), applications(False)
    assert systems > 8
    assert kept < 0.95 * cold
