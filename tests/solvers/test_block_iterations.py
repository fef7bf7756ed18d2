"""Conjugate gradients and refinement on a block: accuracy, and lanes that don't meet."""

import numpy as np
import pytest
import scipy.sparse as sp
from block_problems import block_of
from solver_problems import diffusion

from solvers.block.library import LANES
from solvers.block.method import BlockMethod
from solvers.strategy import Strategy

RNG = np.random.default_rng
DIRECT = Strategy("preonly", "lu", block=16)
CG = [
    Strategy("cg", pc, reuse=reuse, scaling=scaling, block=16)
    for pc in ("cholesky", "gamg")
    for reuse, scaling in (("frozen", "none"), ("lagged", "diagonal"))
]
EVERY = pytest.mark.parametrize("strategy", [DIRECT, *CG], ids=lambda s: s.label)


def solved(pairs, strategy, rtol=1e-10):
    """(outcome, solutions, true relative residuals by SciPy)."""
    block = block_of(pairs, rtol)
    with np.errstate(all="ignore"):
        outcome = BlockMethod(strategy, block).solve()
        found = block.solutions()
    rho = [
        np.linalg.norm(A @ x - b) / (np.linalg.norm(b) or 1.0)
        for (A, b), x in zip(pairs, found, strict=False)
    ]
    norms = outcome.norms * block.units[1]
    for (A, b), x, norm, r in zip(pairs, found, norms, rho, strict=False):
        size = np.linalg.norm(b) or 1.0
        rounding = 1e-14 * np.linalg.norm(abs(A) @ np.abs(x)) / size
        assert not np.isfinite(norm + r) or norm / size == pytest.approx(r, rel=1e-6, abs=rounding)
    return outcome, found, np.array(rho)


def similar(count=LANES, nx=14):
    """Pairs (A, b) with operators that are near each other, each b its own."""
    return [
        (diffusion(nx, contrast=0.6 + 0.01 * i, skew=0.0), RNG(i).standard_normal(nx * nx))
        for i in range(count)
    ]


@EVERY
@pytest.mark.parametrize("rtol", [1e-3, 1e-8, 1e-12])
def test_double_accuracy(strategy, rtol):
    """Single precision inside, the targets of double outside; each lane has its own."""
    pairs = similar()
    _, _, rho = solved(pairs, strategy, rtol)
    assert (rho <= rtol).all()
    # an easy target is not overshot by orders of magnitude
    assert strategy.direct or rtol < 1e-3 or rho.max() > 1e-6


@EVERY
@pytest.mark.parametrize("count", [1, 5])
def test_fewer_than_lanes(strategy, count):
    _, _, rho = solved(similar(count), strategy)
    assert (rho <= 1e-10).all()


def bad_systems(n):
    """What one lane may hold: (A, b) by name."""
    good, b = diffusion(14, contrast=0.6, skew=0.0), np.ones(n)
    nan, singular = good.copy(), good.copy()
    nan.data[50] = np.nan
    singular.data[:] = 0.0
    wild = good.copy()
    wild.data *= 10.0 ** RNG(3).integers(-30, 30, wild.nnz)
    return {
        "indefinite": (-good, b),
        "shifted": ((good - 0.3 * sp.identity(n)).tocsr(), b),
        "nan": (nan, b),
        "nan b": (good, b * np.nan),
        "zero": (singular, b),
        "zero b": (good, 0 * b),
        "zero, zero b": (singular, 0 * b),
        "1e30": (good * 1e30, b),
        "1e-30": (good * 1e-30, b),
        "b 1e30": (good, b * 1e30),
        "b 1e-30": (good, b * 1e-30),
        "wild": (wild, b),
    }


@EVERY
@pytest.mark.parametrize("name", bad_systems(196))
def test_one_lane_leaves_the_others_alone(strategy, name):
    """What is in lane 5 changes the other solutions by less than what they are asked for."""
    pairs = similar()
    _, good, _ = solved(pairs, strategy)
    pairs[5] = bad_systems(196)[name]
    outcome, found, rho = solved(pairs, strategy)
    others = np.arange(LANES) != 5
    if name != "wild" or strategy.direct:  # that one may spoil the mean
        assert (rho[others] <= 1e-10).all()
    if strategy.direct:
        np.testing.assert_array_equal(found[others], good[others])
    if name in ("zero b", "1e30", "1e-30", "b 1e30", "b 1e-30", "zero, zero b"):
        assert rho[5] <= 1e-10
    if name in ("indefinite", "zero"):
        assert strategy.direct or not outcome.norms[5] <= 1e-10


def test_lanes_with_one_preconditioner_are_independent():
    """CG with a preconditioner from before: the others' solutions are the same, bit for bit."""
    pairs = similar()
    block = block_of(pairs)
    method = BlockMethod(CG[0], block)
    method.solve()

    def again(lane5):
        block.clear()
        for lane, (A, b) in enumerate(pairs):
            A, b = lane5 if lane == 5 else (A, b)
            block.put(A.data, b, float(np.linalg.norm(b)) or 1.0, 1e-10)
        block.interleave()
        with np.errstate(all="ignore"):
            outcome = method.solve()
        return outcome, block.solutions()

    others = np.arange(LANES) != 5
    zero = (pairs[5][0], np.zeros(196))
    _, expected = again(zero)
    for name in ("indefinite", "nan", "nan b", "zero", "zero, zero b"):
        outcome, found = again(bad_systems(196)[name])
        np.testing.assert_array_equal(found[others], expected[others], err_msg=name)
        assert outcome.indefinite[5] == (name in ("indefinite", "zero"))
        assert not outcome.indefinite[others].any()


