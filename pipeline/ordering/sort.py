"""The sorts by name, and the length of a path."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.ordering.blocks import finite, is_lazy, reduced
from pipeline.ordering.greedy import greedy, grouped
from pipeline.ordering.grid import on_grid
from pipeline.ordering.nearest import nearest

__all__ = ["GREEDY_LIMIT", "path_length", "sort_features"]

Array = NDArray[np.float64]
Path = NDArray[np.int64]

GREEDY_LIMIT = 10_000
"""Above this many samples `auto` takes the near-linear method; below, loading it costs more."""

_WIDEST = 512
_SKETCH = 32


def sort_features(features: Any, sort: str = "auto", group_size: int = 1000) -> Path:
    """Return a permutation of 0 … n−1, a short path through the rows of `features`.

    The path depends on the features alone: not on the machine, its BLAS or threads, nor on a Dask
    array's chunks or scheduler. Features are rounded to 2⁻²⁰ of their range (`on_grid`); rows
    equally near are taken in the order of their indices.

    Args:
        features: Shape (n, d), a NumPy array or a Dask array, which may be larger than memory;
            Euclidean distance is the dissimilarity. Full fields, flattened, are welcome: a Dask
            array, or one of more than 512 columns that is sorted near-linearly, is first reduced
            to 32 principal coordinates, block by block. Then about 1 kB a row is in memory.
        sort: "none", "greedy", "grouped", "nearest" (near-linear), or "auto" (greedy for
            n ≤ 10,000, else nearest).
        group_size: Samples a group, for "grouped".

    Raises:
        ValueError: Unknown sort, or features that are not an array (n, d) of finite numbers.
    """
    methods: dict[str, Callable[[Array], Path]] = {
        "none": lambda points: np.arange(len(points)),
        "greedy": greedy,
        "grouped": lambda points: grouped(points, group_size),
        "nearest": nearest,
    }
    if sort not in methods and sort != "auto":
        raise ValueError(f"sort {sort!r}; expected one of auto, {', '.join(methods)}")
    if not is_lazy(features):
        features = np.asarray(features)
    if features.ndim != 2:
        raise ValueError(f"features of shape {features.shape}; expected (samples, numbers)")
    n, d = features.shape
    if sort == "auto":
        sort = "greedy" if n <= GREEDY_LIMIT else "nearest"
    if n <= 1 or sort == "none":
        return np.arange(n)
    wide = is_lazy(features) or (sort == "nearest" and d > _WIDEST)
    points = reduced(features, _SKETCH) if wide else finite(features)
    return methods[sort](on_grid(points))


def path_length(features: Array, path: Path) -> float:
    """Return Σ_i ‖f[path[i+1]] − f[path[i]]‖₂."""
    total = 0.0
    for start in range(0, len(path) - 1, 4096):  # a block of rows at a time
        rows = features[path[start : start + 4097]]
        total += float(np.linalg.norm(np.diff(rows, axis=0), axis=1).sum())
    return total
