"""Helmholtz: orders, indefiniteness, resonance."""

import numpy as np
import pytest
from meshes_for_tests import cube, fitted_orders, problem_of, solve, square

from pipeline.families.helmholtz import Helmholtz
from pipeline.manufactured import consistency


def make(degree=1, **more):
    given = {"family": "helmholtz", "wave_number": 6.0} | more
    return Helmholtz(**given, output_space={"family": "P", "degree": degree})


@pytest.mark.parametrize("build", [square, cube])
def test_weak_and_strong_form_are_one(build):
    assert consistency(make(wave_number="5 + x", source="y"), *build(4)) < 1e-9


@pytest.mark.parametrize("degree, sizes", [(1, (16, 32, 64)), (2, (6, 12, 24)), (3, (6, 12, 24))])
def test_the_orders_are_those_of_theory(degree, sizes):
    orders = fitted_orders(make(degree, wave_number={"law": "lognormal"}), square, sizes)["u"]
    np.testing.assert_allclose(orders, [degree + 1, degree], atol=0.15)


@pytest.mark.parametrize("wave_number, negative", [(4.0, 0), (5.0, 1), (8.0, 3)])
def test_as_many_negative_eigenvalues_as_modes_below_the_wave_number(wave_number, negative):
    """−Δ has π² (m² + n²): 19.7, twice 49.3, 79.0 … against k² = 16, 25, 64."""
    problem = problem_of(make(wave_number=wave_number), *square(16))
    A, _ = problem.assemble()
    dense = A.convert("dense").getDenseArray()
    inner = dense[np.ix_(problem.free, problem.free)]
    np.testing.assert_allclose(inner, inner.T, atol=1e-13)
    assert np.count_nonzero(np.linalg.eigvalsh(inner) < 0) == negative


def test_a_standing_wave_is_found():
    """sin(k x) with k above several modes of the square."""
    problem = problem_of(make(3, wave_number=9.0, source=0.0, boundary="sin(9*x)"), *square(12))
    solve(problem)
    x = problem.W.tabulate_dof_coordinates()
    np.testing.assert_allclose(problem.w.x.array, np.sin(9 * x[:, 0]), atol=2e-3)


def test_near_resonance_the_amplitude_is_that_of_the_mode():
    """A source sin πx sin πy gives it back over (2π² − k²)."""
    source, size = "sin(pi*x)*sin(pi*y)", []
    for k in (4.0, 4.4):
        problem = problem_of(make(2, wave_number=k, source=source), *square(12))
        solve(problem)
        size.append(problem.w.x.array.max() * (2 * np.pi**2 - k**2))
    np.testing.assert_allclose(size, 1.0, rtol=5e-3)
