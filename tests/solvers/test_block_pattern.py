"""The symbolic factorisation against dense elimination and SciPy's own."""

import numpy as np
import pytest
import scipy.sparse as sp
from block_problems import pattern_of, structures, values_on
from hypothesis import given, settings
from hypothesis import strategies as st
from solver_problems import diffusion

from solvers.block.factor import Factor
from solvers.block.library import LANES, call
from solvers.block.pattern import Pattern

FEW = settings(max_examples=60, deadline=None, derandomize=True)


def eliminated(union):
    """The lower triangle of the factor's structure, by elimination on booleans."""
    found = np.tril(union | union.T | np.eye(len(union), dtype=bool))
    for k in range(len(found)):
        below = np.flatnonzero(found[k + 1 :, k]) + k + 1
        for i in below:
            found[i, below[below <= i]] = True
    return found


def fronts(pattern):
    """The structure that the supernodes hold, as a boolean lower triangle."""
    s = pattern.supernodes
    found = np.zeros((pattern.n, pattern.n), dtype=bool)
    for k in range(len(s.parent)):
        rows = s.rows[s.rowptr[k] : s.rowptr[k + 1]]
        for j in range(s.start[k], s.start[k + 1]):
            found[rows[rows >= j], j] = True
    return found


def permuted(pattern):
    """The symmetric structure in the pattern's order, from its CSR arrays."""
    data = np.ones(len(pattern.idx), dtype=bool)
    return sp.csr_matrix((data, pattern.idx, pattern.ptr), shape=(pattern.n,) * 2).toarray()


@FEW
@given(structures())
def test_fronts_hold_the_factor(made):
    """Supernodes hold all of the eliminated structure, and little besides."""
    structure, _ = made
    pattern = pattern_of(sp.csr_matrix(structure.astype(float)))
    union = structure | structure.T | np.eye(len(structure), dtype=bool)
    order = pattern.dofs
    assert sorted(order) == list(range(len(structure)))
    np.testing.assert_array_equal(permuted(pattern), union[np.ix_(order, order)])
    exact, held = eliminated(union[np.ix_(order, order)]), fronts(pattern)
    assert not (exact & ~held).any()
    s = pattern.supernodes
    assert s.lptr[-1] == (np.diff(s.rowptr) * np.diff(s.start)).sum()
    assert s.front == (np.diff(s.rowptr) ** 2).max()


@FEW
@given(structures())
def test_supernodes_are_a_postordered_tree(made):
    structure, _ = made
    pattern = pattern_of(sp.csr_matrix(structure.astype(float)))
    s, exact = pattern.supernodes, eliminated(permuted(pattern))
    ns = len(s.parent)
    assert s.start[0] == 0 and s.start[-1] == pattern.n and (np.diff(s.start) > 0).all()
    for k in range(ns):
        rows = s.rows[s.rowptr[k] : s.rowptr[k + 1]]
        w = s.start[k + 1] - s.start[k]
        np.testing.assert_array_equal(rows[:w], np.arange(s.start[k], s.start[k + 1]))
        assert (np.diff(rows) > 0).all()
        if len(rows) == w:
            assert s.parent[k] == -1
            continue
        above = s.parent[k]
        assert s.start[above] <= rows[w] < s.start[above + 1]
        his = s.rows[s.rowptr[above] : s.rowptr[above + 1]]
        relative = s.relative[s.rowptr[k] + w : s.rowptr[k + 1]]
        np.testing.assert_array_equal(his[relative], rows[w:])
    waiting = []  # every update is taken by the next front that wants one: a stack will do
    for k, above in enumerate(s.parent):
        while waiting and s.parent[waiting[-1]] == k:
            waiting.pop()
        assert k not in s.parent[waiting]
        if above >= 0:
            waiting.append(k)
    assert not waiting
    # entries of the lower triangle, each once, in the columns of their supernode
    assert s.entry[-1] == len(s.source) == np.tril(permuted(pattern)).sum()
    rows = np.repeat(np.arange(pattern.n), np.diff(pattern.ptr))
    np.testing.assert_array_equal(rows[s.source], pattern.idx[s.mirror])
    np.testing.assert_array_equal(pattern.idx[s.source], rows[s.mirror])
    assert exact.sum() <= s.lptr[-1]


@FEW
@given(structures())
def test_elimination_tree(made):
    """parent[j] is the first row below the diagonal of column j; counts are exact; a postorder."""
    structure, rng = made
    union = structure | structure.T | np.eye(len(structure), dtype=bool)
    n = len(union)
    csr = sp.csr_matrix(union)
    ptr, idx = csr.indptr.astype(np.int32), csr.indices.astype(np.int32)
    parent, post = np.empty(n, np.int32), np.empty(n, np.int32)
    call("etree", n, ptr, idx, parent)
    call("postorder", n, parent, post)
    exact = eliminated(union)
    for j in range(n):
        below = np.flatnonzero(exact[j + 1 :, j])
        assert parent[j] == (below[0] + j + 1 if len(below) else -1)
    place = np.empty(n, int)
    place[post] = np.arange(n)
    assert sorted(post) == list(range(n))
    assert all(place[j] < place[parent[j]] for j in range(n) if parent[j] >= 0)
    sizes = np.ones(n, int)  # a subtree is contiguous and ends with its root
    for j in range(n):
        if parent[j] >= 0:
            sizes[parent[j]] += sizes[j]
    for j in range(n):
        inside = post[place[j] - sizes[j] + 1 : place[j] + 1]
        for i in inside:
            while i != j:
                i = parent[i]
                assert i >= 0
    count = np.empty(n, np.int32)
    ordered = sp.csr_matrix(union[np.ix_(post, post)])
    ptr, idx = ordered.indptr.astype(np.int32), ordered.indices.astype(np.int32)
    call("etree", n, ptr, idx, parent)
    call("column_counts", n, ptr, idx, parent, count)
    np.testing.assert_array_equal(count, eliminated(ordered.toarray()).sum(axis=0))


