"""A path from its shortest edges: greedy matching of fragments, near-linear.

The shortest edge that neither closes a circle nor gives a point a third edge is taken, again and
again (Bentley, ORSA J. Computing 4, 1992); candidates are the edges to near neighbours. Loose
ends are then matched among themselves in the same way, until one path is left.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.ordering.kernels import call
from pipeline.ordering.neighbours import LEAF, neighbours

__all__ = ["fragment_path"]


def fragment_path(
    points: NDArray[np.float32], near: NDArray[np.int32], distances: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return a permutation of 0 … n−1, from the end of lower index.

    Args:
        points: Shape (n, d), on the grid of `on_grid`; n > 1.
        near: Their neighbours, (n, k) as by `neighbours`.
        distances: Squared distances to them.
    """
    n = len(points)
    links, parents = np.full((n, 2), -1, dtype=np.int64), np.arange(n)
    ends, left = np.arange(n), n - 1
    while True:
        shortest = np.argsort(distances, axis=None, kind="stable")
        left -= call("take", near.size, ends, near.shape[1], near, shortest, links, parents)
        ends = np.flatnonzero(links[:, 1] < 0)
        if not left:
            path = np.empty(n, dtype=np.int64)
            call("walk", n, links, int(ends[0]), path)
            return path
        count = len(ends) - 1 if len(ends) <= LEAF else near.shape[1]
        near, distances = neighbours(points[ends], count)
