"""Rows of an array that may be larger than memory, some at a time."""

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.ordering.sketch import PILOT, Sketch

__all__ = ["is_lazy", "reduced"]

Array = NDArray[np.float64]

_BLOCK_BYTES = 32 * 2**20


def is_lazy(features: Any) -> bool:
    """Say whether it is a Dask array. Dask itself need not be installed."""
    return hasattr(features, "dask") and hasattr(features, "chunks")


def reduced(features: Any, count: int) -> Array:
    """Return at most `count` columns that keep the distances of the rows, in two passes.

    A block of rows is in memory at a time, and the result (n, ≤ count).

    Args:
        features: NumPy or Dask array (n, d), n > 0. Of a Dask array the chunks are computed one
            by one, twice.
        count: Columns of the result; where d is no larger, the columns themselves.

    Raises:
        ValueError: Chunks of unknown size, or a value that is not finite.
    """
    n, d = features.shape
    if not (isinstance(n, int) and isinstance(d, int)):
        raise ValueError(f"features of shape {features.shape}; call compute_chunk_sizes() first")
    if d <= count:
        return np.concatenate([finite(block, start) for start, block in _blocks(features)])
    # Spread evenly over all rows, wherever the chunks end.
    wanted = np.unique(np.linspace(0, n - 1, min(n, PILOT)).astype(np.int64))
    pilot = []
    for start, block in _blocks(features):
        inside = wanted[(wanted >= start) & (wanted < start + len(block))]
        pilot.append(finite(block, start)[inside - start])
    sketch = Sketch(np.concatenate(pilot), count)
    return np.concatenate([sketch(block) for _, block in _blocks(features)])


def finite(rows: Any, start: int = 0) -> Array:
    """Return rows as float64.

    Raises:
        ValueError: A value is not finite; `start` is the number of the first row.
    """
    values = np.asarray(rows, dtype=np.float64)
    good = np.isfinite(values).all(axis=1)
    if not good.all():
        bad = start + int(np.argmin(good))
        raise ValueError(f"features of row {bad} are not finite; mend the family's `features`")
    return values


def _blocks(features: Any) -> Iterator[tuple[int, Any]]:
    """Blocks of rows with the number of their first, within Dask's chunks."""
    rows = max(1, _BLOCK_BYTES // (8 * features.shape[1]))
    lazy = is_lazy(features)
    chunks = features.chunks[0] if lazy else (len(features),)
    for first, last in pairwise(accumulate(chunks, initial=0)):
        for start in range(first, last, rows):
            block = features[start : min(last, start + rows)]
            yield start, block.compute(scheduler="synchronous") if lazy else block
