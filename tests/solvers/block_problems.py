"""Patterns, matrices and blocks for the tests of `solvers.block`."""

import meshes  # noqa: F401, I001 - the order of imports
import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st

from solvers.block.block import Block
from solvers.block.library import LANES, aligned
from solvers.block.pattern import Pattern

RNG = np.random.default_rng


def pattern_of(matrix, free=None):
    """The Pattern of a SciPy matrix."""
    matrix = sp.csr_matrix(matrix)
    return Pattern(matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), free)


def block_of(pairs, rtol=1e-10, free=None):
    """A block that holds (matrix, b) pairs over one pattern."""
    block = Block(pattern_of(pairs[0][0], free))
    last = None
    for matrix, b in pairs:
        norm = np.linalg.norm(b if free is None else b[free]) or 1.0
        block.put(None if matrix is last else sp.csr_matrix(matrix).data, b, norm, rtol)
        last = matrix
    block.interleave()
    return block


def lanes(pattern, dtype, make):
    """(n, LANES) numbers in the pattern's order: `make(lane)` in the order of the full system."""
    found = aligned((pattern.n, LANES), dtype)
    for lane in range(LANES):
        found[:, lane] = make(lane)[pattern.dofs]
    return found


def values_on(pattern, matrix):
    """Values of a matrix on the entries of the pattern."""
    return np.append(matrix.data, 0.0)[pattern.take]


@st.composite
def structures(draw, largest=60):
    """A boolean matrix: random, banded, dense, disconnected, with isolated rows or an arrow."""
    n = draw(st.integers(1, largest))
    rng = RNG(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["random", "banded", "dense", "disconnected", "diagonal", "arrow"]))
    if kind == "dense":
        found = np.ones((n, n), dtype=bool)
    elif kind == "banded":
        found = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= draw(st.integers(1, 4))
    elif kind == "arrow":
        found = np.eye(n, dtype=bool)
        found[:, 0] = found[0, :] = True
    else:
        found = rng.random((n, n)) < draw(st.sampled_from([0.02, 0.1, 0.3]))
        if kind == "disconnected":
            half = n // 2
            found[half:, :half] = found[:half, half:] = False
        if kind == "diagonal":
            found[:] = False
    if draw(st.booleans()):
        found |= found.T
    for i in rng.integers(0, n, draw(st.integers(0, 2))):  # rows without any entry but one
        found[i, :] = found[:, i] = False
    found |= np.diag(rng.random(n) < draw(st.sampled_from([0.5, 1.0])))
    return found, rng


def dominant(structure, rng, symmetric):
    """A well-conditioned matrix with this structure, and a full diagonal."""
    n = len(structure)
    matrix = np.where(structure, rng.uniform(-1.0, 1.0, (n, n)), 0.0)
    if symmetric:
        matrix = 0.5 * (matrix + matrix.T)
    signs = rng.choice([-1.0, 1.0], n)
    size = np.maximum(np.abs(matrix).sum(axis=0), np.abs(matrix).sum(axis=1))
    np.fill_diagonal(matrix, signs * (size + rng.uniform(0.5, 2.0, n)))
    return matrix


def on_structure(structure, matrix):
    """A CSR matrix with explicit entries wherever the structure has them."""
    rows, columns = np.nonzero(structure)
    n = len(structure)
    found = sp.csr_matrix((matrix[rows, columns], (rows, columns)), shape=(n, n))
    found.sort_indices()
    return found
