"""DeflatedCG on systems and spaces that are no good: no solve may break or lie."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI
from petsc4py import PETSc
from solver_problems import diffusion, solve, to_petsc, vector
from test_deflated_cg import few_small, ksp_with, spd

from solvers.deflated_cg import DeflatedCG

RNG = np.random.default_rng
Reason = PETSc.KSP.ConvergedReason


def warm(context, matrix, **kwargs):
    """A KSP that has just solved with `matrix`."""
    A = to_petsc(matrix)
    ksp = ksp_with(A, context, **kwargs)
    solve(ksp, vector(A, RNG(0).standard_normal(matrix.shape[0])))
    assert context.recycled > 0
    return ksp


def solve_next(ksp, matrix, b=None, rtol=1e-8):
    A = to_petsc(matrix)
    b = np.ones(matrix.shape[0]) if b is None else b
    ksp.setOperators(A)
    x = solve(ksp, vector(A, b))
    if ksp.getConvergedReason() > 0:
        assert np.linalg.norm(b - matrix @ x) <= 1.0001 * rtol * np.linalg.norm(b)
    return x


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1e200])
def test_spoilt_space(value):
    context = DeflatedCG(8, 20, always=True)
    ksp = warm(context, spd(15))
    context._space.W[2, 7] = value
    context._space.W[3] = context._space.W[4]
    with np.errstate(all="ignore"):
        solve_next(ksp, spd(15, seed=1))
    assert ksp.getConvergedReason() > 0
    solve_next(ksp, spd(15, seed=2))
    assert ksp.getConvergedReason() > 0


def test_dependent_vectors_are_dropped():
    context = DeflatedCG(6, 20, always=True, verify=False)
    ksp = warm(context, few_small(0.0))
    context._space.W[5] = 3.0 * context._space.W[0] + 1e-12
    solve_next(ksp, few_small(0.001))
    assert ksp.getConvergedReason() > 0
    assert context._used == 5
    assert context.recycled == 6


@pytest.mark.parametrize("distance", [1e-3, 2e-5])
def test_nearly_dependent_vectors_become_orthonormal(distance):
    """WᵀAW = I to rounding, or Wᵀr isn't zero and the solve stagnates; or they are dropped."""
    context = DeflatedCG(6, 20, always=True, verify=False)
    matrix = few_small(0.0)
    ksp = warm(context, matrix)
    space = context._space
    space.W[5] = space.W[0] + distance * RNG(0).standard_normal(160)
    A = ksp.getOperators()[0]
    for w, aw in zip(space.w_vecs, space.aw_vecs, strict=True):
        A.mult(w, aw)
    assert space.orthonormalise()
    gram = space.W[: space.k] @ space.rows[1 : 1 + space.k].T
    assert np.abs(gram + gram.T - 2.0 * np.eye(space.k)).max() < 1e-12


@pytest.mark.parametrize("what", ["AW", "W"])
def test_stale_images_are_found_out(what):
    """The operator is said to be unchanged, but A W or W no longer fit: no false claim."""
    context = DeflatedCG(6, 20, always=True)
    matrix = few_small(0.0)
    ksp = warm(context, matrix)
    b = vector(ksp.getOperators()[0], RNG(5).standard_normal(160))
    solve(ksp, b)
    assert context._formed
    if what == "AW":
        context._space.rows[1:] += 1e-4 * RNG(1).standard_normal((6, 160))
    else:
        context._space.W[:] += 1e-2 * RNG(1).standard_normal((6, 160))
    x = solve(ksp, b)
    assert ksp.getConvergedReason() > 0
    assert context.dropped > 0
    assert np.linalg.norm(b.array - matrix @ x) <= 1.001e-8 * np.linalg.norm(b.array)


def test_jumps_of_the_size_of_entries():
    """W is made A-orthonormal for each operator: a scale of A costs nothing."""
    context, counts = DeflatedCG(6, 20, always=True), []
    ksp = warm(context, few_small(0.0))
    cold = ksp.getIterationNumber()
    for i, scale in enumerate([1e9, 1e-9, 1.0, 1e12]):
        solve_next(ksp, scale * few_small(0.0005 * i), RNG(i).standard_normal(160) * 1e-5)
        assert ksp.getConvergedReason() > 0
        counts.append(ksp.getIterationNumber())
    assert max(counts) <= 40 < cold