def test_lanes_wait_for_slow_ones():
    """A lane that is done at once stays well while another takes many steps: no underflow."""
    n = 196
    slow = diffusion(14, contrast=2.5, skew=0.0)
    easy = slow.copy()
    easy.data[:] = 0.0
    easy.setdiag(1.0)
    pairs = [(easy, np.ones(n)), (slow, RNG(0).standard_normal(n))] * 8
    strategy = Strategy("cg", "cholesky", reuse="frozen", block=16)
    block = block_of(pairs)
    method = BlockMethod(strategy, block)
    method.solve()
    block.x[:] = 0.0
    outcome = method.solve()
    assert (outcome.norms <= block.target).all()
    assert not outcome.indefinite.any()


@pytest.mark.parametrize("strategy", CG, ids=lambda s: s.label)
def test_indefinite_lanes_stay_out_of_the_mean(strategy):
    """Half of the lanes are negative definite: the others' preconditioner is made without them."""
    pairs = [(A if i % 2 else -A, b) for i, (A, b) in enumerate(similar())]
    _, _, rho = solved(pairs, strategy)
    assert (rho[1::2] <= 1e-10).all()


def test_iteration_limit():
    pairs = similar()
    strategy = Strategy("cg", "gamg", reuse="frozen", block=16, max_it=2)
    outcome, _, rho = solved(pairs, strategy)
    assert (rho > 1e-10).all()
    assert outcome.iterations.max() <= 4  # a product for each residual is counted too


def test_a_hopeless_lane_is_given_up():
    """A nonsymmetric lane, on which CG wanders: not for ten thousand iterations."""
    pairs = similar()
    pairs[3] = (diffusion(14, seed=4, contrast=1.5, skew=0.9), np.ones(196))
    outcome, _, rho = solved(pairs, CG[1])
    assert (np.delete(rho, 3) <= 1e-10).all()
    assert outcome.iterations[3] < 600


def conditioned(n, cond, rng):
    """A symmetric indefinite matrix with a full pattern and this condition number."""
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    values = np.geomspace(1.0, 1.0 / cond, n)
    return sp.csr_matrix(Q * values @ Q.T)


@pytest.mark.parametrize("exponent", [2, 4, 6, 7, 8, 9])
def test_refinement_of_ill_conditioned_systems(exponent):
    """Refinement, and GCR where that doesn't contract: as far as it goes, and no false claim."""
    rng = RNG(exponent)
    pairs = [(conditioned(60, 10.0**exponent, rng), rng.standard_normal(60)) for _ in range(LANES)]
    outcome, _, rho = solved(pairs, DIRECT, 1e-8)
    if exponent <= 7:  # condition × single precision's 6e-8 is still about 1
        assert (rho <= 1e-8).mean() >= (1.0 if exponent <= 6 else 0.5), rho
    assert (rho <= 1.0 + 1e-6).all()
    assert outcome.iterations.max() <= 25
    if exponent == 2:
        assert outcome.iterations.max() <= 3


def test_gcr_helps_where_refinement_stalls(monkeypatch):
    from solvers.block import refinement

    rng = RNG(1)
    pairs = [(conditioned(60, 3e7, rng), rng.standard_normal(60)) for _ in range(LANES)]
    _, _, rho = solved(pairs, DIRECT, 1e-8)
    monkeypatch.setattr(refinement, "DIRECTIONS", 0)
    _, _, without = solved(pairs, DIRECT, 1e-8)
    assert (rho <= 1e-8).sum() > (without <= 1e-8).sum()


def test_one_operator_is_factorised_once(monkeypatch):
    """A uniform block's factor serves until an operator comes that is another one."""
    from solvers.block.factor import Factor

    calls = []
    compute = Factor.compute
    monkeypatch.setattr(Factor, "compute", lambda s, v: (calls.append(s), compute(s, v))[1])
    A, B = diffusion(14, skew=0.0), diffusion(14, seed=1, skew=0.2)
    rights = [RNG(i).standard_normal(196) for i in range(LANES)]
    block = block_of([(A, b) for b in rights])
    method = BlockMethod(DIRECT, block)
    expected = [(A, 1), (A, 1), (B, 2), (A, 3)]
    for k, (matrix, count) in enumerate(expected):
        if k:
            block.clear()
            for lane, b in enumerate(rights):
                same = lane or matrix is expected[k - 1][0]
                block.put(None if same else matrix.data, b, float(np.linalg.norm(b)), 1e-10)
            block.interleave()
        assert block.uniform
        outcome = method.solve()
        assert len(calls) == count
        assert (outcome.norms <= block.target).all()
        for b, x in zip(rights, block.solutions(), strict=True):
            assert np.linalg.norm(matrix @ x - b) <= 1e-10 * np.linalg.norm(b)
