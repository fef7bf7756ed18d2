"""GCRODR on systems and recycled spaces that are no good: no solve may break or lie."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from petsc4py import PETSc
from solver_problems import (
    KINDS,  # noqa: F401 - test_solve_stream takes these two from here
    diffusion,
    ksp_gcrodr,
    random_matrix,  # noqa: F401
    solve,
    to_petsc,
    vector,
)

from solvers import GCRODR
from solvers.harmonic import choose

RNG = np.random.default_rng


def check(matrix, b, x, rtol):
    """The explicit residual, computed by SciPy."""
    assert np.linalg.norm(b - matrix @ x) <= 1.0001 * rtol * np.linalg.norm(b)


def warm(context, matrix, **kwargs):
    """A KSP that has just solved with `matrix`."""
    A = to_petsc(matrix)
    ksp = ksp_gcrodr(A, context, **kwargs)
    solve(ksp, vector(A, RNG(0).standard_normal(matrix.shape[0])))
    assert context.recycled > 0
    return ksp


def solve_next(ksp, matrix, b=None, rtol=1e-8):
    A = to_petsc(matrix)
    b = np.ones(matrix.shape[0]) if b is None else b
    ksp.setOperators(A)
    x = solve(ksp, vector(A, b))
    if ksp.getConvergedReason() > 0:
        check(matrix, b, x, rtol)
    return x


@pytest.mark.parametrize("always", [True, False])
def test_image_of_the_space_is_rank_deficient(always):
    """The new operator maps most of the old space to (almost) nothing."""
    context = GCRODR(20, 8, always=always)
    ksp = warm(context, diffusion(15))
    context._pay.cold = np.inf
    U = context._basis.U[: context.recycled].T.copy()
    Q = np.linalg.qr(U[:, 1:])[0]
    matrix = diffusion(15, seed=9).toarray()
    matrix = matrix - matrix @ Q @ Q.T * (1 - 1e-13)  # A U has numerical rank 1
    consistent = matrix @ RNG(1).standard_normal(225)
    solve_next(ksp, matrix, consistent)
    assert ksp.getConvergedReason() > 0
    assert context.dropped == 1


def test_image_of_the_space_is_zero():
    context = GCRODR(20, 8, always=True)
    ksp = warm(context, diffusion(15))
    solve_next(ksp, sp.csr_matrix((225, 225)))
    assert ksp.getConvergedReason() < 0
    solve_next(ksp, diffusion(15))
    assert ksp.getConvergedReason() > 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1e200])
def test_spoilt_space(value):
    context = GCRODR(20, 8, always=True)
    ksp = warm(context, diffusion(15))
    context._basis.U[2, 7] = value
    context._basis.U[3] = context._basis.U[4]
    with np.errstate(all="ignore"):
        solve_next(ksp, diffusion(15, seed=1))
    assert ksp.getConvergedReason() > 0


@pytest.mark.parametrize("what", ["C", "U", "CtU"])
def test_stale_images_are_found_out(what):
    """The operator is said to be unchanged, but C, U or CᵀU no longer fit: no false claim."""
    context = GCRODR(20, 8)
    matrix = diffusion(15)
    ksp = warm(context, matrix)
    if what == "C":
        context._basis.W[:8] += 1e-3 * RNG(1).standard_normal((8, 225))
    elif what == "U":
        context._basis.U[:8] = RNG(1).standard_normal((8, 225))
    else:
        context._space.CtU[:] = RNG(1).standard_normal(context._space.CtU.shape)
    b = vector(ksp.getOperators()[0], np.ones(225))
    x = solve(ksp, b)
    assert ksp.getConvergedReason() > 0
    check(matrix, np.ones(225), x, 1e-8)


def test_other_size_drops_the_space():
    context = GCRODR(20, 8)
    ksp = warm(context, diffusion(15))
    ksp.reset()
    assert context.recycled == 0
    for nx in (9, 20):
        solve_next(ksp, diffusion(nx))
        assert ksp.getConvergedReason() > 0
        ksp.reset()
    # the context alone can move to another KSP and another size
    other = ksp_gcrodr(to_petsc(diffusion(7)), context)
    solve_next(other, diffusion(7))
    assert other.getConvergedReason() > 0


def test_restart_longer_than_the_system():
    for n in (1, 2, 3, 5):
        matrix = sp.csr_matrix(np.diag(np.arange(1.0, n + 1)) + 0.1 * RNG(n).random((n, n)))
        context = GCRODR(40, 20, always=True)
        ksp = warm(context, matrix)
        for _ in range(3):
            solve_next(ksp, matrix * 1.1)
            assert ksp.getConvergedReason() > 0


def test_happy_breakdown():
    """Three distinct eigenvalues: three steps, whatever the size."""
    matrix = sp.diags(np.repeat([1.0, 5.0, -2.0], 30)).tocsr()
    context = GCRODR(20, 5)
    A = to_petsc(matrix)
    ksp = ksp_gcrodr(A, context, rtol=1e-12)
    solve(ksp, vector(A, np.ones(90)))
    assert ksp.getConvergedReason() > 0
    assert ksp.getIterationNumber() == 4


@pytest.mark.parametrize("guess", [None, "given"])
def test_zero_right_hand_side(guess):
    matrix = diffusion(10)
    A = to_petsc(matrix)
    ksp = ksp_gcrodr(A, GCRODR(20, 5))
    ksp.setTolerances(rtol=1e-8, atol=1e-30)
    x = solve(ksp, vector(A, np.zeros(100)), guess=None if guess is None else np.zeros(100))
    assert ksp.getConvergedReason() > 0
    assert not x.any()


@pytest.mark.parametrize("where", ["b", "A"])
def test_nan_ends_the_solve_and_not_the_next(where):
    context = GCRODR(20, 5)
    matrix = diffusion(10)
    ksp = warm(context, matrix)
    bad, b = matrix.copy(), np.ones(100)
    if where == "b":
        b[3] = np.nan
    else:
        bad.data[50] = np.nan
    solve_next(ksp, bad, b)
    assert ksp.getConvergedReason() == PETSc.KSP.ConvergedReason.DIVERGED_NANORINF
    solve_next(ksp, matrix)
    assert ksp.getConvergedReason() > 0


def test_singular_inconsistent_system_ends():
    matrix = sp.diags(np.r_[0.0, np.arange(1.0, 30.0)]).tocsr()
    A = to_petsc(matrix)
    ksp = ksp_gcrodr(A, GCRODR(20, 5), max_it=300)
    solve(ksp, vector(A, np.ones(30)))
    assert ksp.getConvergedReason() < 0


def test_null_space_is_respected():
    """The Neumann problem with an attached null space, in both directions of the PC."""
    matrix = diffusion(12, skew=0.0)
    matrix = matrix - sp.diags(np.asarray(matrix.sum(axis=1)).ravel())
    for side in ("left", "right"):
        A = to_petsc(matrix)
        A.setNullSpace(PETSc.NullSpace().create(constant=True))
        b = RNG(0).standard_normal(144)
        b -= b.mean()
        ksp = ksp_gcrodr(A, GCRODR(20, 5), "jacobi", side)
        x = solve(ksp, vector(A, b))
        assert ksp.getConvergedReason() > 0
        check(matrix, b, x, 1e-8 if side == "right" else 1e-6)


def test_iteration_limit():
    matrix = diffusion(20)
    A = to_petsc(matrix)
    ksp = ksp_gcrodr(A, GCRODR(20, 8, always=True), max_it=33)
    for _ in range(2):
        solve(ksp, vector(A, np.ones(400)))
        assert ksp.getConvergedReason() == PETSc.KSP.ConvergedReason.DIVERGED_MAX_IT
        assert ksp.getIterationNumber() == 33
        A.stateIncrease()


def test_attainable_accuracy_is_not_exceeded():
    """rtol below rounding: the recurrence says yes, the explicit residual no."""
    A = to_petsc(diffusion(15, contrast=3.0))
    ksp = ksp_gcrodr(A, GCRODR(20, 8), rtol=1e-18, max_it=3000)
    solve(ksp, vector(A, np.ones(225)))
    assert ksp.getConvergedReason() < 0


def plateau(n, small, size, top):
    """±1 … ±top, and `small` eigenvalues near zero: until they are deflated nothing moves."""
    signs = np.where(np.arange(n) % 2, 1.0, -1.0)
    values = np.linspace(1.0, top, n)
    values[:small] = size * (1.0 + np.arange(small))
    return sp.diags(signs * values)


def test_growing_space_is_kept_on_a_plateau():
    """Dropped after 5 idle cycles each time, it would never grow enough to get through."""
    A = to_petsc(plateau(600, 13, 6e-4, 50.0))
    ksp = ksp_gcrodr(A, context := GCRODR(40, 20), max_it=3000)
    solve(ksp, vector(A, np.ones(600)))
    assert ksp.getConvergedReason() > 0
    assert context.dropped == 0


def test_space_is_dropped_where_it_leads_nowhere():
    """More small eigenvalues than vectors: a start afresh helps a little, now and then."""
    A = to_petsc(plateau(400, 16, 1e-3, 20.0))
    ksp = ksp_gcrodr(A, context := GCRODR(20, 8), max_it=2000)
    solve(ksp, vector(A, np.ones(400)))
    history = ksp.getConvergenceHistory()
    assert 1 <= context.dropped <= 2
    assert history[-1] < 0.055 * history[0]  # 0.071 without


@given(
    st.lists(st.tuples(st.floats(0.1, 10), st.booleans()), min_size=1, max_size=12),
    st.integers(1, 14),
)
def test_choice_keeps_pairs(entries, k):
    real, imag = [], []
    for size, pair in entries:
        real += [size, size] if pair else [size]
        imag += [0.5, -0.5] if pair else [0.0]
    real, imag = np.array(real), np.array(imag)
    chosen = choose(real, imag, k)
    assert min(k, len(real)) <= chosen.sum() <= k + 1
    for i in np.flatnonzero(imag > 0):
        assert chosen[i] == chosen[i + 1]
    if not chosen.all():
        modulus = np.hypot(real, imag)
        assert modulus[chosen].min() >= modulus[~chosen].max()


def test_block_stays_orthonormal():
    """Selective re-orthogonalisation: [C V] to the bound it promises, B U = C to rounding."""
    for pc in ("none", "ilu"):  # the second shortens each vector much more in one pass
        context, ksp = GCRODR(40, 20, always=True), None
        for i in range(12):
            matrix = diffusion(25, contrast=1.0 + 0.01 * i, shift=0.1)
            A = to_petsc(matrix)
            ksp = ksp or ksp_gcrodr(A, context, pc, rtol=1e-10)
            ksp.setOperators(A)
            solve(ksp, vector(A, RNG(i).standard_normal(625)))
            assert ksp.getConvergedReason() > 0
            k = context.recycled
            C, U = context._basis.W[:k], context._basis.U[:k]
            assert np.abs(C @ C.T - np.eye(k)).max() < 1e-7
            np.testing.assert_allclose(
                C @ U.T, context._space.CtU, atol=1e-7 * np.abs(U).max() * 25
            )
            if pc == "none":
                np.testing.assert_allclose(U @ matrix.T, C, atol=1e-11)


def test_one_operator_for_a_long_time():
    """C is never formed again: its errors must not pile up over hundreds of cycles."""
    matrix = diffusion(20, contrast=1.5)
    A = to_petsc(matrix)
    context = GCRODR(20, 10)
    ksp = ksp_gcrodr(A, context)
    for i in range(60):
        b = RNG(i).standard_normal(400)
        x = solve(ksp, vector(A, b))
        assert ksp.getConvergedReason() > 0
        check(matrix, b, x, 1e-8)
        assert context.dropped == 0
    C, U = context._basis.W[: context.recycled], context._basis.U[: context.recycled]
    assert np.abs(U @ matrix.T - C).max() < 1e-8