def test_other_size_drops_the_space():
    context = DeflatedCG(8, 20)
    ksp = warm(context, spd(15))
    ksp.reset()
    assert context.recycled == 0
    for nx in (9, 20):
        solve_next(ksp, spd(nx))
        assert ksp.getConvergedReason() > 0
        ksp.reset()
    # the context alone can move to another KSP and another size, and change its own
    other = ksp_with(to_petsc(spd(7)), context)
    for context.recycle, context.window in ((8, 20), (4, 30), (0, 2)):
        solve_next(other, spd(7))
        assert other.getConvergedReason() > 0
        assert context.recycled == context.recycle


@pytest.mark.parametrize("n", [1, 2, 3, 5, 12])
def test_more_vectors_than_unknowns(n):
    B = RNG(n).standard_normal((n, n))
    matrix = sp.csr_matrix(B @ B.T + np.eye(n))
    context = DeflatedCG(20, 40, always=True)
    ksp = warm(context, matrix)
    for i in range(5):
        solve_next(ksp, matrix * (1.1 if i < 3 else 1.0), RNG(i).standard_normal(n))
        assert ksp.getConvergedReason() > 0
        assert context.recycled <= n


def test_window_longer_than_the_solve():
    """Three distinct eigenvalues: three steps, whatever the size, and a space of three vectors."""
    matrix = sp.diags(np.repeat([1.0, 5.0, 2.0], 30)).tocsr()
    A = to_petsc(matrix)
    context = DeflatedCG(5, 20, verify=False)
    ksp = ksp_with(A, context, rtol=1e-12)
    solve(ksp, vector(A, np.ones(90)))
    assert ksp.getConvergedReason() > 0
    assert ksp.getIterationNumber() == context.recycled == 3


@pytest.mark.parametrize("guess", [None, "given"])
def test_zero_right_hand_side(guess):
    context = DeflatedCG(5, 20, always=True)
    A = to_petsc(spd(10))
    ksp = ksp_with(A, context)
    for b in (np.zeros(100), np.ones(100), np.zeros(100)):
        ksp.setTolerances(rtol=1e-8, atol=1e-30)
        x = solve(ksp, vector(A, b), guess=None if guess is None else np.zeros(100))
        assert ksp.getConvergedReason() > 0
        assert x.any() == b.any()
        A.stateIncrease()


def test_right_hand_side_within_the_space():
    """The projection alone solves it: no division by nothing."""
    context = DeflatedCG(6, 30, always=True)
    matrix = few_small(0.0)
    ksp = warm(context, matrix, rtol=1e-9)
    solve_next(ksp, matrix, matrix @ context._space.W[1])
    assert ksp.getConvergedReason() > 0
    assert ksp.getIterationNumber() <= 9
    zero = RNG(0).standard_normal(160) * 0.0
    solve_next(ksp, matrix, zero)
    assert ksp.getConvergedReason() > 0


@pytest.mark.parametrize("where", ["b", "A"])
def test_nan_ends_the_solve_and_not_the_next(where):
    context = DeflatedCG(5, 20, always=True)
    matrix = spd(10)
    ksp = warm(context, matrix)
    bad, b = matrix.copy(), np.ones(100)
    if where == "b":
        b[3] = np.nan
    else:
        bad.data[50] = np.nan
    with np.errstate(all="ignore"):
        solve_next(ksp, bad, b)
    assert ksp.getConvergedReason() == Reason.DIVERGED_NANORINF
    solve_next(ksp, matrix)
    assert ksp.getConvergedReason() > 0


