"""HDF5 files larger than memory: laid out by HDF5, filled by plain writes.

HDF5 does not survive a full disk: it prints tracebacks when its objects are collected, and may
crash at the end of the process. So it writes only the structure, with the place of each table
set aside; the space is then asked for at once, which fails cleanly, and the values are put in
their places one sample after the other. The file is an HDF5 file like any other.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from storage.exports.target import check_space
from storage.positional import write_at

__all__ = ["Put", "laid_out"]

type Put = Callable[[str, NDArray[Any], int | None], None]
"""`put(name, values, row)`: the values of a row of a table, or of all of it (row None)."""

_STRUCTURE = 1 << 20  # bytes for groups, attributes and small data sets, beside …
_EACH = 1 << 12  # … what a table takes of them


@contextlib.contextmanager
def laid_out(
    path: Path,
    tables: Mapping[str, tuple[tuple[int, ...], str]],
    describe: Callable[[h5py.File], None],
) -> Iterator[Put]:
    """Make an HDF5 file and give the function that fills its tables.

    Args:
        path: of the new file.
        tables: name → shape and type (`<f4`, `|b1`). Contiguous; zero where nothing is put.
        describe: is given the open file with the tables, for attributes and small data sets.

    Raises:
        StorageFull: there is no space for all of it.
    """
    size = sum(int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in tables.values())
    check_space(path.parent, size + _STRUCTURE + _EACH * len(tables))
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for name, (shape, kind) in tables.items():
            _set_aside(file, name, shape, np.dtype(kind))
        describe(file)
        places = {name: file[name].id.get_offset() for name in tables}
    handle = os.open(path, os.O_RDWR)
    try:
        with contextlib.suppress(OSError):  # where it can't be done, writing will tell
            os.posix_fallocate(handle, 0, os.fstat(handle).st_size)

        def put(name: str, values: NDArray[Any], row: int | None) -> None:
            shape, kind = tables[name]
            part = shape if row is None else shape[1:]
            data = np.ascontiguousarray(values, dtype=np.dtype(kind))
            if data.shape != part or not 0 <= (row or 0) < max(1, shape[0]):
                raise ValueError(f"{name}: row {row} of shape {data.shape}; it has {shape}")
            write_at(handle, data, places[name] + (row or 0) * data.nbytes)

        yield put
    finally:
        os.close(handle)


def _set_aside(file: h5py.File, name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
    """Make a contiguous data set whose bytes have their place in the file at once."""
    folder, _, last = name.rpartition("/")
    group = file.require_group(folder) if folder else file
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_layout(h5py.h5d.CONTIGUOUS)
    how.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    how.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    stored = h5py.h5t.py_create(kind, logical=True)
    h5py.h5d.create(group.id, last.encode(), stored, h5py.h5s.create_simple(shape), how)
