"""Streams in blocks: order, patterns, damaged lanes, scales; SciPy computes the residuals."""

import gc
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from block_problems import RNG
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI
from solver_problems import KINDS, diffusion, random_matrix, to_petsc, vector
from test_solve_stream import constrain, scipy_residual, systems

from solvers import Reason, Strategy, System, solve_stream
from solvers.block_chain import BlockChain
from solvers.strategy import check_ranks

SELF = MPI.COMM_SELF
RTOL = 1e-8
NONE = np.array([], dtype=int)
DIRECT = Strategy("preonly", "lu", block=16)
SPD = [
    DIRECT,
    Strategy("preonly", "cholesky", block=16),
    Strategy("cg", "cholesky", reuse="lagged", scaling="diagonal", block=16),
    Strategy("cg", "cholesky", reuse="frozen", block=16),
    Strategy("cg", "gamg", reuse="lagged", block=16),
    Strategy("cg", "mg", reuse="frozen", scaling="diagonal", block=16),
]
EVERY = pytest.mark.parametrize("strategy", SPD, ids=lambda s: f"{s.label}-{s.pc}-{s.reuse}")


def run(pairs, strategy, rtol=RTOL, ids=None, **options):
    """Solve (A, b, fixed) triples; check order, and each claim by SciPy."""
    found = list(solve_stream(systems(pairs), strategy, rtol=rtol, comm=SELF, **options))
    assert [s.id for s in found] == list(range(len(pairs)))
    for s, (A, b, fixed) in zip(found, pairs, strict=True):
        assert s.x.shape == b.shape
        if s.converged:
            rho = scipy_residual(A, b, fixed, s.x.astype(float))
            size = np.linalg.norm(np.delete(b, fixed)) or 1.0
            rounding = 1e-15 * np.linalg.norm(abs(A) @ abs(s.x.astype(float))) / size
            assert rho <= rtol * (1 + 1e-6) + rounding, (s.id, rho, s.true_residual)
            assert s.true_residual <= rtol
            assert rho == pytest.approx(s.true_residual, rel=1e-4, abs=1e-14 + 10 * rounding)
    return found


def alone(found):
    """Ids of the systems that went to the ladder."""
    return [s.id for s in found if s.ladder]


def similar(count, nx=12, fixed=NONE, seed=0):
    for i in range(count):
        A = diffusion(nx, contrast=0.5 + 0.01 * i, skew=0.0, seed=seed)
        b = RNG((seed, i)).standard_normal(nx * nx)
        yield (*constrain(A, b, fixed, np.full(len(fixed), 50.0)), fixed)


@EVERY
@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
def test_any_number_of_systems(strategy, count):
    pairs = list(similar(count, fixed=np.arange(0, 144, 9)))
    found = run(pairs, strategy)
    assert all(s.converged for s in found)
    assert alone(found) == []
    for s, (_, b, fixed) in zip(found, pairs, strict=True):
        np.testing.assert_array_equal(s.x[fixed], b[fixed])
        assert s.seconds > 0
        assert s.iterations >= 1


@EVERY
def test_patterns_and_masks_change_in_the_middle(strategy):
    """Sizes, patterns and constrained dofs change with nothing lost or exchanged."""
    pairs = list(similar(5)) + list(similar(3, nx=9)) + list(similar(4))
    pairs += list(similar(3, fixed=np.array([0, 7]))) + list(similar(18, fixed=np.array([5])))
    wide = [(diffusion(12, skew=0.0) + sp.diags([0.1, 0.1], [-5, 5], (144, 144)),) * 1] * 2
    pairs += [((A + sp.identity(144)).tocsr(), np.ones(144), NONE) for (A,) in wide]
    found = run(pairs, strategy)
    assert all(s.converged for s in found)
    assert alone(found) == []


@EVERY
def test_everything_constrained_and_one_unknown(strategy):
    pairs = list(similar(3, nx=4, fixed=np.arange(16)))
    pairs += [(sp.csr_matrix([[2.0 + i]]), np.array([3.0]), NONE) for i in range(3)]
    found = run(pairs, strategy)
    assert all(s.converged for s in found) and alone(found) == []
    np.testing.assert_array_equal(found[1].x, pairs[1][1])


