"""Which rows are meant, and reading some rows of an HDF5 data set into some rows of an array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

__all__ = ["Rows", "blocks", "is_single", "read_rows", "row_index"]

type Rows = int | slice | npt.ArrayLike


def is_single(rows: Rows) -> bool:
    """Return True if one position is meant, and no axis of samples."""
    return not isinstance(rows, slice) and np.ndim(rows) == 0


def row_index(rows: Rows, n: int) -> npt.NDArray[np.int64]:
    """Return the positions (k) that a position, slice, index array or mask means among `n`.

    Raises:
        IndexError: one is not below `n`.
    """
    if isinstance(rows, slice):
        return np.arange(*rows.indices(n))
    index = np.asarray(rows)
    if index.dtype == bool:
        index = np.flatnonzero(index)
    index = np.atleast_1d(index.astype(np.int64))
    wrong = (index < -n) | (index >= n)
    if wrong.any():
        raise IndexError(f"sample {index[wrong][0]} of {n}")
    return index % max(1, n)


def blocks(count: int, size: int, most: int) -> Iterator[slice]:
    """Cut `count` rows of `size` bytes into consecutive slices of at most `most` bytes."""
    step = max(1, most // max(1, size))
    return (slice(at, min(at + step, count)) for at in range(0, count, step))


def read_rows(
    dataset: h5py.Dataset,
    rows: Sequence[int],
    out: npt.NDArray[Any],
    places: Sequence[int],
) -> None:
    """Read `dataset[rows]` into `out[places]`, a run of consecutive rows at a time.

    Args:
        dataset: (n, …) of a shard.
        rows: (k) rows to read, ascending.
        out: (m, …) the array to fill, of the data set's sample shape; HDF5 converts.
        places: (k) where in `out` they go.
    """
    if dataset.shape[1:] != out.shape[1:]:
        raise RuntimeError(f"{dataset.name} has shape {dataset.shape}, expected {out.shape[1:]}")
    cuts = np.flatnonzero((np.diff(rows) != 1) | (np.diff(places) != 1)) + 1
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        row, place, count = int(rows[start]), int(places[start]), int(end - start)
        if out[0].size == 0 or count == 0:
            continue
        source = dataset.id.get_space()
        tail = (0,) * (out.ndim - 1)
        source.select_hyperslab((row, *tail), (count, *out.shape[1:]))
        target = h5py.h5s.create_simple((count, *out.shape[1:]))
        dataset.id.read(target, source, out[place : place + count])
