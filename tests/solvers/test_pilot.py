"""The automatic strategy: what it picks, what it records, and that nothing is lost on the way."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from block_problems import RNG
from mpi4py import MPI
from solver_problems import diffusion, to_petsc, vector
from test_solve_stream import constrain, problems, scipy_residual, systems

from solvers import Reason, Strategy, System, solve_stream
from solvers import pilot as pilot_module
from solvers.block_chain import BlockChain
from solvers.chain import Chain

SELF = MPI.COMM_SELF
RTOL = 1e-8
NONE = np.array([], dtype=int)
LU = Strategy("preonly", "lu")


def run(pairs, evidence=None, expected_ids=None, stream=None, **options):
    """Solve with "auto"; check order and residuals; return the solutions."""
    stream = systems(pairs) if stream is None else stream
    found = list(
        solve_stream(
            stream,
            "auto",
            rtol=RTOL,
            comm=SELF,
            evidence=None if evidence is None else evidence.append,
            **options,
        )
    )
    assert [s.id for s in found] == list(range(len(pairs)))
    for s, pair in zip(found, pairs, strict=True):
        if s.converged:
            assert scipy_residual(*pair, s.x) <= RTOL * (1 + 1e-6)
    return found


@pytest.fixture
def only(monkeypatch):
    """Let the pilot try these strategies and no others."""

    def set_candidates(*strategies):
        monkeypatch.setattr(pilot_module, "candidates", lambda *_: (list(strategies), []))

    return set_candidates


@pytest.mark.parametrize("count", [1, 3, 16, 17, 50])
@pytest.mark.parametrize("skew", [0.0, 0.3])
def test_every_solution_is_verified(count, skew):
    """Streams that end in the pilot, with it, and long after it."""
    evidence = []
    found = run(list(problems(count, skew)), evidence)
    assert all(s.converged for s in found)
    assert all(s.seconds > 0 and s.iterations > 0 for s in found)
    (record,) = evidence
    assert record["systems"] == [0, min(count, 16) - 1, min(count, 16)]
    assert record["unknowns"] == 256


def test_evidence():
    """The record is plain data that says what was tried and why the winner won."""
    evidence = []
    run(list(problems(20, 0.0)), evidence, expected=1000)
    (record,) = json.loads(json.dumps(evidence, allow_nan=False))
    assert record == evidence[0]
    assert Strategy(**record["options"]).label == record["picked"]
    assert record["matrices"] == "symmetric, diagonal positive"
    trials = {t["strategy"]: t for t in record["trials"]}
    assert len(trials) == len(record["trials"]) >= 5
    best = trials[record["picked"]]
    assert best["failed"] == 0 and not best["stopped"]
    assert all(best["ms"] <= t["ms"] for t in trials.values() if not (t["failed"] or t["stopped"]))
    assert all(t["ms"] > 0 and t["once_ms"] >= 0 and t["iterations"] >= 0 for t in trials.values())


def test_stopped_and_failed_candidates_are_not_picked(only):
    """One that fails, one that is far too slow, one that does."""
    slow = Strategy("gmres", "none", restart=5)
    only(Strategy("cg", "none", max_it=2), LU, slow)
    evidence = []
    pairs = [
        (diffusion(40, contrast=2.0, skew=0.0, seed=i), np.ones(1600), NONE) for i in range(20)
    ]
    found = run(pairs, evidence)
    assert all(s.converged for s in found)
    record = evidence[0]
    assert record["picked"] == LU.label
    assert [t["failed"] > 4 for t in record["trials"][:2]] == [True, False]
    assert record["trials"][2]["stopped"]  # whatever it has failed on by then


@pytest.mark.parametrize("count", [1, 20])
def test_nothing_works(only, count):
    """All candidates fail: LU takes over, and the record says so."""
    only(Strategy("cg", "none", max_it=2), Strategy("cg", "jacobi", max_it=2))
    evidence = []
    found = run(list(problems(count, 0.0)), evidence)
    assert all(s.converged for s in found)
    assert evidence[0]["picked"] == Strategy("preonly", "lu", factor_solver="mumps").label
    assert all(t["failed"] == min(count, 16) for t in evidence[0]["trials"])
    json.dumps(evidence, allow_nan=False)


def test_failures_of_the_best_are_solved_again(only):
    """A candidate that fails on one of the pilot's systems: the ladder has that one."""
    cg = Strategy("cg", "icc", max_it=60)
    only(cg)
    pairs = list(problems(20, 0.0))
    shifted = pairs[7][0] - 0.5 * sp.identity(256)
    pairs[7] = (*constrain(shifted.tocsr(), pairs[7][1], pairs[7][2], np.zeros(29)), pairs[7][2])
    evidence = []
    found = run(pairs, evidence)
    assert evidence[0]["picked"] == cg.label
    assert evidence[0]["trials"][0]["failed"] == 1
    assert all(s.converged for s in found)
    assert [s.id for s in found if s.ladder] == [7]
    assert "direct: converged" in found[7].ladder[-1]


