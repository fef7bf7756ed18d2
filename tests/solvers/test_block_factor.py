"""The multifrontal factors against dense solves."""

import numpy as np
import pytest
import scipy.sparse as sp
from block_problems import (
    dominant,
    lanes,
    on_structure,
    pattern_of,
    structures,
    values_on,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from solver_problems import diffusion

from solvers.block.factor import Factor
from solvers.block.library import LANES, aligned

SINGLE = 2e-5  # single precision, on well-conditioned matrices
FEW = settings(max_examples=80, deadline=None, derandomize=True)


def own(pattern, matrices, symmetric):
    """A factor of a matrix a lane."""
    factor = Factor(pattern, shared=False, symmetric=symmetric)
    values = aligned((len(pattern.idx), LANES), np.float32)
    for lane in range(LANES):
        values[:, lane] = values_on(pattern, matrices[lane % len(matrices)])
    factor.compute(values)
    return factor


def shared(pattern, matrix, symmetric):
    factor = Factor(pattern, shared=True, symmetric=symmetric)
    factor.compute(values_on(pattern, matrix).astype(np.float32))
    return factor


def solutions(pattern, factor, rights):
    """(LANES, n) solutions in the order of the free dofs."""
    x = lanes(pattern, np.float32, lambda lane: rights[lane])
    factor.solve(x)
    found = np.full((LANES, pattern.full), np.nan)
    found[:, pattern.dofs] = x.T
    return found


@FEW
@given(structures(), st.booleans(), st.booleans())
def test_random_structures(made, symmetric, one):
    """Own and shared, L D Lᵀ and L D U, isolated rows, disconnected, dense, n = 1."""
    structure, rng = made
    n = len(structure)
    structure = structure | np.eye(n, dtype=bool)
    structure |= structure.T if symmetric else False
    dense = [dominant(structure, rng, symmetric) for _ in range(LANES)]
    csr = [on_structure(structure, matrix) for matrix in dense]
    rights = rng.standard_normal((LANES, n))
    pattern = pattern_of(csr[0])
    if one:
        dense = dense[:1] * LANES
        factor = shared(pattern, csr[0], symmetric)
    else:
        factor = own(pattern, csr, symmetric)
    found = solutions(pattern, factor, rights)
    for lane in range(LANES):
        exact = np.linalg.solve(dense[lane], rights[lane])
        assert np.linalg.norm(found[lane] - exact) <= SINGLE * np.linalg.norm(exact)


@FEW
@given(structures(40), st.integers(0, 2**32 - 1))
def test_free_dofs_only(made, seed):
    """Constrained dofs are left out of the factor."""
    structure, rng = made
    n = len(structure)
    structure |= np.eye(n, dtype=bool)
    matrix = dominant(structure, rng, symmetric=False)
    free = np.random.default_rng(seed).random(n) < 0.5
    csr = on_structure(structure, matrix)
    pattern = pattern_of(csr, free)
    right = rng.standard_normal(n)
    found = solutions(pattern, own(pattern, [csr], symmetric=False), [right] * LANES)
    if free.any():
        exact = np.linalg.solve(matrix[np.ix_(free, free)], right[free])
        assert np.linalg.norm(found[3, free] - exact) <= SINGLE * np.linalg.norm(exact)
    assert np.isnan(found[:, ~free]).all()


@pytest.mark.parametrize("skew", [0.0, 0.3])
def test_plane_mesh_against_superlu(skew):
    """Fronts of all sizes: 4,900 unknowns."""
    matrices = [diffusion(70, seed=s, skew=skew) for s in range(3)]
    pattern, rng = pattern_of(matrices[0]), np.random.default_rng(0)
    right = rng.standard_normal((LANES, 4900))
    assert np.diff(pattern.supernodes.start).max() > 20
    found = solutions(pattern, own(pattern, matrices, symmetric=skew == 0), right)
    for lane in range(LANES):
        exact = sp.linalg.spsolve(matrices[lane % 3].tocsc(), right[lane])
        assert np.linalg.norm(found[lane] - exact) <= 1e-3 * np.linalg.norm(exact)
    one = shared(pattern, matrices[0], symmetric=skew == 0)
    exact = sp.linalg.spsolve(matrices[0].tocsc(), right[5])
    found = solutions(pattern, one, right)
    assert np.linalg.norm(found[5] - exact) <= 1e-3 * np.linalg.norm(exact)


@pytest.mark.parametrize("spoil", [0.0, np.nan, np.inf, 1e38])
def test_lanes_are_independent(spoil):
    """Numbers that are no good, or a singular matrix, stay in their lane, bit for bit."""
    matrix = diffusion(12, skew=0.2)
    pattern, rights = pattern_of(matrix), np.ones((LANES, 144))
    good = solutions(pattern, own(pattern, [matrix], symmetric=False), rights)
    bad = matrix.copy()
    bad.data[:] = np.float32(spoil)
    with np.errstate(all="ignore"):
        factor = own(pattern, [matrix] * 3 + [bad] + [matrix] * 12, symmetric=False)
        found = solutions(pattern, factor, rights)
    others = np.arange(LANES) != 3
    np.testing.assert_array_equal(found[others], good[others])
    assert np.isfinite(found[others]).all()


def test_compute_again():
    """Nothing of one factorisation is left in the next."""
    first, second = diffusion(12, skew=0.2), diffusion(12, seed=5, skew=0.1)
    pattern, rights = pattern_of(first), np.ones((LANES, 144))
    factor = own(pattern, [first], symmetric=False)
    values = aligned((len(pattern.idx), LANES), np.float32)
    values[:] = values_on(pattern, second)[:, None]
    factor.compute(values)
    found = solutions(pattern, factor, rights)
    fresh = solutions(pattern, own(pattern, [second], symmetric=False), rights)
    np.testing.assert_array_equal(found, fresh)