@EVERY
def test_damaged_systems_fail_alone(strategy):
    """NaN, Inf, zero rows, a zero matrix, an indefinite one, zero right-hand sides, among good."""
    good = list(similar(20))
    nan, singular = good[0][0].copy(), good[0][0].tolil()
    nan.data[7] = np.nan
    singular[5] = 0.0
    ones, inf = np.ones(144), np.ones(144)
    inf[3] = np.inf
    same = (good[0][0] * 0).tocsr()
    same.data[:] = 0.0
    bad = {
        2: (nan, ones, NONE),
        4: (good[0][0], inf, NONE),
        6: (same, ones, NONE),
        9: (-good[0][0], ones, NONE),
        11: (good[0][0], np.zeros(144), NONE),
        13: (singular.tocsr(), ones, NONE),  # another pattern: ends the block
    }
    pairs = [bad.get(i, pair) for i, pair in enumerate(good)]
    found = run(pairs, strategy)
    wanted = {2: "BAD_MATRIX", 4: "BAD_RHS"}
    for i, s in enumerate(found):
        if i in (6, 13):
            assert not s.converged and s.reason < 0
        else:
            assert s.reason.name == wanted.get(i, "CONVERGED"), (i, s.reason, s.ladder)
    assert not found[11].x.any()
    expected = {6, 13} if strategy.direct else {6, 9, 13}
    assert set(alone(found)) == expected
    for i in expected:
        assert found[i].ladder[0].startswith("block: ρ = ")
        assert found[i].ladder[1].startswith("direct: ")


def test_bad_shapes_fail_alone():
    A, other = to_petsc(diffusion(4, skew=0.0)), to_petsc(diffusion(3, skew=0.0))
    b = vector(A, np.ones(16))
    stream = [
        System(7, A, b, None),
        System(8, A, vector(other, np.ones(9)), None),
        System(9, A, b, np.ones(3, dtype=bool)),
        System(10, A, b, np.ones(16)),
        System(11, A, b, np.ones(16, dtype=bool)),
        System(12, other, vector(other, np.ones(9)), None),
    ]
    found = list(solve_stream(stream, DIRECT, rtol=RTOL, comm=SELF))
    assert [s.id for s in found] == [7, 8, 9, 10, 11, 12]
    bad = [s.reason == Reason.BAD_SHAPE for s in found]
    assert bad == [False, True, True, True, False, False]
    assert all(s.converged for s, b in zip(found, bad, strict=True) if not b)


@EVERY
def test_without_the_ladder(strategy):
    """`fallback=False`: what a block can't do is reported, with a reason and no numbers."""
    from dataclasses import replace

    pairs = list(similar(4))
    zero = pairs[0][0].copy()
    zero.data[:] = 0.0
    pairs[2] = (zero, np.ones(144), NONE)
    found = run(pairs, replace(strategy, fallback=False))
    assert [s.converged for s in found] == [True, True, False, True]
    assert found[2].reason == Reason.STAGNATED
    assert np.isnan(found[2].x).all()
    assert len(found[2].ladder) == 1


@pytest.mark.parametrize("exponent", [-200, -100, -30, -8, 8, 30, 100, 200])
@EVERY
def test_scales(strategy, exponent):
    """Units don't matter: of the matrix, the right-hand side, or both; no lane needs the ladder."""
    pairs = list(similar(6, fixed=np.array([3])))
    scale = 10.0**exponent
    for i, (a, r) in enumerate([(scale, 1.0), (1.0, scale), (scale, scale), (scale, 1 / scale)]):
        A, b, fixed = pairs[i]
        if abs(exponent) < 150 or i == 0 or i == 2 and exponent < 0:
            A, b = A * a, b * r
        A = A.tolil()
        A[3, 3] = 1.0
        pairs[i] = (A.tocsr(), b, fixed)
    with np.errstate(over="ignore"):
        found = run(pairs, strategy)
    assert all(s.converged for s in found)
    assert alone(found) == [], [s.ladder for s in found]


def test_values_beyond_the_range_are_not_claimed():
    """x = A⁻¹ b overflows, or underflows: no claim."""
    A = diffusion(6, skew=0.0)
    pairs = [(A * 1e-200, np.full(36, 1e120), NONE), (A * 1e200, np.full(36, 1e-120), NONE)]
    with np.errstate(all="ignore"):
        found = run(pairs, DIRECT)
    assert not found[0].converged


@EVERY
def test_float32_is_verified_as_stored(strategy):
    pairs = list(similar(5, fixed=np.array([1, 2])))
    found = run(pairs, strategy, rtol=1e-4, dtype=np.float32)
    assert all(s.x.dtype == np.float32 and s.converged for s in found)
    assert alone(found) == []
    strict = run(pairs, strategy, rtol=1e-9, dtype=np.float32)
    assert [s.reason for s in strict] == [Reason.STAGNATED] * 5  # float32 can't hold that