def test_after_the_pilot_blocks_have_all_iterations(only, monkeypatch):
    """A trial's limit of iterations ends with the trial; the ladder comes back."""
    from solvers.block.conjugate_gradients import ConjugateGradients

    only(Strategy("cg", "gamg", reuse="lagged", block=16))
    limits, solve = [], ConjugateGradients.solve
    monkeypatch.setattr(
        ConjugateGradients, "solve", lambda s, *a: (limits.append(a[-1]), solve(s, *a))[1]
    )
    pairs = list(problems(40, 0.0))
    pairs[30] = (-pairs[30][0], *pairs[30][1:])
    fixed = pairs[30][2]
    matrix = pairs[30][0].tolil()
    matrix[fixed, fixed] = 1.0
    pairs[30] = (matrix.tocsr(), *pairs[30][1:])
    found = run(pairs)
    assert limits == [100, 100, 10_000, 10_000]
    assert all(s.converged for s in found)
    assert [s.id for s in found if s.ladder] == [30]


def test_damage_in_the_pilot():
    """Bad systems among the first: no conclusion from them; the next sixteen are the pilot."""
    evidence = []
    pairs = list(problems(40, 0.0))
    bad = pairs[3][1].copy()
    bad[5] = np.nan
    pairs[3] = (pairs[3][0], bad, pairs[3][2])
    nan = pairs[9][0].copy()
    nan.data[3] = np.inf
    pairs[9] = (nan, *pairs[9][1:])
    found = run(pairs, evidence)
    reasons = {s.id: s.reason for s in found if not s.converged}
    assert reasons == {3: Reason.BAD_RHS, 9: Reason.BAD_MATRIX}
    assert [e["systems"] for e in evidence] == [[16, 31, 16]]


def test_singular_systems_in_the_pilot():
    pairs = list(problems(20, 0.0))
    zero = pairs[2][0].copy()
    zero.data[:] = 0.0
    pairs[2] = (zero, *pairs[2][1:])
    found = run(pairs)
    assert [s.id for s in found if not s.converged] == [2]


def test_patterns_change_in_the_pilot():
    pairs = list(problems(5, 0.0)) + [(diffusion(7, skew=0.0), np.ones(49), NONE)] * 3
    pairs += list(problems(20, 0.0))
    evidence = []
    assert all(s.converged for s in run(pairs, evidence))
    assert evidence


def test_none_ends_the_pilot():
    """An iterator that waits for its solutions gets them, from however few systems."""
    pairs, evidence, got = list(problems(30, 0.0)), [], []

    def stream():
        yield None
        for i, system in enumerate(systems(pairs)):
            yield system
            if i in (4, 20):
                yield None
                assert got == list(range(i + 1))
                yield None

    for s in solve_stream(stream(), "auto", rtol=RTOL, comm=SELF, evidence=evidence.append):
        assert s.converged
        assert scipy_residual(*pairs[s.id], s.x) <= RTOL
        got.append(s.id)
    assert got == list(range(30))
    assert [e["systems"] for e in evidence] == [[0, 4, 5]]


