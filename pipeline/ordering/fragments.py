"""A path from its shortest edges: greedy matching of fragments, near-linear.

The shortest edge that neither closes a circle nor gives a point a third edge is taken, again and
again (Bentley, ORSA J. Computing 4, 1992); candidates are the edges to near neighbours. Loose
ends are then matched among themselves in the same way, until one path is left.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.ordering.kernels import compiled
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
        left -= _take(ends, near, shortest, links, parents)
        ends = np.flatnonzero(links[:, 1] < 0)
        if not left:
            return np.asarray(_walk(links, ends[0]))
        count = len(ends) - 1 if len(ends) <= LEAF else near.shape[1]
        near, distances = neighbours(points[ends], count)


@compiled
def _root(parents: Any, a: int) -> int:
    while parents[a] != a:
        parents[a] = parents[parents[a]]
        a = parents[a]
    return a


@compiled
def _take(ends: Any, near: Any, shortest: Any, links: Any, parents: Any) -> int:
    """Take what fits of the edges from ends[i] to ends[near[i, k]]; returns how many."""
    taken, count = 0, near.shape[1]
    for e in shortest:
        i, k = e // count, e % count
        if near[i, k] < 0:
            break
        a, b = ends[i], ends[near[i, k]]
        if links[a, 1] >= 0 or links[b, 1] >= 0:
            continue
        root_a, root_b = _root(parents, a), _root(parents, b)
        if root_a != root_b:
            parents[max(root_a, root_b)] = min(root_a, root_b)
            links[a, 0 if links[a, 0] < 0 else 1] = b
            links[b, 0 if links[b, 0] < 0 else 1] = a
            taken += 1
    return taken


@compiled
def _walk(links: Any, start: int) -> Any:
    path = np.empty(len(links), dtype=np.int64)
    before, here = -1, start
    for step in range(len(links)):
        path[step] = here
        ahead = links[here, 0] if links[here, 0] != before else links[here, 1]
        before, here = here, ahead
    return path