def test_each_system_has_its_own_tolerance():
    strategy, wanted = SPD[4], [1e-2, 1e-11, None, 1e-5]
    made = [
        System(i, A, vector(A, np.ones(144)), None, rtol=r)
        for i, (A, r) in enumerate(zip([to_petsc(p[0]) for p in similar(4)], wanted, strict=True))
    ]
    found = list(solve_stream(made, strategy, rtol=1e-7, comm=SELF))
    for s, (matrix, *_), r in zip(found, similar(4), wanted, strict=True):
        rho = scipy_residual(matrix, np.ones(144), NONE, s.x)
        assert rho <= (r or 1e-7)
        assert s.converged and not s.ladder
    steps = [s.iterations for s in found]
    assert steps[0] < steps[3] < steps[1]


@EVERY
def test_the_right_operator_is_used(strategy):
    """One operator for some systems, then others, then one again: also across blocks."""
    A = [diffusion(10, seed=k, contrast=0.5, skew=0.0) for k in range(4)]
    which = [0] * 20 + [1] + [1] * 3 + [0, 2, 2, 0] + [3] * 24 + [0] + [3] * 16
    kept = [to_petsc(a) for a in A]  # four objects, unchanged
    rights = [RNG(i).standard_normal(100) for i in range(len(which))]
    stream = [
        System(i, kept[k], vector(kept[k], b), None)
        for i, (k, b) in enumerate(zip(which, rights, strict=True))
    ]
    found = list(solve_stream(stream, strategy, rtol=RTOL, comm=SELF))
    for s, k, b in zip(found, which, rights, strict=True):
        assert s.converged and not s.ladder
        assert scipy_residual(A[k], b, NONE, s.x) <= RTOL
    # and with one object that is assembled anew only where the operator changes
    place = to_petsc(A[0])

    def assembled():
        for i, (k, b) in enumerate(zip(which, rights, strict=True)):
            if i and which[i - 1] != k:
                kept[k].copy(place)
            yield System(i, place, vector(place, b), None)

    for s, k, b in zip(
        solve_stream(assembled(), strategy, rtol=RTOL, comm=SELF), which, rights, strict=True
    ):
        assert s.converged and not s.ladder
        assert scipy_residual(A[k], b, NONE, s.x) <= RTOL


def test_one_operator_is_not_copied(monkeypatch):
    """An operator that stays is read once, compared never, factorised once."""
    from solvers.block.block import Block

    puts = []
    put = Block.put
    monkeypatch.setattr(Block, "put", lambda s, v, *a: (puts.append(v is None), put(s, v, *a))[1])
    A = to_petsc(diffusion(10, skew=0.0))
    stream = [System(i, A, vector(A, RNG(i).standard_normal(100)), None) for i in range(40)]
    assert all(s.converged for s in solve_stream(stream, DIRECT, rtol=RTOL, comm=SELF))
    assert puts == [False] + [True] * 39


@EVERY
def test_none_ends_a_block(strategy):
    """An iterator that waits for solutions says so, again and again."""
    pairs, got = list(similar(21)), []

    def stream():
        for i, system in enumerate(systems(pairs)):
            yield system
            if i % 5 == 4 or i == 19:
                yield None
                assert got == list(range(i + 1))
                yield None  # with nothing left

    for s in solve_stream(stream(), strategy, rtol=RTOL, comm=SELF):
        assert s.converged
        assert scipy_residual(*pairs[s.id], s.x) <= RTOL
        got.append(s.id)
    assert got == list(range(21))


def test_a_bad_mean_does_not_stay():
    """A preconditioner on which all lanes fail is not kept for the next block."""
    bad, good = list(similar(16)), list(similar(32))
    for i, (A, b, fixed) in enumerate(bad):
        bad[i] = (-A, b, fixed)
    for strategy in SPD[2:]:
        found = run(bad + good, strategy)
        assert alone(found) == list(range(16))
        assert all(s.converged for s in found)


