"""Positional reads and writes: rows at known places of a file, straight into an array.

HDF5 takes 20 to 60 µs to find a row and to check its selection; where rows are stored as plain
bytes, the kernel copies one of 128 KiB in about 10. Nothing is mapped: a file that is shorter than
thought, or a disk that fails, is an exception, while touching a map of it kills the process.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Descriptor", "Layout", "read_at", "write_at"]

_SMALL = 1 << 14
_SPARE = 4  # read up to four times as much as is wanted rather than row by row


class Descriptor:
    """A file open for reading. It closes with its last reference, never under a reader's hands."""

    __slots__ = ("fd",)

    def __init__(self, path: str) -> None:
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the rows of an array are in a file: in chunks of whole rows, as plain bytes.

    Attributes:
        chunks: place of each chunk.
        rows: of a chunk.
        count: rows of the array.
        shape: of a row.
        dtype: of its values.
        size: bytes of a row.
    """

    chunks: array[int]
    rows: int
    count: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    size: int

    @classmethod
    def make(
        cls, places: Sequence[int], rows: int, shape: Sequence[int], dtype: npt.DTypeLike
    ) -> Layout:
        """Make the layout of an array of some `shape`, whose chunks of `rows` are at `places`."""
        count, *rest = shape
        kind = np.dtype(dtype)
        size = kind.itemsize * math.prod(rest)
        return cls(array("q", places), max(1, rows), count, tuple(rest), kind, size)

    def offsets(self, rows: Sequence[int]) -> list[int]:
        """Return where some rows, ascending, begin; raises IndexError for one that isn't there."""
        if rows[0] < 0 or rows[-1] >= self.count:
            raise IndexError(f"row {rows[-1]} of {self.count}")
        chunks, per, size = self.chunks, self.rows, self.size
        if per == 1:
            return [chunks[row] for row in rows]
        return [chunks[row // per] + row % per * size for row in rows]


def read_at(
    file: Descriptor,
    layout: Layout,
    rows: Sequence[int],
    places: Sequence[int],
    out: npt.NDArray[Any],
) -> None:
    """Read some rows of an array in a file into some rows of an array in memory.

    Args:
        file: to read.
        layout: where its rows are.
        rows: (k) to read, ascending.
        places: (k) where in `out` they go.
        out: (m, …) C-contiguous; values are converted to its type.

    Raises:
        IndexError: there is no such row.
        EOFError: the file ends before.
        OSError: it can't be read.
    """
    size = layout.size
    if not len(rows) or not size:
        return
    if out.shape[1:] != layout.shape:
        raise ValueError(f"rows of shape {layout.shape}, expected {out.shape[1:]}")
    offsets = layout.offsets(rows)
    if size < _SMALL and len(rows) > 1 and _read_span(file, layout, offsets, places, out):
        return
    if out.dtype != layout.dtype:
        _read_converted(file, layout, offsets, places, out)
    elif len(out) == 1:
        _fill(file.fd, out, size, offsets[0])
    else:
        _read_runs(file, offsets, places, out, size)


def write_at(fd: int, values: npt.NDArray[Any], offset: int) -> None:
    """Write a C-contiguous array to a place in a file; one call of the kernel may take a part."""
    view = memoryview(values.reshape(-1).view(np.uint8))
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def _read_converted(
    file: Descriptor,
    layout: Layout,
    offsets: Sequence[int],
    places: Sequence[int],
    out: npt.NDArray[Any],
) -> None:
    """Row by row, as one that was just read is in the processor's cache."""
    row = np.empty(layout.shape, layout.dtype)
    for offset, place in zip(offsets, places, strict=True):
        _fill(file.fd, row, layout.size, offset)
        out[place] = row


def _read_runs(
    file: Descriptor,
    offsets: Sequence[int],
    places: Sequence[int],
    out: npt.NDArray[Any],
    size: int,
) -> None:
    """A run of consecutive rows at a time."""
    view, start, total = memoryview(out.reshape(-1).view(np.uint8)), 0, len(places)
    while start < total:
        end = start + 1
        while (
            end < total
            and offsets[end] == offsets[end - 1] + size
            and places[end] == places[end - 1] + 1
        ):
            end += 1
        place, length = places[start] * size, (end - start) * size
        _fill(file.fd, view[place : place + length], length, offsets[start])
        start = end


def _read_span(
    file: Descriptor,
    layout: Layout,
    offsets: Sequence[int],
    places: Sequence[int],
    out: npt.NDArray[Any],
) -> bool:
    """Read small rows that lie close together with what is between them; False if they don't."""
    size = layout.size
    first = min(offsets)
    span = max(offsets) - first + size
    if span > _SPARE * size * len(places):
        return False
    steps, rest = np.divmod(np.asarray(offsets) - first, size)
    if rest.any():
        return False
    found = np.empty((span // size, *layout.shape), layout.dtype)
    _fill(file.fd, found, span, first)
    out[places] = found[steps]
    return True


def _fill(fd: int, buffer: Any, size: int, offset: int) -> None:
    """Fill a contiguous buffer of some bytes; one call of the kernel gives at most 2 GiB."""
    got = os.preadv(fd, [buffer], offset)
    if got == size:
        return
    view = memoryview(buffer).cast("B")
    while got < size:
        more = os.preadv(fd, [view[got:]], offset + got)
        if more == 0:
            raise EOFError(f"it ends before byte {offset + size}")
        got += more