def test_a_new_pilot_when_it_becomes_slow(only, monkeypatch):
    """Three windows at more than twice the pilot's figure: candidates are tried again."""
    only(LU)
    evidence, take = [], Chain.take

    def slower(self, system):
        factor = 10.0 if 32 <= system.id < 100 else 1.0
        return [replace(s, seconds=factor * (1 + 1e-3 * s.seconds)) for s in take(self, system)]

    monkeypatch.setattr(Chain, "take", slower)
    found = run(list(problems(220, 0.0, nx=4)), evidence)
    assert all(s.converged for s in found)
    # 16 … 31 is well, three windows of 16 up to 79 are slow; the new pilot sees slow ones itself
    assert [e["systems"][:2] for e in evidence] == [[0, 15], [80, 95]]


def test_one_operator(monkeypatch):
    """The same Mat for all: known as such, factorised once by a candidate in blocks."""
    from solvers.block.factor import Factor

    calls, compute = [], Factor.compute
    monkeypatch.setattr(Factor, "compute", lambda s, v: (calls.append(s), compute(s, v))[1])
    matrix = diffusion(12, skew=0.0)
    A = to_petsc(matrix)
    rights = [RNG(i).standard_normal(144) for i in range(40)]
    stream = [System(i, A, vector(A, b), None) for i, b in enumerate(rights)]
    evidence = []
    found = run([(matrix, b, NONE) for b in rights], evidence, stream=stream)
    assert all(s.converged for s in found)
    assert evidence[0]["matrices"] == "symmetric, diagonal positive, all the same"
    assert all(factor._name == "shared" for factor in calls)
    assert len(calls) <= 2  # in the trial; once more with the stream's own Mat, if it won


def test_caller_keeps_what_is_his():
    """A and b may change as soon as the next system is pulled; free's are not destroyed."""
    pairs = list(problems(18, 0.0))
    made = list(systems(pairs))
    A, b = made[0].A, made[0].b
    run(pairs)
    assert A.getSize() == (256, 256) and b.getSize() == 256


def test_a_favourite_is_tried():
    evidence = []
    favourite = Strategy("minres", "jacobi")
    run(list(problems(16, 0.0)), evidence, favourite=favourite)
    labels = [t["strategy"] for t in evidence[0]["trials"]]
    assert labels.count(favourite.label) == 1


@pytest.mark.parallel([2])
def test_two_ranks():
    """The same choice and the same solutions on all ranks."""
    comm, evidence = MPI.COMM_WORLD, []
    for skew in (0.0, 0.3):
        pairs = list(problems(20, skew))
        serial = Strategy("preonly", "cholesky", factor_solver="petsc")
        found = list(
            solve_stream(
                systems(pairs, comm),
                "auto",
                rtol=RTOL,
                comm=comm,
                favourite=serial,
                evidence=evidence.append,
            )
        )
        for s, pair in zip(found, pairs, strict=True):
            x = np.concatenate(comm.allgather(s.x))
            assert s.converged
            assert scipy_residual(*pair, x) <= RTOL * (1 + 1e-6)
        assert len(set(comm.allgather(evidence[-1]["picked"]))) == 1
        assert any("petsc" in why for why in evidence[-1]["left out"])


def test_closing_early_releases(monkeypatch):
    """A stream that is given up in the pilot, or after it."""
    closed = []
    for kind in (Chain, BlockChain):
        close = kind.close
        monkeypatch.setattr(
            kind, "close", lambda self, close=close: (closed.append(self), close(self))[1]
        )
    stream = solve_stream(systems(list(problems(20, 0.0))), "auto", rtol=RTOL, comm=SELF)
    next(stream)
    before = len(closed)
    stream.close()
    assert len(closed) > before