def test_a_mean_that_petsc_refuses_fails_its_lanes_only(monkeypatch):
    """An error of PETSc's in the middle of a block: all its lanes go to the ladder."""
    from petsc4py import PETSc

    from solvers.block import multigrid

    calls = []

    def refuse(A):
        calls.append(A)
        if len(calls) == 1:
            raise PETSc.Error(73)
        return []

    monkeypatch.setattr(multigrid, "_aggregation", refuse)
    found = run(list(similar(32)), SPD[4])
    assert alone(found) == list(range(16))
    assert all(s.converged for s in found)


def test_solutions_are_owned():
    pairs = list(similar(40))
    found = []
    for s in solve_stream(systems(pairs), DIRECT, rtol=RTOL, comm=SELF):
        found.append((s.x, s.x.copy()))
    for x, copy in found:
        np.testing.assert_array_equal(x, copy)
        assert x.flags.writeable


def test_seconds_add_up(monkeypatch):
    """Each second is some solution's, once; a change of pattern doesn't count a block twice."""
    import time

    pairs = list(similar(5)) + list(similar(5, nx=9))
    solve = BlockChain._solve_lanes
    monkeypatch.setattr(
        BlockChain, "_solve_lanes", lambda self, block: (time.sleep(0.2), solve(self, block))[1]
    )
    start = time.perf_counter()
    found = run(pairs, DIRECT)
    elapsed = time.perf_counter() - start
    assert 0.4 <= sum(s.seconds for s in found) <= elapsed
    assert found[9].seconds < 0.1


def test_memory_is_released():
    """The factors and lanes of one stream don't outlive it."""
    pairs = list(similar(16, nx=40))
    tracemalloc.start()
    for _ in range(3):
        stream = solve_stream(systems(pairs), DIRECT, rtol=RTOL, comm=SELF)
        assert next(stream).converged
        held = tracemalloc.get_traced_memory()[0]
        stream.close()
        gc.collect()
        left = tracemalloc.get_traced_memory()[0]
        assert left < 0.3 * held
    tracemalloc.stop()


def test_blocks_are_serial():
    with pytest.raises(ValueError, match="blocks are serial"):
        check_ranks(DIRECT, 2)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 30),
    kinds=st.lists(
        st.tuples(st.sampled_from([*KINDS, "same", "spd"]), st.integers(1, 6)),
        min_size=1,
        max_size=8,
    ),
    strategy=st.sampled_from([*SPD, "auto"]),
    rtol=st.sampled_from([1e-3, 1e-6, 1e-10]),
    fixed=st.integers(0, 3),
    dtype=st.sampled_from([np.float64, np.float64, np.float32]),
)
def test_random_sequences(seed, n, kinds, strategy, rtol, fixed, dtype):
    """Whatever is said to have converged has the residual it claims, whatever came before."""
    rng, pairs = RNG(seed), []
    rows = rng.choice(n, min(fixed, n - 1), replace=False)
    matrix, made = None, []
    for kind, count in kinds:
        for k in range(count):
            if kind == "spd":
                R = rng.standard_normal((n, n))
                matrix = sp.csr_matrix(R @ R.T + n * np.eye(n))
            elif matrix is None or (kind != "repeat" and not (kind == "same" and k)):
                matrix = random_matrix(rng, n, "general" if kind in ("same", "repeat") else kind)
            b = rng.standard_normal(n) * rng.choice([0.0, 1.0, 1e6], p=[0.2, 0.6, 0.2])
            made.append(
                (matrix, (*constrain(matrix, b, rows, rng.standard_normal(len(rows))), rows))
            )
    pairs = [pair for _, pair in made]

    def stream():
        """A matrix that stays is the same object in the same state."""
        free = np.ones(n, dtype=bool)
        free[rows] = False
        last = A = None
        for i, (matrix, (constrained, b, _)) in enumerate(made):
            A = to_petsc(constrained) if matrix is not last else A
            last = matrix
            yield System(i, A, vector(A, b), free)
            if rng.random() < 0.1:
                yield None

    with np.errstate(all="ignore"):
        found = list(solve_stream(stream(), strategy, rtol=rtol, comm=SELF, dtype=dtype))
    assert [s.id for s in found] == list(range(len(pairs)))
    for s, (A, b, fixed_rows) in zip(found, pairs, strict=True):
        if s.converged:
            x = s.x.astype(float)
            size = np.linalg.norm(np.delete(b, fixed_rows)) or 1.0
            rounding = 1e-15 * np.linalg.norm(abs(A) @ abs(x)) / size
            assert scipy_residual(A, b, fixed_rows, x) <= rtol * (1 + 1e-6) + rounding
            assert s.true_residual <= rtol
