"""Absorbing sides: orders, the complex system, plane waves, energy."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
import ufl
from dolfinx import fem
from meshes_for_tests import cube, fitted_orders, problem_of, solve, square

from pipeline.families.helmholtz_absorbing import HelmholtzAbsorbing
from pipeline.manufactured import consistency

OPEN = ("right", "top")


def make(degree=1, **more):
    given = {"family": "helmholtz_absorbing", "wave_number": 6.0} | more
    return HelmholtzAbsorbing(**given, output_space={"family": "P", "degree": degree})


@pytest.mark.parametrize("build", [square, cube])
def test_weak_and_strong_form_are_one(build):
    family = make(wave_number="5 + x", source_re="y", source_im=2, absorbing=OPEN)
    assert consistency(family, *build(4)) < 1e-9


@pytest.mark.parametrize("degree, sizes", [(1, (8, 16, 32)), (2, (6, 12, 24)), (3, (6, 12, 24))])
def test_the_orders_are_those_of_theory(degree, sizes):
    family = make(degree, wave_number={"law": "lognormal"}, absorbing=OPEN)
    for orders in fitted_orders(family, square, sizes).values():
        np.testing.assert_allclose(orders, [degree + 1, degree], atol=0.15)


def test_the_real_system_is_the_complex_one():
    """K − M(k²) − i B(k) assembled apart, solved by SciPy in complex numbers."""
    k, text = 7.0, "7*(1 + x)"
    family = make(wave_number=text, source_re="x", source_im="1 - y", incoming_im=3, absorbing=OPEN)
    problem = problem_of(family, *square(12))
    solve(problem)
    V = problem.parts["u_re"][0]
    u, v, q = ufl.TrialFunction(V), ufl.TestFunction(V), problem.q
    x, waves = q.x, k * (1 + q.x[0])
    K = matrix(q.dx(ufl.inner(ufl.grad(u), ufl.grad(v)) - waves**2 * u * v))
    B = matrix(sum_over(q, waves * u * v))
    real = fem.assemble_vector(fem.form(q.dx(x[0] * v))).array
    imaginary = fem.assemble_vector(fem.form(q.dx((1 - x[1]) * v) + sum_over(q, 3 * v))).array
    fixed = fem.locate_dofs_topological(V, 1, q.facets[q.boundary_without(list(OPEN))])
    free = np.setdiff1d(np.arange(len(real)), fixed)
    A = (K - 1j * B).tocsc()[free][:, free]
    expected = np.zeros(len(real), dtype=complex)
    expected[free] = spla.spsolve(A, (real + 1j * imaginary)[free])
    for name, part in (("u_re", expected.real), ("u_im", expected.imag)):
        dofs = problem.parts[name][1].ravel()
        np.testing.assert_allclose(problem.w.x.array[dofs], part, atol=1e-9)


def sum_over(q, integrand):
    return q.ds(OPEN[0], integrand) + q.ds(OPEN[1], integrand)


def matrix(form) -> sp.csr_matrix:
    return fem.assemble_matrix(fem.form(form)).to_scipy()


def wave_along(turn, k):
    """g = ∂u/∂n − i k u of u = exp(i k d·x) on the unit square, as two expressions.

    n = (2x − 1, 0) t/(s + t) + (0, 2y − 1) s/(s + t) on the sides, s = x(1 − x), t = y(1 − y).
    """
    dx, dy = np.cos(turn), np.sin(turn)
    s, t = "x*(1 - x)", "y*(1 - y)"
    cosine = f"({dx}*(2*x - 1)*{t} + {dy}*(2*y - 1)*{s})/({s} + {t})"
    phase = f"{k}*({dx}*x + {dy}*y)"  # g = i k (d·n − 1) u
    return f"-{k}*({cosine} - 1)*sin({phase})", f"{k}*({cosine} - 1)*cos({phase})"


@pytest.mark.parametrize("turn", [0.0, 0.6])
def test_a_plane_wave_passes_through(turn):
    k = 8.0
    re, im = wave_along(turn, k)
    family = make(3, wave_number=k, source_re=0.0, incoming_re=re, incoming_im=im)
    problem = problem_of(family, *square(12))
    solve(problem)
    x = problem.parts["u_re"][0].tabulate_dof_coordinates()
    wave = np.exp(1j * k * (np.cos(turn) * x[:, 0] + np.sin(turn) * x[:, 1]))
    re, im = (problem.w.x.array[problem.parts[name][1]] for name in ("u_re", "u_im"))
    assert np.abs(re + 1j * im - wave).max() < 2e-3


def test_what_the_source_gives_leaves_through_the_sides():
    """Im of the weak form at v = ū: ∫ k |u|² ds = −Im ∫ f ū dx, exactly, whatever the mesh."""
    family = make(wave_number="6 + x", source_re=1.0, source_im="y", absorbing=OPEN)
    problem = problem_of(family, *square(8))
    solve(problem)
    re, im = ufl.split(problem.w)
    q = problem.q
    out = sum_over(q, (6 + q.x[0]) * (re**2 + im**2))
    given = q.dx(1.0 * im - q.x[1] * re)
    left, right = (fem.assemble_scalar(fem.form(f)) for f in (out, given))
    assert left == pytest.approx(right, rel=1e-9)
    assert left > 1e-3
