"""Open shards, kept open per process: opening one costs as much as reading twenty samples.

A forked process starts with no handles of its own and leaves its parent's alone; a spawned one
has none anyway.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from storage import files
from storage.errors import DamagedShard, StorageError

__all__ = ["shard_column"]

LIMIT = 64
_FIX = "run `rekrylov check`"


class _Handle(NamedTuple):
    file: h5py.File
    columns: dict[str, h5py.Dataset]


class _Handles:
    """The handles of one process, the least recently used first."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.RLock()
        self.open: OrderedDict[tuple[str, str | None], _Handle] = OrderedDict()
        self.verified: set[tuple[str, str | None]] = set()


_current = _Handles()
_inherited: list[_Handles] = []  # kept, not closed: they are the parent's


@contextmanager
def shard_column(
    path: str, column: str, shard: dict[str, Any], verify: bool
) -> Iterator[h5py.Dataset]:
    """Give a column of a shard, open; errors while it is read name the shard.

    Args:
        path: of the file.
        column: its full name.
        shard: its entry in the manifest (`bytes`, `sha256`).
        verify: compare the SHA-256 the first time this process opens it.

    Raises:
        DamagedShard: it is missing, has another size or checksum, or can't be read.
    """
    handles = _handles()
    key = (path, shard["sha256"])
    with handles.lock:
        try:
            handle = _opened(handles, key, shard["bytes"], verify)
            if column not in handle.columns:
                handle.columns[column] = handle.file[column]
            yield handle.columns[column]
        except StorageError:
            raise
        except Exception as error:  # h5py says what is wrong in a damaged file in many ways
            reason = " ".join(str(error).split())
            raise DamagedShard(f"{path}: cannot be read ({reason}); {_FIX}") from error


def _handles() -> _Handles:
    global _current
    if _current.pid != os.getpid():
        _inherited.append(_current)
        _current = _Handles()
    return _current


def _opened(handles: _Handles, key: tuple[str, str | None], size: int, verify: bool) -> _Handle:
    found = os.stat(key[0]).st_size
    if found != size:
        raise DamagedShard(f"{key[0]}: has {found} bytes, its record says {size}; {_FIX}")
    if verify and key not in handles.verified:
        if files.sha256_file(Path(key[0])) != key[1]:
            raise DamagedShard(f"{key[0]}: its SHA-256 is not that of its record; {_FIX}")
        handles.verified.add(key)
    if key in handles.open:
        handles.open.move_to_end(key)
        return handles.open[key]
    # Without a chunk cache only the rows asked for are read from an unfiltered chunk.
    handles.open[key] = _Handle(h5py.File(key[0], "r", rdcc_nbytes=0), {})
    while len(handles.open) > LIMIT:
        handles.open.popitem(last=False)[1].file.close()
    return handles.open[key]
