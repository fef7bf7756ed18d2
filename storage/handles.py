"""Open files, kept open per process, and where the rows of shards are in them.

Opening a shard with HDF5 costs as much as reading twenty samples. It is done once: then it is
known at which bytes the rows of its unfiltered columns are, and they are read from there
(`storage.positional`), also when the file was closed meanwhile as too many were open.

A forked process starts with no handles of its own and leaves its parent's alone; a spawned one
has none anyway. What is known of the files goes on being used.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy.typing as npt

from storage import files
from storage.errors import DamagedFile, DamagedShard
from storage.positional import Descriptor, Layout, read_at
from storage.rows import read_rows

__all__ = ["ArrayFile", "close_handles", "read_shard"]

LIMIT = 64
_DESCRIPTORS = 192  # of the 1024 that a process may usually have
_KNOWN = 1 << 16

type Key = tuple[str, str]  # path and SHA-256
type Signature = tuple[int, int, int]


@dataclass(slots=True)
class _Known:
    """What is known of a file that looks like this."""

    signature: Signature
    layouts: dict[str, Layout] | None = None


@dataclass
class _Handles:
    """What one process has open, the least recently used first."""

    known: OrderedDict[Key, _Known] = field(default_factory=OrderedDict)
    pid: int = field(default_factory=os.getpid)
    lock: threading.RLock = field(default_factory=threading.RLock)
    descriptors: OrderedDict[Key, Descriptor] = field(default_factory=OrderedDict)
    open: OrderedDict[Key, h5py.File] = field(default_factory=OrderedDict)
    verified: set[Key] = field(default_factory=set)


_current = _Handles()
_inherited: list[_Handles] = []  # kept, not closed: they are the parent's


def read_shard(
    path: str,
    column: str,
    shard: dict[str, Any],
    verify: bool,
    rows: Sequence[int],
    places: Sequence[int],
    out: npt.NDArray[Any],
) -> None:
    """Read some rows of a column of a shard into some rows of an array.

    Args:
        path: of the file.
        column: its full name.
        shard: its entry in the manifest (`bytes`, `sha256`).
        verify: compare the SHA-256 the first time this process opens it.
        rows: (k) rows to read, ascending.
        places: (k) where in `out` they go.
        out: (m, …) C-contiguous; values are converted to its type.

    Raises:
        DamagedShard: it is missing, has another size or checksum, or can't be read.
    """
    handles, key = _handles(), (path, shard["sha256"])
    try:
        with handles.lock:
            known = _looked_at(handles, key, shard["bytes"], verify)
            if known.layouts is None:
                known.layouts = _layouts(_hdf5(handles, key))
            layout = known.layouts.get(column)
            if layout is None:
                read_rows(_hdf5(handles, key)[column], rows, out, places)
                return
            file = _descriptor(handles, key)
        read_at(file, layout, rows, places, out)
    except Exception as error:  # h5py says what is wrong in a damaged file in many ways
        raise DamagedShard(f"{path}: {_said(error)}; run `rekrylov check`") from error


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """A file that holds one array, and what is known of it.

    Attributes:
        key: path and SHA-256.
        bytes: of the file.
        layout: where the rows are.
        fix: what to do if it is damaged.
    """

    key: Key
    bytes: int
    layout: Layout
    fix: str

    def read(
        self, verify: bool, rows: Sequence[int], places: Sequence[int], out: npt.NDArray[Any]
    ) -> None:
        """Read some rows, as `read_shard` does, but for DamagedFile."""
        handles = _handles()
        try:
            with handles.lock:
                _looked_at(handles, self.key, self.bytes, verify)
                file = _descriptor(handles, self.key)
            read_at(file, self.layout, rows, places, out)
        except Exception as error:
            raise DamagedFile(f"{self.key[0]}: {_said(error)}; {self.fix}") from error


def close_handles() -> None:
    """Close and forget all files, as if the process were a new one."""
    handles = _handles()
    with handles.lock:
        while handles.open:
            handles.open.popitem()[1].close()
        handles.descriptors.clear()
        handles.known.clear()
        handles.verified.clear()


def _handles() -> _Handles:
    global _current
    if _current.pid != os.getpid():
        _inherited.append(_current)
        _current = _Handles(OrderedDict(_current.known))
    return _current


class _Altered(Exception):
    """The file isn't what it should be."""


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, _Altered) else f"cannot be read ({text})"


def _looked_at(handles: _Handles, key: Key, size: int, verify: bool) -> _Known:
    """Look at the file; what is known of another one under this name is forgotten."""
    found = os.stat(key[0])
    if found.st_size != size:
        raise _Altered(f"has {found.st_size} bytes, expected {size}")
    signature = (found.st_size, found.st_mtime_ns, found.st_ino)
    known = handles.known.get(key)
    if known is None or known.signature != signature:
        _forget(handles, key)
        known = handles.known[key] = _Known(signature)
        if len(handles.known) > _KNOWN:
            handles.known.popitem(last=False)
    if verify and key not in handles.verified:
        if files.sha256_file(Path(key[0])) != key[1]:
            raise _Altered("its SHA-256 is not that of its record")
        handles.verified.add(key)
    return known


def _forget(handles: _Handles, key: Key) -> None:
    handles.verified.discard(key)
    handles.descriptors.pop(key, None)
    if (file := handles.open.pop(key, None)) is not None:
        file.close()


def _descriptor(handles: _Handles, key: Key) -> Descriptor:
    if (found := handles.descriptors.get(key)) is None:
        found = handles.descriptors[key] = Descriptor(key[0])
        while len(handles.descriptors) > _DESCRIPTORS:
            handles.descriptors.popitem(last=False)
    else:
        handles.descriptors.move_to_end(key)
    return found


def _hdf5(handles: _Handles, key: Key) -> h5py.File:
    if key in handles.open:
        handles.open.move_to_end(key)
        return handles.open[key]
    # Without a chunk cache only the rows asked for are read from an unfiltered chunk.
    handles.open[key] = h5py.File(key[0], "r", rdcc_nbytes=0)
    while len(handles.open) > LIMIT:
        handles.open.popitem(last=False)[1].close()
    return handles.open[key]


def _layouts(file: h5py.File) -> dict[str, Layout]:
    """Where the rows of all columns are that are stored as plain bytes."""
    found: dict[str, Layout] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (layout := _layout(item)) is not None:
            found[name] = layout

    file.visititems(visit)
    return found


def _layout(item: h5py.Dataset) -> Layout | None:
    """Where the rows of a column are; None if they are filtered, split or not all there."""
    kind, plan = item.dtype, item.id.get_create_plist()
    plain = kind.kind in "biuf" and kind.isnative and plan.get_nfilters() == 0
    if not plain or item.ndim == 0 or item.size == 0:
        return None
    if item.chunks is None:
        offset = item.id.get_offset()
        places, rows = [] if offset is None else [(0, offset)], len(item)
    elif item.chunks[1:] == item.shape[1:]:
        places, rows = _chunk_places(item), item.chunks[0]
    else:
        return None
    if [row for row, _ in places] != list(range(0, len(item), rows)):
        return None
    return Layout.make([offset for _, offset in places], rows, item.shape, kind.str)


def _chunk_places(item: h5py.Dataset) -> list[tuple[int, int]]:
    """First row and place in the file of each chunk."""
    found: list[tuple[int, int]] = []

    def visit(chunk: Any) -> None:
        found.append((chunk.chunk_offset[0], chunk.byte_offset))

    item.id.chunk_iter(visit)
    return sorted(found)
