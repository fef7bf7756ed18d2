"""Short paths through features: samples that follow each other should be alike.

The paper sorts greedily from the first sample (Wang et al., ICLR 2024, algorithm 1), which
costs O(N² d); for large N it groups first. `nearest` walks the same greedy way on a k-d tree.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

__all__ = ["greedy", "grouped", "nearest", "path_length", "sort_features"]

Array = NDArray[np.float64]
Path = NDArray[np.int64]

GREEDY_LIMIT = 10_000
"""Above this many samples `auto` takes the near-linear method."""

_TREE_DIMENSIONS = 8
_FIRST_NEIGHBOURS = 16


def sort_features(features: Array, sort: str = "auto", group_size: int = 1000) -> Path:
    """Return a permutation of 0 … n−1, a short path through the rows of `features`.

    Args:
        features: Shape (n, d); Euclidean distance is the dissimilarity.
        sort: "none", "greedy", "grouped", "nearest", or "auto" (greedy for n ≤ 10,000).
        group_size: Samples a group, for "grouped".

    Raises:
        ValueError: Unknown sort, or features that are not finite.
    """
    n = len(features)
    methods: dict[str, Callable[[], Path]] = {
        "none": lambda: np.arange(n),
        "greedy": lambda: greedy(features),
        "grouped": lambda: grouped(features, group_size),
        "nearest": lambda: nearest(features),
    }
    if sort == "auto":
        sort = "greedy" if n <= GREEDY_LIMIT else "nearest"
    if sort not in methods:
        raise ValueError(f"sort {sort!r}; expected one of auto, {', '.join(methods)}")
    if not np.isfinite(features).all():
        bad = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise ValueError(f"features of row {bad} are not finite; mend the family's `features`")
    return methods[sort]() if n > 1 else np.arange(n)


def path_length(features: Array, path: Path) -> float:
    """Return Σ_i ‖f[path[i+1]] − f[path[i]]‖₂."""
    return float(np.linalg.norm(np.diff(features[path], axis=0), axis=1).sum())


def greedy(features: Array) -> Path:
    """Nearest unvisited neighbour from row 0 on; O(n² d) time, O(n d) memory."""
    n = len(features)
    left = np.array(features, dtype=float)
    squares = np.einsum("nd,nd->n", left, left)
    index, path = np.arange(n), np.empty(n, dtype=np.int64)
    here = 0
    for step in range(n):
        path[step] = index[here]
        point, last = left[here].copy(), n - step - 1
        # The visited row gives its place to the last one: the arrays stay dense.
        left[here], squares[here], index[here] = left[last], squares[last], index[last]
        if last:
            here = int(np.argmin(squares[:last] - 2.0 * (left[:last] @ point)))
    return path


def grouped(features: Array, group_size: int) -> Path:
    """Groups along the direction of largest spread, greedy within each, in a row.

    Within a group the walk starts at the member nearest to where the last one ended.
    """
    coordinate = _principal(features, 1)[:, 0]
    ranked = np.argsort(coordinate, kind="stable")
    pieces: list[Path] = []
    for start in range(0, len(ranked), group_size):
        group = ranked[start : start + group_size]
        if pieces:
            ahead = np.linalg.norm(features[group] - features[pieces[-1][-1]], axis=1)
            first = int(np.argmin(ahead))
            group = np.concatenate([group[first : first + 1], np.delete(group, first)])
        pieces.append(group[greedy(features[group])])
    return np.concatenate(pieces)


def nearest(features: Array) -> Path:
    """Greedy walk on a k-d tree over the leading principal directions, near-linear.

    The tree is built again over what is left each time half of it has been visited, so a look
    for the nearest unvisited point rarely passes many visited ones.
    """
    coordinates, copies = np.unique(
        _principal(features, _TREE_DIMENSIONS), axis=0, return_inverse=True
    )
    walk = _walk(coordinates, start=int(copies[0]))
    # Equal rows follow each other; a stable sort keeps the path a function of the features.
    return np.argsort(np.argsort(walk)[copies], kind="stable")


def _walk(coordinates: Array, start: int) -> Path:
    """The nearest-neighbour walk over distinct points."""
    from scipy.spatial import cKDTree

    n = len(coordinates)
    path = np.empty(n, dtype=np.int64)
    visited = np.zeros(n, dtype=bool)
    here, step = start, 0
    while step < n:
        left = np.flatnonzero(~visited)
        tree = cKDTree(coordinates[left], balanced_tree=False)
        stop = min(n, step + max(1, (len(left) + 1) // 2))
        while step < stop:
            path[step] = here
            visited[here] = True
            step += 1
            if step < n:
                here = _nearest_unvisited(tree, left, visited, coordinates[here])
    return path


def _nearest_unvisited(tree: "cKDTree", left: Path, visited: NDArray, point: Array) -> int:
    k = min(_FIRST_NEIGHBOURS, len(left))
    while True:
        found = left[np.atleast_1d(tree.query(point, k=k)[1])]
        free = found[~visited[found]]
        if len(free):
            return int(free[0])
        k = min(4 * k, len(left))


def _principal(features: Array, count: int) -> Array:
    """Coordinates along the `count` leading principal directions, (n, ≤ count)."""
    centred = features - features.mean(axis=0)
    count = min(count, centred.shape[1])
    _, directions = np.linalg.eigh(centred.T @ centred)
    return centred @ directions[:, ::-1][:, :count]
