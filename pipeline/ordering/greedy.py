"""The paper's walk, and its cheaper form by groups (Wang et al., ICLR 2024, algorithm 1)."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["greedy", "grouped"]

Array = NDArray[np.float64]
Path = NDArray[np.int64]


def greedy(features: Array) -> Path:
    """Nearest unvisited neighbour from row 0 on, of several the first; O(n² d) time, O(n d) memory.

    Args:
        features: Shape (n, d), finite.
    """
    left = np.array(features, dtype=float)
    squares = np.einsum("nd,nd->n", left, left)
    index, path = np.arange(len(left)), np.empty(len(left), dtype=np.int64)
    here, visited = 0, 0
    for step in range(len(path)):
        path[step] = index[here]
        point = left[here].copy()
        squares[here], visited = np.inf, visited + 1
        if 4 * visited > len(left):  # the arrays stay nearly dense, in the order of the rows
            kept = np.isfinite(squares)
            left, squares, index, visited = left[kept], squares[kept], index[kept], 0
        if len(left):
            here = int(np.argmin(squares - 2.0 * (left @ point)))
    return path


def grouped(features: Array, group_size: int) -> Path:
    """Groups along the direction of largest spread, greedy within each, in a row.

    Within a group the walk starts at the member nearest to where the last one ended.
    """
    centred = features - features.mean(axis=0)
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    ranked = np.argsort(centred @ direction, kind="stable")
    pieces: list[Path] = []
    for start in range(0, len(ranked), group_size):
        group = ranked[start : start + group_size]
        if pieces:
            ahead = np.linalg.norm(features[group] - features[pieces[-1][-1]], axis=1)
            first = int(np.argmin(ahead))
            group = np.concatenate([group[first : first + 1], np.delete(group, first)])
        pieces.append(group[greedy(features[group])])
    return np.concatenate(pieces)
