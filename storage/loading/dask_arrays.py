"""A field as a Dask array, for data sets larger than memory. Loads Dask."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import dask.array as da
from dask import delayed

from storage.rows import blocks

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["dask_array"]

_BLOCK_BYTES = 64 * 2**20


def dask_array(dataset: Dataset, name: str) -> da.Array:
    """Return a field or column as an array (samples, …) in blocks of at most 64 MiB of samples.

    Nothing is read before it is computed; each block opens the shards it needs.

    Raises:
        KeyError: There is no such field or column.
    """
    template = dataset.read(name, slice(0, 0))
    shape, kind = template.shape[1:], template.dtype
    read = delayed(dataset.read, pure=False)
    parts = [
        da.from_delayed(read(name, rows), (rows.stop - rows.start, *shape), kind)
        for rows in blocks(len(dataset), math.prod(shape) * kind.itemsize, _BLOCK_BYTES)
    ]
    return da.concatenate(parts) if parts else da.from_array(template)
