"""A few numbers that stand for a sparse matrix: distances between them are those of the entries.

The count sketch (Charikar, Chen, Farach-Colton, Theor. Comput. Sci. 312 (2004) 3): each place
(i, j) has a random sign and one of d buckets, and a bucket is the signed sum of its entries. The
map is linear, so for matrices of any sparsity patterns, absent entries counting as zero,
E‖s(A) − s(B)‖² = ‖A − B‖_F² with a standard deviation of at most √(2/d) of that: 6 % of the
distance for d = 128. Entries are never held for more than one matrix.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

BUCKETS = 128


def sketch(matrix: sp.csr_array | NDArray[np.float64], buckets: int = BUCKETS) -> NDArray:
    """Return the count sketch of a matrix or of dense right-hand sides. Not collective.

    Args:
        matrix: (n, m) CSR, or a dense array of one or two axes.
        buckets: d, the length of the sketch.

    Returns:
        (d,); the same on every machine. Finite, if clipped, for finite entries.
    """
    if isinstance(matrix, np.ndarray):
        values = matrix.ravel()
        places = np.arange(values.size, dtype=np.uint64)
    else:
        rows = np.repeat(np.arange(matrix.shape[0], dtype=np.uint64), np.diff(matrix.indptr))
        places = rows * np.uint64(matrix.shape[1]) + matrix.indices.astype(np.uint64)
        values = matrix.data
    hashes = _mixed(places)
    signs = np.where(hashes >> np.uint64(63), 1.0, -1.0)
    bucket = (hashes % np.uint64(buckets)).astype(np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(np.bincount(bucket, weights=signs * values, minlength=buckets))


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), a bijection that scatters."""
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
