"""The heat equation: orders in h and Δt, a mode that decays, one matrix for all steps."""

import meshes  # isort: skip
import numpy as np
import pytest
import ufl
from dolfinx import fem
from meshes_for_tests import cube, fitted_orders, problem_of, solve, square

from pipeline.families.heat import Heat
from pipeline.manufactured import consistency, manufactured_errors, smooth_field
from pipeline.march import march
from solvers import Strategy, solve_stream

RANDOM = {"law": "lognormal"}
MODE = "sin(pi*x)*sin(pi*y)"


def make(degree=1, **more):
    given = {"family": "heat", "diffusivity": RANDOM, "start": MODE, "end": 0.5, "steps": 4} | more
    return Heat(**given, output_space={"family": "P", "degree": degree})


@pytest.mark.parametrize("theta", [1.0, 0.5])
@pytest.mark.parametrize("build, n", [(square, 4), (cube, 5)])
def test_weak_and_strong_form_are_one(build, n, theta):
    assert consistency(make(theta=theta, source="x"), *build(n)) < 1e-9


@pytest.mark.parametrize("degree, sizes", [(1, (8, 16, 32)), (2, (4, 8, 16)), (3, (4, 8, 16))])
def test_the_orders_in_h_are_those_of_theory(degree, sizes):
    orders = fitted_orders(make(degree, theta=0.5), square, sizes)["u"]
    np.testing.assert_allclose(orders, [degree + 1, degree], atol=0.15)


def test_the_manufactured_error_is_carried_from_step_to_step():
    """In no time at all u_h stays the interpolant it started from: u* isn't found anew."""
    mesh, facets = square(8)
    found = manufactured_errors(make(end=1e-9, steps=2), mesh, facets)[0].l2
    V, exact = fem.functionspace(mesh, ("P", 1)), smooth_field(meshes.UflCalculus(mesh, facets), ())
    start = fem.Function(V)
    start.interpolate(fem.Expression(exact, V.element.interpolation_points))
    square_error = fem.assemble_scalar(fem.form((start - exact) ** 2 * ufl.dx))
    assert found == pytest.approx(np.sqrt(square_error), rel=1e-3)


@pytest.mark.long
def test_the_orders_in_h_are_those_of_theory_in_space():
    orders = fitted_orders(make(), cube, (4, 8, 12))["u"]
    np.testing.assert_allclose(orders, [2, 1], atol=0.15)


@pytest.mark.parametrize("theta, order", [(1.0, 1), (0.5, 2)])
def test_the_orders_in_time_are_those_of_theory(theta, order):
    """u = e^{−2π² a t} sin πx sin πy, on a mesh whose own error is far below."""
    there, a, errors, counts = square(8), 0.05, [], (4, 8, 16)
    for steps in counts:
        problem = problem_of(make(3, diffusivity=a, end=1.0, steps=steps, theta=theta), *there)
        outcome = solve(problem, times=family_times(1.0, steps))
        x = problem.W.tabulate_dof_coordinates()
        mode = np.sin(np.pi * x[:, 0]) * np.sin(np.pi * x[:, 1])
        exact = np.exp(-2 * np.pi**2 * a) * mode
        errors.append(np.abs(problem.w.x.array - exact).max())
        assert len(outcome.states) == outcome.systems == steps
    fitted = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert fitted == pytest.approx(order, abs=0.15)


def family_times(end, steps):
    return make(end=end, steps=steps).times()


@pytest.mark.parametrize("theta", [1.0, 0.5, 0.7])
def test_a_mode_decays_by_the_factor_of_the_scheme_in_every_step(theta):
    """From a discrete mode: u_n = ((1 − (1 − ϑ) λ Δt) / (1 + ϑ λ Δt))^n u_0, λ = 2π² a."""
    problem = problem_of(make(3, diffusivity=1.0, end=0.125, steps=8, theta=theta), *square(8))
    outcome = solve(problem, times=family_times(0.125, 8))
    rate = 2 * np.pi**2 * 0.125 / 8
    factor = (1 - (1 - theta) * rate) / (1 + theta * rate)
    tops = [np.abs(state).max() for state in outcome.states]
    np.testing.assert_allclose(tops, np.abs(factor) ** np.arange(1, 9), rtol=2e-3)


@pytest.mark.parametrize("theta", [1.0, 0.5])
def test_the_energy_falls_in_every_step(theta):
    """‖u_n‖ (mass matrix) falls even from an u0 that is rough and doesn't fit the boundary."""
    rough = "1 + sin(31*x)*cos(27*y)"
    family = make(diffusivity="1 + x", start=rough, end=0.5, steps=16, theta=theta)
    problem = problem_of(family, *square(12))
    times = family.times()
    outcome = solve(problem, times=times)
    K = problem_of(make(diffusivity=1e-12, end=1.0, steps=1), *square(12))  # M/Δt, Δt = 1
    K.dirichlet.bcs.clear()
    M, _ = K.assemble()
    norms = []
    for state in outcome.states:
        x = M.createVecRight()
        x.array[:] = state
        norms.append(np.sqrt(x.dot(M * x)))
    assert np.all(np.diff(norms) < 0) and norms[-1] > 0


def test_the_steady_state_is_the_solution_of_the_stationary_problem():
    family = make(2, diffusivity=1.0, source=2.0, boundary="x", start=5.0, end=16.0, steps=16)
    problem = problem_of(family, *square(6))
    outcome = solve(problem, times=family.times())
    assert np.abs(outcome.states[-1] - outcome.states[-2]).max() < 1e-9
    residual = outcome.states[-1]
    assert residual.max() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("end, steps", [(0.5, 8), (0.1, 10), (0.3, 7)])
def test_one_matrix_does_for_all_steps_and_all_right_sides(end, steps):
    """PETSc's state of the matrix stays, so preconditioners and factors are made once."""
    family = make(diffusivity="1 + x", end=end, steps=steps)
    problem = problem_of(family, *square(6))
    stream, states = march(problem, 0, 1e-10, np.float64, family.times()), []
    system = next(stream)
    while True:
        states.append(system.A.stateGet())
        strategy = Strategy(ksp="preonly", pc="lu")
        solution = next(iter(solve_stream(iter([system]), strategy, rtol=1e-9, comm=problem.comm)))
        try:
            system = stream.send(solution)
        except StopIteration:
            break
    assert len(states) == steps and len(set(states)) == 1


def test_a_warm_or_a_cold_start_give_the_same_second_sample():
    """Sample after sample the marching begins anew from u0."""
    family = make(diffusivity=1.0, end=0.25, steps=4)
    problem = problem_of(family, *square(6))
    first = solve(problem, times=family.times()).states
    again = solve(problem, times=family.times()).states
    np.testing.assert_allclose(first, again, rtol=1e-12)


@pytest.mark.parametrize("theta", [0.4, 1.1])
def test_an_unstable_scheme_is_refused(theta):
    with pytest.raises(ValueError, match="theta"):
        make(theta=theta)
