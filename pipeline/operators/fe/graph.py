"""Message kernels: who hears whom, and how loudly.

Places that share a cell hear each other. With A_ij = Σ of the volumes of the cells that hold
both, divided by its row sum, the kernels are fixed sparse matrices on these edges:

    mean        A_ij                           neighbours' average
    offset d    A_ij (x_j − x_i)_d / h         a discrete derivative along axis d
    radius      A_ij (|x_j − x_i|² / h² − 1)   near against far neighbours, a discrete Laplacian

h² = mean over i of Σ_j A_ij |x_j − x_i|². Renumbering the places permutes the kernels. For P1 the
edges are the sparsity of the mass matrix, the graph of SPON (arXiv 2410.01065).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from pipeline.operators.fe.places import adjacency

__all__ = ["message_kernels"]

Array = NDArray[np.float64]


def message_kernels(
    points: Array, cells: NDArray[np.int64], volume: Array
) -> tuple[csr_matrix, ...]:
    """Return the kernels (n, n): mean, one offset for each axis, radius.

    Args:
        points: (n, gdim).
        cells: (nc, k) points of each cell.
        volume: (nc).
    """
    n, gdim = points.shape
    shared = adjacency(cells, n, volume)
    total = np.asarray(shared.sum(axis=1)).ravel()
    mean = csr_matrix(diags(1.0 / np.maximum(total, 1e-300)) @ shared)
    edges = mean.tocoo()
    offset = points[edges.col] - points[edges.row]
    squares = (offset**2).sum(axis=1)
    h = np.sqrt(max((edges.data * squares).sum() / n, 1e-300))
    place = (edges.row, edges.col)

    def kernel(factor: Array) -> csr_matrix:
        return csr_matrix((edges.data * factor, place), shape=(n, n))

    offsets = [kernel(offset[:, d] / h) for d in range(gdim)]
    return (mean, *offsets, kernel(squares / h**2 - 1.0))
