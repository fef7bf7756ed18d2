"""Solutions that earlier ones of the same operator add up to."""

import numpy as np
import pytest
from mpi4py import MPI
from petsc4py import PETSc
from solver_problems import diffusion, to_petsc, vector

from solvers import Strategy, System, solve_stream
from solvers.span import LARGEST, Span


def few_dimensions(dimensions, count, n=400, seed=0):
    """Right-hand sides in a space of few dimensions."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, dimensions)) @ rng.standard_normal((dimensions, n))


@pytest.mark.parallel([1, 2, 3])
def test_combinations_solve_what_lies_inside():
    comm, matrix = MPI.COMM_WORLD, diffusion(20)
    right = few_dimensions(5, 12)
    own = slice(comm.rank * 400 // comm.size, (comm.rank + 1) * 400 // comm.size)
    exact = np.linalg.solve(matrix.toarray(), right.T)
    span = Span(comm, own.stop - own.start)
    assert not span.combine(right.T[own]).any()
    span.learn(right[:8].T[own], exact[own, :8])
    span.learn(right[:3].T[own], exact[own, :3])  # nothing new
    assert not span.full
    np.testing.assert_allclose(span.combine(right.T[own]), exact[own], rtol=1e-7)


def test_it_is_full_in_the_end():
    """More dimensions than there is room for: what is kept is right, the rest is projected."""
    right = few_dimensions(60, 80)
    span = Span(MPI.COMM_SELF, 400)
    for start in range(0, 80, 16):
        columns = right[start : start + 16].T
        span.learn(columns, 2.0 * columns)
    assert span.full
    np.testing.assert_allclose(span.combine(right[:LARGEST].T), 2.0 * right[:LARGEST].T, rtol=1e-8)
    assert np.linalg.norm(span.combine(right[-1:].T)) < 1.9 * np.linalg.norm(right[-1])


@pytest.mark.parametrize(
    "strategy",
    [
        Strategy("preonly", "lu", factor_solver="petsc", guess="superposition"),
        Strategy("preonly", "lu", block=16),
    ],
    ids=lambda s: s.label,
)
@pytest.mark.parametrize("dimensions", [3, 60])
def test_it_serves_streams_with_one_operator(strategy, dimensions):
    """Right-hand sides of few dimensions need no solve in the end; of many, each needs one."""
    matrix = diffusion(20)
    A = to_petsc(matrix)
    right = few_dimensions(dimensions, 96)
    stream = (System(i, A, vector(A, b)) for i, b in enumerate(right))
    found = list(solve_stream(stream, strategy, rtol=1e-8, comm=MPI.COMM_SELF))
    for b, s in zip(right, found, strict=True):
        assert np.linalg.norm(matrix @ s.x - b) <= 1e-8 * np.linalg.norm(b)
    solves = [s.iterations for s in found[64:]]
    if strategy.block > 1:
        assert any(solves) == (dimensions > LARGEST)


def test_another_operator_starts_anew():
    """Each operator is solved with as long as its space grows, and no longer."""
    matrices = [diffusion(20), diffusion(20, seed=1)]
    operators = [to_petsc(m) for m in matrices]
    strategy = Strategy("preonly", "lu", factor_solver="petsc", guess="superposition")
    right = few_dimensions(2, 16)
    stream = (System(i, operators[i // 8], vector(operators[0], b)) for i, b in enumerate(right))
    solves = PETSc.Log.Event("MatSolve")
    PETSc.Log.begin()
    before = solves.getPerfInfo()["count"]
    for i, s in enumerate(solve_stream(stream, strategy, rtol=1e-8, comm=MPI.COMM_SELF)):
        assert np.linalg.norm(matrices[i // 8] @ s.x - right[i]) <= 1e-8 * np.linalg.norm(right[i])
    assert solves.getPerfInfo()["count"] - before == 4
