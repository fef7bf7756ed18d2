"""Approximate nearest neighbours, near-linear: points that share a leaf of a random tree.

A tree halves the points along random directions until a leaf has at most `LEAF` of them
(Dasgupta & Freund, STOC 2008); pairs of a leaf are compared. What several trees find is refined
once by the neighbours of neighbours (Dong, Moses & Li, WWW 2011).
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.ordering.kernels import call

__all__ = ["LEAF", "neighbours"]

Points = NDArray[np.float32]

LEAF = 128
TREES = 8


def neighbours(points: Points, count: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return near neighbours of every point, nearest first, and their squared distances.

    Exact up to `LEAF` points. Equal distances are in the order of the indices. Time O(n log² n),
    memory O(n (d + count)).

    Args:
        points: Shape (n, d), on the grid of `on_grid`.
        count: Neighbours a point.

    Returns:
        Indices (n, count), −1 where there are fewer, and distances², inf there.
    """
    points = np.ascontiguousarray(points)
    n, d = points.shape
    found = np.full((n, count), -1, dtype=np.int32)
    distances = np.full((n, count), np.inf)
    rng = np.random.Generator(np.random.PCG64(0))
    for _ in range(TREES if n > LEAF else 1):
        order, bounds = _tree(points, rng)
        leaves = len(bounds) - 1
        call("compare_leaves", d, points, leaves, order, bounds, count, found, distances)
    if n > LEAF:
        call("refine", n, d, points, count, found.copy(), found, distances)
    return found, distances


def _tree(points: Points, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The points leaf by leaf, and where each leaf starts and ends.

    A level has one direction of small integers: projections are exact, and ties keep their order.
    """
    n, levels = len(points), 0
    order = np.arange(n)
    bounds = np.array([0, n])
    while n > LEAF << levels:
        direction = rng.integers(-127, 128, points.shape[1]).astype(np.float64)
        along = (points @ direction)[order]
        for start, end in zip(bounds[:-1], bounds[1:], strict=True):
            piece = slice(start, end)
            order[piece] = order[piece][np.argsort(along[piece], kind="stable")]
        levels += 1
        bounds = (n * np.arange(2**levels + 1)) >> levels
    return order, bounds
