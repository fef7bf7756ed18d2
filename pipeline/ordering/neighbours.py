"""Approximate nearest neighbours, near-linear: points that share a leaf of a random tree.

A tree halves the points along random directions until a leaf has at most `LEAF` of them
(Dasgupta & Freund, STOC 2008); pairs of a leaf are compared. What several trees find is refined
once by the neighbours of neighbours (Dong, Moses & Li, WWW 2011).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.ordering.kernels import compiled, squared

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
    n = len(points)
    found = np.full((n, count), -1, dtype=np.int32)
    distances = np.full((n, count), np.inf)
    rng = np.random.Generator(np.random.PCG64(0))
    for _ in range(TREES if n > LEAF else 1):
        order, bounds = _tree(points, rng)
        _compare_leaves(points, order, bounds, found, distances)
    if n > LEAF:
        _refine(points, found, distances)
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


@compiled
def _offer(found: Any, distances: Any, a: int, b: int, distance: float) -> None:
    """Put b among the neighbours of a if it is near enough and not yet there."""
    k = found.shape[1]
    while k > 0 and (distance, b) < (distances[a, k - 1], found[a, k - 1]):
        k -= 1
    if k == found.shape[1] or (k > 0 and found[a, k - 1] == b):
        return
    for m in range(found.shape[1] - 1, k, -1):
        found[a, m], distances[a, m] = found[a, m - 1], distances[a, m - 1]
    found[a, k], distances[a, k] = b, distance


@compiled
def _compare_leaves(points: Any, order: Any, bounds: Any, found: Any, distances: Any) -> None:
    for leaf in range(len(bounds) - 1):
        for i in range(bounds[leaf], bounds[leaf + 1]):
            for j in range(bounds[leaf], i):
                a, b = order[i], order[j]
                distance = squared(points, a, b)
                _offer(found, distances, a, b, distance)
                _offer(found, distances, b, a, distance)


@compiled
def _refine(points: Any, found: Any, distances: Any) -> None:
    """Offer every point the neighbours that its neighbours had before."""
    before = found.copy()
    for a in range(len(before)):
        for b in before[a]:
            if b >= 0:
                for c in before[b]:
                    if c >= 0 and c != a:
                        distance = squared(points, a, c)
                        _offer(found, distances, a, c, distance)
                        _offer(found, distances, c, a, distance)