@pytest.mark.parametrize("warmed", [False, True])
def test_indefinite_matrix_is_said_so(warmed):
    context = DeflatedCG(5, 20, always=True)
    good = spd(12)
    ksp = warm(context, good) if warmed else ksp_with(to_petsc(good), context)
    solve_next(ksp, good - 0.3 * sp.eye(144), RNG(1).standard_normal(144))
    assert ksp.getConvergedReason() == Reason.DIVERGED_INDEFINITE_MAT
    assert context.recycled == 0
    solve_next(ksp, -good)
    assert ksp.getConvergedReason() == Reason.DIVERGED_INDEFINITE_MAT
    assert context.recycled == 0
    solve_next(ksp, good)
    assert ksp.getConvergedReason() > 0


class Flipped:
    """A preconditioner that is not positive."""

    def apply(self, pc, r, z):
        r.copy(z)
        local = z.getArray()
        local[::2] *= -1.0
        z.setArray(local)


@pytest.mark.parametrize("warmed", [False, True])
def test_indefinite_preconditioner_is_said_so(warmed):
    context = DeflatedCG(5, 20, always=True)
    ksp = warm(context, spd(12)) if warmed else ksp_with(to_petsc(spd(12)), context)
    ksp.getPC().setType("python")
    ksp.getPC().setPythonContext(Flipped())
    solve_next(ksp, spd(12), RNG(2).standard_normal(144))
    assert ksp.getConvergedReason() == Reason.DIVERGED_INDEFINITE_PC


def test_singular_inconsistent_system_ends():
    matrix = sp.diags(np.r_[0.0, np.arange(1.0, 30.0)]).tocsr()
    A = to_petsc(matrix)
    ksp = ksp_with(A, DeflatedCG(5, 20, always=True), max_it=300)
    for _ in range(3):
        solve(ksp, vector(A, np.ones(30)))
        assert ksp.getConvergedReason() < 0
        A.stateIncrease()


def test_null_space_is_respected():
    """The Neumann problem with an attached null space."""
    matrix = spd(12)
    matrix = matrix - sp.diags(np.asarray(matrix.sum(axis=1)).ravel())
    context, ksp = DeflatedCG(5, 20, always=True), None
    for pc in ("jacobi", "jacobi", "none", "none"):
        A = to_petsc(matrix)
        A.setNullSpace(PETSc.NullSpace().create(constant=True))
        b = RNG(0).standard_normal(144)
        b -= b.mean()
        ksp = ksp or ksp_with(A, context, pc)
        ksp.setOperators(A)
        ksp.getPC().setType(pc)
        x = solve(ksp, vector(A, b))
        assert ksp.getConvergedReason() > 0
        assert context.recycled == 5
        assert abs(x.mean()) < 1e-12 * np.abs(x).max()
        assert np.linalg.norm(b - matrix @ x) <= 1.0001e-8 * np.linalg.norm(b)


def test_iteration_limit():
    A = to_petsc(spd(20))
    ksp = ksp_with(A, DeflatedCG(8, 20, always=True), max_it=23)
    for _ in range(3):
        solve(ksp, vector(A, np.ones(400)))
        assert ksp.getConvergedReason() == Reason.DIVERGED_MAX_IT
        assert ksp.getIterationNumber() == 23
        A.stateIncrease()
    ksp.setTolerances(max_it=5)  # fewer than the images would take
    solve(ksp, vector(A, np.ones(400)))
    assert ksp.getIterationNumber() == 5


def test_attainable_accuracy_is_not_exceeded():
    """rtol below rounding: the recurrence says yes, the explicit residual no."""
    A = to_petsc(spd(15, contrast=3.0))
    ksp = ksp_with(A, DeflatedCG(8, 20), rtol=1e-18, max_it=6000)
    solve(ksp, vector(A, np.ones(225)))
    assert ksp.getConvergedReason() < 0


def test_one_operator_for_a_long_time():
    matrix = spd(20, contrast=0.5)
    A = to_petsc(matrix)
    context = DeflatedCG(8, 30)
    ksp, counts = ksp_with(A, context), []
    for i in range(40):
        b = RNG(i).standard_normal(400)
        x = solve(ksp, vector(A, b))
        assert ksp.getConvergedReason() > 0
        assert np.linalg.norm(b - matrix @ x) <= 1.0001e-8 * np.linalg.norm(b)
        assert context.dropped == 0
        counts.append(ksp.getIterationNumber())
    assert 1.2 * max(counts[2:]) < counts[0]


