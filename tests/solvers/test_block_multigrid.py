"""The multigrid cycle as an operator: symmetric, positive definite, contracting."""

import numpy as np
import pytest
import scipy.sparse as sp
from block_problems import lanes, pattern_of, values_on
from solver_problems import diffusion

from solvers.block import multigrid
from solvers.block.library import LANES
from solvers.block.multigrid import Multigrid

RNG = np.random.default_rng


def bilinear(nx):
    """Bilinear interpolation from an nx × nx grid of inner points to 2 nx + 1 squared."""
    line = sp.lil_matrix((2 * nx + 1, nx))
    for j in range(nx):
        line[2 * j, j] = line[2 * j + 2, j] = 0.5
        line[2 * j + 1, j] = 1.0
    return sp.kron(line, line).tocsr()


def cycle(pattern, made, vectors):
    """(LANES, n) images of vectors over the free dofs, in the full order."""
    x = lanes(pattern, np.float32, lambda lane: vectors[lane])
    made.solve(x)
    found = np.zeros((LANES, pattern.full))
    found[:, pattern.dofs] = x.T
    return found.astype(float)


def made_for(matrix, prolongations=(), free=None):
    pattern = pattern_of(matrix, free)
    made = Multigrid(pattern, prolongations)
    made.compute(values_on(pattern, matrix).astype(np.float32))
    return pattern, made


@pytest.fixture(params=["geometric", "algebraic", "constrained", "small"])
def case(request, monkeypatch):
    """A matrix of an elliptic problem, its cycle, a bound on what that leaves of an error."""
    if request.param == "small":  # the factor alone
        matrix = diffusion(20, skew=0.0)
        return (matrix, None, *made_for(matrix)), 1e-5
    monkeypatch.setattr(multigrid, "COARSEST", 50)
    nx = 31
    matrix = diffusion(nx, contrast=0.2, skew=0.0)
    if request.param == "algebraic":
        return (matrix, None, *made_for(matrix)), 0.55
    free = None
    if request.param == "constrained":
        free = RNG(1).random(nx * nx) > 0.1
    made = made_for(matrix, [bilinear(15), bilinear(7), bilinear(3)], free)
    return (matrix, free, *made), 0.3 if free is None else 0.7


def test_symmetric_positive_definite(case):
    """xᵀ M y = yᵀ M x and xᵀ M x > 0, to single precision."""
    (matrix, free, pattern, made), _ = case
    X = RNG(2).standard_normal((LANES, matrix.shape[0]))
    X *= 1.0 if free is None else free
    MX = cycle(pattern, made, X)
    gram = X @ MX.T
    size = np.linalg.norm(X, axis=1)[:, None] * np.linalg.norm(MX, axis=1)
    assert (np.abs(gram - gram.T) <= 1e-6 * np.maximum(size, size.T)).all()
    assert np.linalg.eigvalsh(0.5 * (gram + gram.T)).min() > 0


def test_contracts(case):
    """The error of x ← x + M (b − A x) falls each time, in the energy norm."""
    (matrix, free, pattern, made), bound = case
    kept = np.ones(matrix.shape[0], dtype=bool) if free is None else free
    A = matrix.multiply(np.outer(kept, kept)).tocsr()
    X = RNG(3).standard_normal((LANES, matrix.shape[0])) * kept
    energy = [np.sqrt(np.einsum("ij,ij->i", X, (A @ X.T).T))]
    for _ in range(1 if bound < 1e-3 else 4):  # the error itself: b = 0
        X = X - cycle(pattern, made, (A @ X.T).T)
        energy.append(np.sqrt(np.einsum("ij,ij->i", X, (A @ X.T).T)))
    ratios = np.array(energy[1:]) / np.array(energy[:-1])
    assert ratios.max() < bound, ratios.max(axis=1)


def test_lanes_are_independent(case):
    (matrix, free, pattern, made), _ = case
    X = RNG(4).standard_normal((LANES, matrix.shape[0]))
    good = cycle(pattern, made, X)
    X[5], X[6] = np.nan, 1e38
    others = ~np.isin(np.arange(LANES), (5, 6))
    np.testing.assert_array_equal(cycle(pattern, made, X)[others], good[others])


def test_another_size_takes_aggregation():
    """Prolongations that were made for other systems are left alone."""
    matrix = diffusion(15, skew=0.0)
    pattern, made = made_for(matrix, [bilinear(3)])
    X = RNG(5).standard_normal((LANES, 225))
    expected = np.linalg.solve(matrix.toarray(), X.T).T
    np.testing.assert_allclose(cycle(pattern, made, X), expected, rtol=1e-3, atol=1e-4)
