"""The near-linear path: neighbours, fragments, local improvement."""

import numpy as np
from numpy.typing import NDArray

from pipeline.ordering.grid import on_grid

__all__ = ["nearest"]

NEIGHBOURS = 10


def nearest(features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return a short path through the rows, in O(n log² n) time and O(n d) memory.

    Edges between near neighbours, shortest first (`fragments`), then 2-opt and Or-opt
    (`improve`). As a rule it is shorter than the greedy walk. Equal rows follow each other in
    the order of their indices.

    Args:
        features: Shape (n, d), finite.
    """
    from pipeline.ordering.fragments import fragment_path  # compiled code, for long paths only
    from pipeline.ordering.improve import improve
    from pipeline.ordering.neighbours import neighbours

    points, copies = np.unique(on_grid(features).astype(np.float32), axis=0, return_inverse=True)
    if len(points) == 1:
        return np.arange(len(features))
    near, distances = neighbours(points, min(NEIGHBOURS, len(points) - 1))
    path = improve(points, fragment_path(points, near, distances), near)
    places = np.empty(len(path), dtype=np.int64)
    places[path] = np.arange(len(path))
    return np.argsort(places[copies.ravel()], kind="stable")