KINDS = ["general", "few small", "jumps", "near-singular", "semidefinite", "drift", "repeat"]


def random_spd(rng, n, kind, before):
    """A symmetric positive (semi)definite matrix of one of several kinds."""
    if before is not None and kind == "drift":
        turn = np.linalg.qr(np.eye(n) + 0.01 * rng.standard_normal((n, n)))[0]
        return turn @ before @ turn.T
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    values = 1.0 + rng.random(n)
    if kind == "few small":
        values[: n // 5] = 10.0 ** rng.uniform(-5, -2, n // 5)
    elif kind == "near-singular":
        values[0] = 1e-9
    elif kind == "semidefinite":
        values[0] = 0.0
    matrix = Q * values @ Q.T
    if kind == "jumps":
        scale = 10.0 ** rng.integers(-4, 5, n)
        matrix = matrix * np.outer(scale, scale) * 10.0 ** rng.integers(-8, 9)
    return (matrix + matrix.T) / 2.0


def check_sequence(comm, seed, n, kinds, sizes, pc, verify, always):
    """What is called converged has the residual, in the norm that was tested."""
    rng = np.random.default_rng(seed)
    recycle, extra = sizes
    context, ksp, matrix = DeflatedCG(recycle, recycle + extra, verify, always), None, None
    with np.errstate(all="ignore"):
        for kind in kinds:
            if kind != "repeat" or matrix is None:
                matrix = random_spd(rng, n, kind, matrix)
                A = to_petsc(matrix, comm)
            ksp = ksp or ksp_with(A, context, pc, max_it=400)
            ksp.setOperators(A)
            b = rng.standard_normal(n) * rng.choice([0.0, 1e-8, 1.0, 1e8], p=[0.1, 0.2, 0.5, 0.2])
            x = np.concatenate(comm.allgather(solve(ksp, vector(A, b))))
            assert ksp.getIterationNumber() <= 401
            if ksp.getConvergedReason() > 0:
                rounding = 1e-15 * np.linalg.norm(abs(matrix) @ abs(x))
                # without the check the residual is that of the recurrence, up to its drift
                drift = 0.0 if verify else 1e-10 * np.abs(matrix).max() * np.linalg.norm(x)
                bound = 1.001e-8 * np.linalg.norm(b) + 10 * rounding + drift
                assert np.linalg.norm(b - matrix @ x) <= bound
            elif kind in ("general", "few small"):
                raise AssertionError((kind, ksp.getConvergedReason()))


SEQUENCES = {
    "seed": st.integers(0, 2**32 - 1),
    "n": st.integers(1, 50),
    "kinds": st.lists(st.sampled_from(KINDS), min_size=2, max_size=6),
    "sizes": st.tuples(st.integers(0, 20), st.integers(2, 20)),
    "pc": st.sampled_from(["none", "jacobi"]),
    "verify": st.booleans(),
    "always": st.booleans(),
}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(**SEQUENCES)
def test_what_is_called_converged_is(seed, n, kinds, sizes, pc, verify, always):
    check_sequence(MPI.COMM_SELF, seed, n, kinds, sizes, pc, verify, always)


@pytest.mark.parallel([2, 3])
@settings(max_examples=6, deadline=None, derandomize=True, database=None)
@given(**SEQUENCES)
def test_what_is_called_converged_is_on_ranks(seed, n, kinds, sizes, pc, verify, always):
    check_sequence(MPI.COMM_WORLD, seed, n, kinds, sizes, pc, verify, always)


def test_nonsymmetric_matrix_does_not_lie():
    context = DeflatedCG(6, 20, always=True)
    ksp = ksp_with(to_petsc(diffusion(12)), context, max_it=600)
    for i in range(4):
        solve_next(ksp, diffusion(12, seed=i, skew=0.3))