@FEW
@given(structures(30), st.integers(0, 2**32 - 1))
def test_entries_find_their_places(made, seed):
    """`take` carries CSR values over, free rows only, with zeros where the matrix has no entry."""
    structure, rng = made
    matrix = sp.csr_matrix(np.where(structure, 1.0 + rng.random(structure.shape), 0.0))
    free = np.random.default_rng(seed).random(len(structure)) < 0.6
    pattern = pattern_of(matrix, free)
    np.testing.assert_array_equal(np.sort(pattern.dofs), np.flatnonzero(free))
    values = values_on(pattern, matrix)
    made = sp.csr_matrix((values, pattern.idx, pattern.ptr), shape=(pattern.n,) * 2).toarray()
    np.testing.assert_array_equal(made, matrix.toarray()[np.ix_(pattern.dofs, pattern.dofs)])
    diagonal = matrix.toarray()[pattern.dofs, pattern.dofs]
    np.testing.assert_array_equal(values[pattern.diagonal], diagonal)


def test_against_superlu():
    """A plane mesh: no fewer entries than SuperLU keeps in the same order, at most 1.4 times."""
    matrix = diffusion(40, skew=0.0)
    pattern = pattern_of(matrix)
    ordered = matrix[pattern.dofs][:, pattern.dofs].tocsc()
    lu = sp.linalg.splu(
        ordered, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    held = fronts(pattern)
    rows, columns = lu.L.nonzero()
    assert held[rows, columns].all()
    w, m = np.diff(pattern.supernodes.start), np.diff(pattern.supernodes.rowptr)
    lower = (w * m - w * (w - 1) // 2).sum()
    assert lu.L.nnz <= lower <= 1.4 * lu.L.nnz
    assert 0.5 * lu.L.nnz <= pattern.supernodes.operations


@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiny_patterns(n):
    pattern = pattern_of(sp.identity(3).tocsr(), np.arange(3) < n)
    assert pattern.n == n == len(pattern.supernodes.parent)
    assert pattern.supernodes.operations <= n


def test_fits_is_exact():
    A, free = sp.identity(4).tocsr(), np.array([True, True, False, True])
    pattern = pattern_of(A, free)
    assert pattern.fits(A.indptr, A.indices, free.copy())
    free[1] = False  # the pattern has its own copy
    assert not pattern.fits(A.indptr, A.indices, free)
    assert not pattern.fits(A.indptr, A.indices, None)
    assert not pattern_of(A).fits(A.indptr, A.indices, ~free)
    other = sp.csr_matrix(([1.0] * 4, [1, 1, 2, 3], A.indptr))
    assert pattern_of(A).fits(A.indptr, A.indices, None)
    assert not pattern_of(A).fits(other.indptr, other.indices, None)


def saddle_error(seed, ordered):
    """The error of one solve with a factor in single precision; NaN where a pivot was zero."""
    rng = np.random.default_rng(seed)
    n, m = 60, 25
    B = sp.random(m, n, density=0.08, random_state=rng, format="csr")
    B = B + sp.csr_matrix((np.ones(m), (np.arange(m), np.arange(m) * 2)), shape=(m, n))
    A = sp.block_array([[sp.diags(rng.uniform(1, 2, n)), B.T], [B, None]], format="csr")
    A = (A + 0 * sp.identity(n + m)).tocsr()
    order = rng.permutation(n + m)
    A = A[order][:, order].tocsr()
    pattern = Pattern(A.indptr, A.indices, None, A.data if ordered else None)
    factor = Factor(pattern, shared=True)
    factor.compute(np.append(A.data, 0.0)[pattern.take].astype(np.float32))
    x = np.linspace(1, 2, n + m)[pattern.dofs]
    z = np.repeat((A @ np.linspace(1, 2, n + m))[pattern.dofs, None], LANES, 1)
    z = np.ascontiguousarray(z, dtype=np.float32)
    factor.solve(z)
    return np.abs(z[:, 0] - x).max()


def test_saddle_points_factorise_without_pivoting():
    """A zero diagonal that follows a neighbour of its own has a pivot; else most have none.

    A pivot may still be small by chance, and the processor's rounding decides how small: that
    lane goes to the ladder.
    """
    assert sum(saddle_error(seed, ordered=True) < 1e-2 for seed in range(16)) >= 13
    assert sum(np.isnan(saddle_error(seed, ordered=False)) for seed in range(16)) >= 11
