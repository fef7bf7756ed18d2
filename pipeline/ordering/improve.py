"""Local improvement of a path: 2-opt and Or-opt moves to near neighbours.

A point's move is looked at only if it brings the point next to one of its near neighbours, and
again only after an edge of its own has changed (Bentley, ORSA J. Computing 4, 1992); in the end all
are looked at once more. A move turns or carries at most `REACH` points, so that it costs O(1) in
the number of points.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.ordering.kernels import compiled, squared

__all__ = ["improve"]

REACH = 1000
SEGMENT = 3
MOVES = 4
"""At most this many moves a point, a bound that is not met in practice."""
LEAST = 1e-9
"""Gains below this share of the edges are rounding."""


def improve(
    points: NDArray[np.float32], path: NDArray[np.int64], near: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Return a path that is no longer, by moves until none of them helps.

    Args:
        points: Shape (n, d), on the grid of `on_grid`.
        path: A permutation of 0 … n−1.
        near: Near neighbours, (n, k) as by `neighbours`.
    """
    better, places = path.copy(), np.empty_like(path)
    places[path] = np.arange(len(path))
    left = MOVES * len(path)
    while left > 0 and (moves := _sweep(points, better, places, near, left)):
        left -= moves
    return better


@compiled
def _edge(points: Any, path: Any, i: int, j: int) -> float:
    """Length between two places of the path; nothing beyond its ends."""
    if i < 0 or j < 0 or i >= len(path) or j >= len(path):
        return 0.0
    return np.sqrt(squared(points, path[i], path[j]))


@compiled
def _reverse(path: Any, places: Any, i: int, j: int) -> None:
    while i < j:
        path[i], path[j] = path[j], path[i]
        places[path[i]], places[path[j]] = i, j
        i, j = i + 1, j - 1


@compiled
def _two_opt(points: Any, path: Any, places: Any, near: Any, a: int) -> Any:
    """Turn a piece of the path if that shortens it; returns its ends twice, or −1s."""
    i = places[a]
    for side in (1, -1):
        edge = _edge(points, path, i, i + side)
        for c in near[a]:
            if c < 0:
                break
            j = places[c]
            new = _edge(points, path, i, j)
            if new >= edge:
                break
            gain = edge - new + _edge(points, path, j, j + side)
            gain -= _edge(points, path, i + side, j + side)
            first, last = min(i, j) + (side > 0), max(i, j) - (side < 0)
            if gain > LEAST * edge and last - first < REACH:
                _reverse(path, places, first, last)
                return first, last, first, last
    return -1, -1, -1, -1


@compiled
def _or_opt(points: Any, path: Any, places: Any, near: Any, a: int) -> Any:
    """Carry a segment that ends in a to a neighbour of a; returns the ends of what changed."""
    i = places[a]
    for k in range(i - SEGMENT + 1, i + SEGMENT):  # the segment's other end
        low, high = min(i, k), max(i, k)
        if low < 0 or high >= len(path):
            continue
        freed = _edge(points, path, low - 1, low) + _edge(points, path, high, high + 1)
        freed -= _edge(points, path, low - 1, high + 1)
        for c in near[a]:
            if c < 0:
                break
            j = places[c]
            new = _edge(points, path, i, j)
            if new >= freed:
                break
            if low <= j <= high or abs(j - i) >= REACH:
                continue
            for beyond in (j - 1, j + 1):  # the segment goes between c and this place
                gain = freed - new - _edge(points, path, k, beyond) + _edge(points, path, j, beyond)
                if gain > LEAST * freed and not low <= beyond <= high:
                    return _carry(path, places, low, high, a, j, beyond)
    return -1, -1, -1, -1


@compiled
def _carry(path: Any, places: Any, low: int, high: int, a: int, j: int, beyond: int) -> Any:
    """Put the segment low … high between places j and `beyond`, its end a beside j.

    Returns the ends of the piece of the path that changed, and those of the segment in it.
    """
    length = high - low + 1
    if j > high:  # (segment, gap) is turned to (gap, segment), then the gap back
        first, last = low, max(j, beyond) - 1
        start = last - length + 1
        _reverse(path, places, first, last)
        _reverse(path, places, first, start - 1)
    else:
        first, last = min(j, beyond) + 1, high
        start = first
        _reverse(path, places, first, last)
        _reverse(path, places, first + length, last)
    end = start + length - 1
    if places[a] != (start if beyond > j else end):
        _reverse(path, places, start, end)
    return first, last, start, end


@compiled
def _sweep(points: Any, path: Any, places: Any, near: Any, most: int) -> int:
    """Look at all points, and again at those whose edges change; returns the number of moves."""
    n = len(path)
    queue, waiting = path.copy(), np.ones(n, dtype=np.bool_)
    head, count, moves = 0, n, 0
    while count and moves < most:
        a = queue[head]
        head, count = (head + 1) % n, count - 1
        waiting[a] = False
        while moves < most:
            first, last, start, end = _two_opt(points, path, places, near, a)
            if first < 0:
                first, last, start, end = _or_opt(points, path, places, near, a)
            if first < 0:
                break
            moves += 1
            for i in (first - 1, first, start - 1, start, end, end + 1, last, last + 1):
                if 0 <= i < n and not waiting[path[i]]:
                    waiting[path[i]] = True
                    queue[(head + count) % n] = path[i]
                    count += 1
    return moves
