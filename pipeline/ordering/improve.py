"""Local improvement of a path: 2-opt and Or-opt moves to near neighbours.

A point's move is looked at only if it brings the point next to one of its near neighbours, and
again only after an edge of its own has changed (Bentley, ORSA J. Computing 4, 1992); in the end all
are looked at once more. A move turns or carries a bounded number of points (`REACH` in improve.c),
so that it costs O(1) in the number of points.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.ordering.kernels import call

__all__ = ["improve"]

MOVES = 4
"""At most this many moves a point, a bound that is not met in practice."""


def improve(
    points: NDArray[np.float32], path: NDArray[np.int64], near: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Return a path that is no longer, by moves until none of them helps.

    Args:
        points: Shape (n, d), on the grid of `on_grid`.
        path: A permutation of 0 … n−1.
        near: Near neighbours, (n, k) as by `neighbours`.
    """
    points, near = np.ascontiguousarray(points), np.ascontiguousarray(near)
    (n, d), count = points.shape, near.shape[1]
    better, places = path.copy(), np.empty_like(path)
    places[path] = np.arange(n)
    left = MOVES * n
    while left > 0:
        queue, waiting = better.copy(), np.ones(n, dtype=np.int8)
        moves = call("sweep", n, d, points, count, near, better, places, left, queue, waiting)
        if not moves:
            break
        left -= moves
    return better
