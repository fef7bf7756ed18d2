"""The stream: whatever is reported as converged has the residual it claims."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI
from petsc4py import PETSc
from solver_problems import diffusion, to_petsc, vector
from test_gcrodr_robust import KINDS, random_matrix

from solvers import Reason, Strategy, System, solve_stream, true_residual

SELF = MPI.COMM_SELF
RNG = np.random.default_rng
RTOL = 1e-8

SPD = [
    Strategy("cg", pc) for pc in ("none", "jacobi", "bjacobi", "sor", "asm", "icc", "ilu", "gamg")
]
SPD += [
    Strategy("cg", "cholesky", reuse="lagged"),
    Strategy("cg", "cholesky", reuse="frozen"),
    Strategy("cg", "icc", guess="pod"),
    Strategy("cg", "icc", guess="fischer"),
    Strategy("minres", "jacobi"),
    Strategy("minres", "none"),
    Strategy("preonly", "cholesky"),
]
GENERAL = [
    Strategy(ksp, pc)
    for ksp in ("gcrodr", "gmres", "fgmres")
    for pc in ("none", "jacobi", "bjacobi", "sor", "asm", "ilu", "gamg")
]
GENERAL += [
    Strategy("gcrodr", "jacobi", side="left"),
    Strategy("gmres", "ilu", side="left"),
    Strategy("gcrodr", "jacobi", recycling=False),
    Strategy("gcrodr", "jacobi", guess="previous"),
    Strategy("gcrodr", "ilu", reuse="lagged"),
    Strategy("gmres", "lu", reuse="lagged", guess="previous"),
    Strategy("gmres", "bjacobi", reuse="lagged"),
    Strategy("gmres", "ilu", guess="pod"),
    Strategy("gcrodr", "ilu", reuse="frozen"),
    Strategy("preonly", "lu", guess="superposition"),
    Strategy("preonly", "lu"),
]
SERIAL = [
    Strategy("preonly", "cholesky", factor_solver="petsc"),
    Strategy("preonly", "lu", factor_solver="petsc"),
    Strategy("cg", "cholesky", factor_solver="petsc", reuse="lagged"),
]


def name(strategy):
    extra = [strategy.side, strategy.reuse, strategy.guess, strategy.factor_solver]
    defaults = ("auto", "fresh", "zero", "mumps")
    parts = [e for e, d in zip(extra, defaults, strict=True) if e != d]
    parts += ["cold"] * (strategy.recycling is False)
    return "-".join([strategy.label, *parts])


def constrain(matrix, b, fixed, values):
    """Identity rows and columns for the fixed unknowns, and the lifted right-hand side."""
    matrix, b = matrix.tolil(), b - matrix[:, fixed] @ values
    matrix[fixed, :] = 0.0
    matrix[:, fixed] = 0.0
    matrix[fixed, fixed] = 1.0
    b[fixed] = values
    return matrix.tocsr(), b


def problems(count, skew, nx=16):
    """Pairs (matrix, b) with every ninth unknown fixed to large Dirichlet values."""
    fixed = np.arange(0, nx * nx, 9)
    for i in range(count):
        matrix = diffusion(nx, contrast=0.5 + 0.02 * i, skew=skew)
        b = RNG(i).standard_normal(nx * nx)
        yield (*constrain(matrix, b, fixed, np.full(len(fixed), 50.0)), fixed)


def systems(pairs, comm=SELF):
    """Assembly in place: one Mat and one Vec hold all systems of a pattern in turn."""
    A = b = None
    for i, (matrix, right, fixed) in enumerate(pairs):
        fresh = to_petsc(matrix, comm)
        if A is None or fresh.getSizes() != A.getSizes():
            A, b = fresh, vector(fresh, right)
        else:
            fresh.copy(A, structure=PETSc.Mat.Structure.DIFFERENT_NONZERO_PATTERN)
            b.setArray(right[slice(*A.getOwnershipRange())])
        free = np.ones(matrix.shape[0], dtype=bool)
        free[fixed] = False
        yield System(i, A, b, free[slice(*A.getOwnershipRange())])


def scipy_residual(matrix, b, fixed, x):
    """ρ as design.md has it, in SciPy."""
    free = np.ones(len(b), dtype=bool)
    free[fixed] = False
    size = np.linalg.norm(b[free])
    return np.linalg.norm((matrix @ x - b)[free]) / (size if size > 0 else 1.0)


@pytest.mark.parametrize("strategy", [*SPD, *GENERAL], ids=name)
def test_every_strategy_keeps_its_word(strategy):
    """One residual check for all strategies."""
    keeps_its_word(strategy, SELF)


@pytest.mark.parallel([2])
def test_every_strategy_keeps_its_word_on_two_ranks():
    for strategy in (*SPD, *GENERAL):
        keeps_its_word(strategy, MPI.COMM_WORLD)


def keeps_its_word(strategy, comm):
    pairs = list(problems(4, skew=0.0 if strategy in SPD else 0.2))
    solutions = list(solve_stream(systems(pairs, comm), strategy, rtol=RTOL, comm=comm))
    assert [s.id for s in solutions] == [0, 1, 2, 3]
    for s, (matrix, b, fixed) in zip(solutions, pairs, strict=True):
        x = np.concatenate(comm.allgather(s.x))
        assert s.reason == Reason.CONVERGED, (s.reason, s.ladder)
        assert not any("direct" in step or "fresh" in step for step in s.ladder), s.ladder
        rho = scipy_residual(matrix, b, fixed, x)
        assert rho <= RTOL * (1 + 1e-6)
        assert rho == pytest.approx(s.true_residual, rel=1e-4, abs=1e-14)
        if strategy.guess in ("zero", "previous"):
            np.testing.assert_array_equal(x[fixed], b[fixed])  # Dirichlet values exactly
        assert s.iterations >= 1
        assert s.seconds > 0


@pytest.mark.parametrize("strategy", SERIAL, ids=name)
def test_serial_strategies(strategy):
    pairs = list(problems(4, skew=0.0))
    for s, pair in zip(
        solve_stream(systems(pairs), strategy, rtol=RTOL, comm=SELF), pairs, strict=True
    ):
        assert s.converged
        assert not s.ladder
        assert scipy_residual(*pair, s.x) <= RTOL


def test_float32_is_verified_as_stored():
    pairs = list(problems(3, skew=0.1))
    stream = solve_stream(
        systems(pairs), Strategy(pc="jacobi"), rtol=1e-4, comm=SELF, dtype=np.float32
    )
    for s, pair in zip(stream, pairs, strict=True):
        assert s.x.dtype == np.float32
        assert s.converged
        assert scipy_residual(*pair, s.x.astype(float)) <= 1.0001e-4
    strict = solve_stream(
        systems(pairs), Strategy(pc="jacobi"), rtol=1e-9, comm=SELF, dtype=np.float32
    )
    assert [s.reason for s in strict] == [Reason.STAGNATED] * 3  # float32 can't hold that


def test_bad_systems_do_not_stop_the_stream():
    good = diffusion(10)
    n, none = 100, np.array([], dtype=int)
    nan_matrix, inf_right = good.copy(), np.ones(n)
    nan_matrix.data[7], inf_right[3] = np.nan, np.inf
    singular = good.tolil()
    singular[5] = 0.0
    pairs = [
        (good, np.ones(n), none),
        (nan_matrix, np.ones(n), none),
        (good, inf_right, none),
        (singular.tocsr(), np.ones(n), none),
        (sp.csr_matrix((n, n)), np.ones(n), none),
        (good, np.zeros(n), none),
        (good * 1.5, np.ones(n), none),
        (diffusion(7), np.ones(49), none),
    ]
    expected = ["CONVERGED", "BAD_MATRIX", "BAD_RHS", "", "", *["CONVERGED"] * 3]
    for strategy in (
        Strategy(pc="none"),
        Strategy(pc="ilu"),
        Strategy("gmres", "sor", reuse="lagged"),
        Strategy("preonly", "lu"),
        Strategy("preonly", "lu", factor_solver="petsc"),
        Strategy("cg", "gamg", guess="previous"),
        Strategy(pc="none", fallback=False),
    ):
        stream = solve_stream(systems(pairs), strategy, rtol=RTOL, comm=SELF)
        for s, wanted, pair in zip(stream, expected, pairs, strict=True):
            assert s.converged == (wanted == "CONVERGED"), (strategy.label, s)
            assert not wanted or s.reason.name == wanted
            assert s.x.shape == pair[1].shape
            assert len(s.reason.text) > 20
            if s.converged:
                assert scipy_residual(*pair, s.x) <= RTOL


def test_wrong_shapes_fail_alone():
    A, b = to_petsc(diffusion(4)), vector(to_petsc(diffusion(3)), np.ones(9))
    good = vector(A, np.ones(16))
    stream = [
        System(7, A, b, None),
        System(8, A, good, np.ones(3, dtype=bool)),
        System(9, A, good, np.ones(16)),
        System(10, A, good, np.ones(16, dtype=bool)),
    ]
    found = list(solve_stream(stream, Strategy(), rtol=RTOL, comm=SELF))
    assert [s.reason for s in found] == [*[Reason.BAD_SHAPE] * 3, Reason.CONVERGED]


def test_ladder_ends_with_a_direct_solve():
    pairs = list(problems(2, skew=0.1))
    hopeless = Strategy("gcrodr", "none", max_it=3)
    for s, pair in zip(
        solve_stream(systems(pairs), hopeless, rtol=RTOL, comm=SELF), pairs, strict=True
    ):
        assert s.converged
        assert s.ladder[-1].startswith("direct: converged")
        assert s.ladder[0].startswith("fresh: max_it")
        assert scipy_residual(*pair, s.x) <= RTOL
    alone = Strategy("gcrodr", "none", max_it=3, fallback=False)
    for s in solve_stream(systems(pairs), alone, rtol=RTOL, comm=SELF):
        assert s.reason == Reason.MAX_IT
        assert s.true_residual > RTOL
        assert not s.ladder


def test_lagged_preconditioner_is_renewed():
    """A factor is kept while it serves, and renewed after a jump."""
    smooth = [diffusion(16, contrast=0.5 + 0.002 * i) for i in range(4)]
    jump = [diffusion(16, contrast=2.5, seed=8)] * 3
    pairs = [(m, np.ones(256), np.array([], dtype=int)) for m in smooth + jump]
    strategy = Strategy("gmres", "lu", reuse="lagged", max_it=40)
    found = list(solve_stream(systems(pairs), strategy, rtol=RTOL, comm=SELF))
    assert all(s.converged for s in found)
    assert found[0].iterations == 1
    assert 1 < found[1].iterations < 12
    assert found[-1].iterations == 1  # a new factor by then
    assert not any("direct" in step for s in found for step in s.ladder)


@pytest.mark.parametrize(
    "strategy",
    [
        Strategy("cg", "icc", guess="pod"),
        Strategy("cg", "icc", guess="fischer"),
        Strategy("preonly", "cholesky", guess="superposition"),
        Strategy("cg", "icc", guess="superposition"),
    ],
    ids=name,
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_guesses_from_earlier_solutions(strategy, dtype):
    """Right-hand sides from a space of 3 dimensions: known solutions make the later ones cheap."""
    rtol = RTOL if dtype == np.float64 else 1e-4
    nx, fixed = 16, np.arange(0, 256, 9)
    basis = RNG(5).standard_normal((3, 256))
    pairs = []
    for i in range(12):
        c = RNG(i).standard_normal(3)
        matrix, b = constrain(
            diffusion(nx, contrast=0.5, skew=0.0), c @ basis, fixed, c[0] * np.arange(29.0)
        )
        pairs.append((matrix, b, fixed))
    A = to_petsc(pairs[0][0])
    free = np.ones(256, dtype=bool)
    free[fixed] = False
    stream = [System(i, A, vector(A, b), free) for i, (_, b, _) in enumerate(pairs)]
    found = list(solve_stream(stream, strategy, rtol=rtol, comm=SELF, dtype=dtype))
    for s, (matrix, b, _) in zip(found, pairs, strict=True):
        assert s.converged and not s.ladder
        assert scipy_residual(matrix, b, fixed, s.x.astype(float)) <= rtol * (1 + 1e-6)
        size = np.linalg.norm(b)
        np.testing.assert_allclose(s.x[fixed], b[fixed].astype(dtype), atol=rtol * size)
    if strategy.ksp == "cg" and dtype == np.float64:
        assert np.mean([s.iterations for s in found[5:]]) <= 0.5 * found[0].iterations


@pytest.mark.parametrize("guess", ["pod", "fischer", "superposition"])
def test_guesses_leave_dirichlet_values_exact(guess):
    fixed = np.arange(0, 256, 9)
    matrix = diffusion(16, contrast=0.5, skew=0.0)
    rights = [RNG(i).standard_normal(2) for i in range(6)]
    basis = RNG(9).standard_normal((2, 256))
    made = [constrain(matrix, c @ basis, fixed, c[0] * np.linspace(1, 3, 29)) for c in rights]
    A = to_petsc(made[0][0])
    free = np.ones(256, dtype=bool)
    free[fixed] = False
    stream = [System(i, A, vector(A, b), free) for i, (_, b) in enumerate(made)]
    strategy = Strategy("cg", "icc", guess=guess)
    for s in solve_stream(stream, strategy, rtol=RTOL, comm=SELF):
        np.testing.assert_array_equal(s.x[fixed], made[s.id][1][fixed])


def test_frozen_preconditioner_stays():
    """The first factor serves all, though the operators move away."""
    pairs = list(problems(12, skew=0.0))
    strategy = Strategy("cg", "cholesky", reuse="frozen", factor_solver="petsc")
    events = PETSc.Log.Event("MatCholFctrNum")
    PETSc.Log.begin()
    before = events.getPerfInfo()["count"]
    found = list(solve_stream(systems(pairs), strategy, rtol=RTOL, comm=SELF))
    assert all(s.converged and not s.ladder for s in found)
    assert events.getPerfInfo()["count"] - before == 1
    assert found[11].iterations > found[1].iterations > found[0].iterations


def test_unchanged_operator_is_set_up_once():
    """The same Mat in the same state: LU factors once, GCRODR keeps C."""
    A = to_petsc(diffusion(20))
    stream = [System(i, A, vector(A, RNG(i).standard_normal(400)), None) for i in range(4)]
    events = PETSc.Log.Event("MatLUFactorNum")
    PETSc.Log.begin()
    before = events.getPerfInfo()["count"]
    direct = Strategy("preonly", "lu", factor_solver="petsc")
    assert all(s.converged for s in solve_stream(stream, direct, rtol=RTOL, comm=SELF))
    assert events.getPerfInfo()["count"] - before == 1
    found = list(solve_stream(stream, Strategy(pc="jacobi"), rtol=RTOL, comm=SELF))
    changing = [System(i, s.A.copy(), s.b, None) for i, s in enumerate(stream)]
    other = list(solve_stream(changing, Strategy(pc="jacobi"), rtol=RTOL, comm=SELF))
    assert all(a.iterations < b.iterations for a, b in zip(found[1:], other[1:], strict=True))


def test_generator_leaves_nothing_behind():
    before = dict(PETSc.Options().getAll())
    stream = solve_stream(systems(problems(3, skew=0.1)), Strategy(), rtol=RTOL, comm=SELF)
    next(stream)
    assert len(PETSc.Options().getAll()) > len(before)
    stream.close()
    assert PETSc.Options().getAll() == before


def test_solutions_are_owned():
    """Values stay as they were although A, b and the unknown are used again."""
    pairs = list(problems(3, skew=0.1))
    stream = solve_stream(systems(pairs), Strategy(pc="jacobi"), rtol=RTOL, comm=SELF)
    first = next(stream)
    copy = first.x.copy()
    list(stream)
    np.testing.assert_array_equal(first.x, copy)


@pytest.mark.parametrize("rtol", [0.0, 1.0, -1e-8, float("nan")])
def test_tolerance_is_checked_at_the_call(rtol):
    with pytest.raises(ValueError, match="rtol"):
        solve_stream([], Strategy(), rtol=rtol, comm=SELF)


@pytest.mark.parallel([2])
def test_two_ranks_agree_on_trouble():
    """NaN, a wrong mask or a wrong length on one rank only: all ranks yield the same outcome."""
    comm = MPI.COMM_WORLD
    with pytest.raises(ValueError, match="mumps"):
        solve_stream([], Strategy("preonly", "lu", factor_solver="petsc"), rtol=RTOL, comm=comm)
    A = to_petsc(diffusion(10), comm)
    found = []

    def stream():
        for i in range(4):
            b = vector(A, np.ones(100))
            free = np.ones(50, dtype=bool)
            if i == 1 and comm.rank == 1:
                b.array[3] = np.nan
            if i == 2 and comm.rank == 0:
                free = free[:-1]
            yield System(i, A, b, free)

    for s in solve_stream(stream(), Strategy(), rtol=RTOL, comm=comm):
        found.append(s.reason)
        assert len(set(comm.allgather((s.reason, s.iterations, s.seconds, s.ladder)))) == 1
    assert found == [Reason.CONVERGED, Reason.BAD_RHS, Reason.BAD_SHAPE, Reason.CONVERGED]


def test_true_residual_by_hand():
    A = to_petsc(sp.diags([2.0, 4.0, 1.0]))
    b = vector(A, [2.0, 0.0, 7.0])
    free = np.array([True, True, False])
    assert true_residual(A, b, np.array([0.0, 0.0, 0.0]), free) == pytest.approx(1.0)
    assert true_residual(A, b, np.array([1.0, 1.0, 0.0]), free) == pytest.approx(2.0)
    assert true_residual(A, b, np.array([1.0, 0.0, 7.0])) == 0.0
    b.set(0.0)  # absolute then
    assert true_residual(A, b, np.array([1.0, 1.0, 9.0]), free) == pytest.approx(np.sqrt(20))
    third = true_residual(A, b, np.array([1 / 3, 0.0, 0.0]), free, np.float32)
    assert third == 2 * float(np.float32(1 / 3))
    assert np.isnan(true_residual(A, b, np.array([np.nan, 0.0, 0.0])))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 40),
    kinds=st.lists(st.sampled_from(KINDS), min_size=2, max_size=6),
    strategy=st.sampled_from(
        [s for s in (*GENERAL, *SERIAL) if not (s.ksp == "cg" or s.pc in ("gamg", "cholesky"))]
    ),
    rtol=st.sampled_from([1e-3, 1e-6, 1e-10]),
    fixed=st.integers(0, 3),
)
def test_random_sequences(seed, n, kinds, strategy, rtol, fixed):
    """Non-symmetric, indefinite, jumps, singular, repeats, zero right sides."""
    rng, pairs, matrix = RNG(seed), [], None
    rows = rng.choice(n, min(fixed, n - 1), replace=False)
    for kind in kinds:
        matrix = random_matrix(rng, n, kind) if kind != "repeat" or matrix is None else matrix
        b = rng.standard_normal(n) * rng.choice([0.0, 1.0, 1e6], p=[0.2, 0.6, 0.2])
        pairs.append((*constrain(matrix, b, rows, rng.standard_normal(len(rows))), rows))
    with np.errstate(all="ignore"):
        stream = solve_stream(systems(pairs), strategy, rtol=rtol, comm=SELF)
        for s, (A, b, fixed_rows) in itertools.zip_longest(stream, pairs):
            if s.converged:
                size = np.linalg.norm(np.delete(b, fixed_rows)) or 1.0
                rounding = 1e-15 * np.linalg.norm(abs(A) @ abs(s.x)) / size
                rho = scipy_residual(A, b, fixed_rows, s.x)
                assert rho <= rtol * (1 + 1e-6) + rounding
                assert s.true_residual <= rtol
