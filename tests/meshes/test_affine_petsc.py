"""Matrices made by sparse products: PETSc notices new values; forms check them; refusals."""

import meshes  # noqa: F401  isort: skip
import gc

import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx.mesh import create_unit_square, exterior_facet_indices
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI
from petsc4py import PETSc

from meshes import affine, problem

RNG = np.random.default_rng(4)


class Form:
    """−∇·(a ∇u) + power(a) u = f in the unit square, u = g on ∂Ω."""

    LINEAR, QUADRATURE = True, None

    def __init__(self, power=1, moving=True):
        self.power, self.moving = power, moving

    def weak(self, q, u, v, c):
        a = c.a if self.moving else 2.0
        return q.dx(a * q.inner(q.grad(u), q.grad(v)) + a**self.power * u * v - c.f * v)

    def conditions(self, q, c):
        return [q.dirichlet("u", c.g)]

    def initial(self, q, c):
        return None


def made(form=None, n=9):
    """A problem with P1 coefficients a, f, g."""
    mesh = create_unit_square(MPI.COMM_SELF, n, n)
    mesh.topology.create_connectivity(1, 2)
    P1 = meshes.SpaceName("P", 1, ())
    data = meshes.Data({s: meshes.make_space(mesh, P1) for s in "afg" if s != "a" or _uses(form)})
    facets = {"boundary": exterior_facet_indices(mesh.topology)}
    return meshes.Problem(form or Form(), mesh, facets, {"u": P1}, data)


def _uses(form):
    return form is None or form.moving


def draw(there):
    """Random data, a > 0."""
    n = there.free.size
    values = {"f": RNG.normal(size=n), "g": RNG.normal(size=n)}
    return values | ({"a": np.exp(RNG.normal(size=n))} if "a" in there._data.terminals else {})


def warm(there):
    """Assemble until products are made, or refused."""
    for _ in range(problem._PATIENCE):
        there.set(draw(there))
        there.assemble()
    return there


PCS = ["jacobi", "sor", "icc", "ilu", "cholesky", "lu", "gamg"]


def solver(pc):
    ksp = PETSc.KSP().create(MPI.COMM_SELF)
    ksp.setType("gmres" if pc not in ("cholesky", "lu") else "preonly")
    ksp.setTolerances(rtol=1e-12)
    ksp.getPC().setType(pc)
    return ksp


@pytest.mark.parametrize("pc", PCS)
def test_a_solver_that_is_kept_sees_the_new_values(pc):
    """It takes as many iterations as one that is kept for matrices assembled by the forms."""
    (ours, kept), (theirs, other) = (warm(made()), solver(pc)), (made(), solver(pc))
    assert ours.affine
    for scale in (1.0, 1e3, 1e-3):
        data = draw(ours)
        data["a"] *= scale
        counts = []
        for there, ksp in ((ours, kept), (theirs, other)):
            there.set(data)
            A, b = there.assemble()
            exact = np.linalg.solve(A.copy().convert("dense").getDenseArray(), b.array)
            x = b.duplicate()
            ksp.setOperators(A)
            ksp.solve(b, x)
            np.testing.assert_allclose(x.array, exact, atol=1e-8 * np.abs(exact).max())
            counts.append(ksp.getIterationNumber())
        assert counts[0] == counts[1]


def test_the_state_changes_with_the_data_of_the_matrix_only():
    there = warm(made())
    there.set(draw(there))
    A, b = there.assemble()
    state, before = A.stateGet(), b.array.copy()
    there.set({name: values for name, values in draw(there).items() if name != "a"})
    same, b = there.assemble()
    assert same is A and A.stateGet() == state and np.abs(b.array - before).max() > 0
    there.set(draw(there))
    same, _ = there.assemble()
    assert same is A and A.stateGet() != state


def test_a_matrix_without_data_is_never_touched():
    there = made(Form(moving=False))
    A, _ = there.assemble()
    state = A.stateGet()
    assert warm(there).affine
    there.set(draw(there))
    same, _ = there.assemble()
    assert same is A and A.stateGet() == state


def test_a_matrix_outlives_its_problem():
    there = warm(made())
    there.set(draw(there))
    A, b = there.assemble()
    expected = A.getValuesCSR()[2].copy()
    del there
    gc.collect()
    _ = [np.full(len(expected), np.nan) for _ in range(50)]
    np.testing.assert_array_equal(A.getValuesCSR()[2], expected)


def test_forms_check_the_products():
    there, other = warm(made()), made()
    there._affine._A._arrays[2][:] *= 2  # damage
    data = draw(there)
    for each in (there, other):
        each.set(data)
    wrong = there.assemble()[0].getValuesCSR()[2].copy()
    right = there.assemble(by_forms=True)[0].getValuesCSR()[2]
    expected = other.assemble()[0].getValuesCSR()[2]
    assert np.abs(wrong - expected).max() > 0.1
    np.testing.assert_array_equal(right, expected)
    assert not there.affine and there.assemble()[0].getValuesCSR()[2] is not wrong


def test_products_that_would_be_wrong_are_refused(monkeypatch):
    assert not warm(made(Form(power=2))).affine
    monkeypatch.setattr(affine, "is_affine", lambda *_: True)
    assert not warm(made(Form(power=2))).affine
    assert warm(made()).affine


def test_products_that_are_too_large_are_refused(monkeypatch):
    monkeypatch.setattr(affine, "_MOST_TIMES", 2)
    assert not warm(made()).affine
    monkeypatch.setattr(affine, "_MOST_TIMES", 16)
    monkeypatch.setattr(affine, "_MOST_ENTRIES", 100)
    assert not warm(made()).affine


@settings(max_examples=25, deadline=None)
@given(st.integers(-12, 12), st.integers(-12, 12), st.integers(0, 2**31))
def test_exact_for_data_of_any_size(made_at, used_at, seed):
    """Products made of data of one size are as exact for another, also beside a constant part."""
    rng = np.random.default_rng(seed)
    mesh = create_unit_square(MPI.COMM_SELF, 3, 3)
    V = fem.functionspace(mesh, ("P", 1))
    a, u, v = fem.Function(V), ufl.TrialFunction(V), ufl.TestFunction(V)
    form = (a * ufl.inner(ufl.grad(u), ufl.grad(v)) + 1e3 * u * v) * ufl.dx
    a.x.array[:] = 10.0**made_at * rng.uniform(0.5, 1.0, a.x.array.size)
    from meshes.affine_tensors import AffineTensors
    from meshes.affine_values import AffineValues, Slots
    from meshes.element_tensors import ElementTensors, cell_dofs

    dofs = cell_dofs(V).astype(np.int64)
    slots, _ = Slots.by_key((dofs[:, :, None] * 1000 + dofs[:, None, :]).ravel())
    ours = AffineValues(slots, AffineTensors(ElementTensors(form), [a]))
    a.x.array[:] = 10.0**used_at * rng.uniform(0.5, 1.0, a.x.array.size)
    A = fem.assemble_matrix(fem.form(form))
    scale = np.abs(A.data).max() * max(1.0, 10.0 ** (used_at - made_at))
    np.testing.assert_allclose(ours.evaluate(), A.data, rtol=0, atol=1e-14 * scale)
