"""`order.h5`: the segments of a data set, their paths and how a path is cut into batches.

A segment is the set of ids one `sample` stage added. Its path is a permutation of the positions
0 … n−1 of its ids, and `offsets` cuts the path into batches; once set, neither ever changes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from storage import files
from storage.errors import DamagedFile, StorageError
from storage.hdf5 import build_image, opened
from storage.ids import IdArray
from storage.records import Record

__all__ = [
    "Segment",
    "append_segment",
    "read_features",
    "read_order",
    "rebuild_order",
    "set_path",
]


_PATIENCE = 60.0
"""Seconds that another writer of the file is waited for."""


@dataclass(frozen=True, eq=False)
class Segment:
    """Ids of one segment and, once ordered, their path and batches.

    Attributes:
        index: number of the segment.
        ids: (n) sample ids.
        path: (n) positions in `ids` in the order of solving, or None before the order stage.
        offsets: (batches + 1) ends of the batches on the path, or None.
    """

    index: int
    ids: IdArray
    path: IdArray | None = None
    offsets: IdArray | None = None

    @property
    def batches(self) -> int:
        """Number of batches; 0 before the order stage."""
        return 0 if self.offsets is None else len(self.offsets) - 1

    def positions(self, batch: int) -> IdArray:
        """Positions in `ids` (and in the features) of a batch, in the order of solving."""
        if self.path is None or self.offsets is None:
            raise StorageError(f"segment {self.index} has no path yet; run `rekrylov order`")
        return self.path[self.offsets[batch] : self.offsets[batch + 1]]

    def batch_ids(self, batch: int) -> IdArray:
        """Sample ids of a batch, in the order of solving."""
        return self.ids[self.positions(batch)]


def read_order(path: Path) -> list[Segment]:
    """Read all segments without their features; an empty list if there is no file.

    Raises:
        DamagedFile: the file is damaged or a path is no permutation.
    """
    if not Path(path).exists():
        return []
    with opened(Path(path)) as file:
        return [_segment(int(name), group) for name, group in file["segments"].items()]


def read_features(path: Path, segment: int) -> npt.NDArray[np.float64] | None:
    """Read the features (n, d) of a segment; None if it has none."""
    with opened(Path(path)) as file:
        group = file[f"segments/{segment:04d}"]
        return group["features"][()] if "features" in group else None


def append_segment(
    path: Path, ids: npt.ArrayLike, features: npt.NDArray[np.float64] | None = None
) -> Segment:
    """Add a segment, atomically; if one with these ids exists already it is returned.

    Args:
        path: of `order.h5`; created if missing.
        ids: (n) sample ids that no earlier segment holds.
        features: (n, d) low-dimensional features, for the order stage.

    Raises:
        StorageError: some ids (but not all of one segment) are there already.
        ValueError: there are no ids, they repeat, or features have another length.
    """
    array = np.asarray(ids, dtype=np.int64).ravel()
    if not len(array) or len(np.unique(array)) != len(array):
        raise ValueError("a segment needs at least one id, each once")
    if features is not None and len(features) != len(array):
        raise ValueError(f"features have {len(features)} rows, expected {len(array)}")
    with _exclusive(Path(path)):
        segments = read_order(path)
        for segment in segments:
            if np.array_equal(segment.ids, array):
                return segment
            if len(common := np.intersect1d(segment.ids, array)):
                raise StorageError(
                    f"{path}: segment {segment.index} already holds {len(common)} of the ids "
                    f"(first {common[0]}); append only new ids"
                )
        added = Segment(len(segments), array)

        def fill(file: h5py.File) -> None:
            group = file.require_group("segments").create_group(f"{added.index:04d}")
            _put(group, "ids", array)
            if features is not None:
                _put(group, "features", np.asarray(features, dtype=np.float64))

        _rewrite(Path(path), fill)
    return added


def set_path(path: Path, segment: int, positions: npt.ArrayLike, offsets: npt.ArrayLike) -> Segment:
    """Set the path and the batches of a segment, once, atomically.

    Args:
        path: of `order.h5`.
        segment: its number.
        positions: (n) permutation of 0 … n−1.
        offsets: (batches + 1) ascending from 0 to n.

    Returns:
        The segment as stored: if it had a path already (of another process), with that one.

    Raises:
        ValueError: `positions` is no permutation or `offsets` don't cut it.
    """
    with _exclusive(Path(path)):
        stored = read_order(path)[segment]
        if stored.path is not None:
            return stored
        wanted = Segment(
            segment,
            stored.ids,
            np.asarray(positions, dtype=np.int64),
            np.asarray(offsets, dtype=np.int64),
        )
        _validate(wanted)

        def fill(file: h5py.File) -> None:
            group = file[f"segments/{segment:04d}"]
            _put(group, "path", wanted.path)
            _put(group, "offsets", wanted.offsets)

        _rewrite(Path(path), fill)
    return wanted


def rebuild_order(path: Path, records: Sequence[Record]) -> None:
    """Write a lost `order.h5` again from the records, as far as they know it.

    Each committed batch keeps its number and its ids; a batch without a record becomes empty, and
    its ids, unknown now, are free for a new segment. All in one write: a part of the order, left
    by a kill, would pass for the whole.
    """
    count = max((record.segment for record in records), default=-1) + 1
    segments = [_rebuilt(path, index, records) for index in range(count)]

    def fill(file: h5py.File) -> None:
        for segment in segments:
            group = file.require_group("segments").create_group(f"{segment.index:04d}")
            for name in ("ids", "path", "offsets"):
                _put(group, name, getattr(segment, name))

    with _exclusive(Path(path)):
        if segments and not Path(path).exists():  # no other run was first
            _rewrite(Path(path), fill)


def _rebuilt(path: Path, index: int, records: Sequence[Record]) -> Segment:
    batches = {r.batch: sorted(r.all_ids) for r in records if r.segment == index}
    pieces = [batches.get(b, []) for b in range(max(batches, default=-1) + 1)]
    ids = np.array([i for piece in pieces for i in piece], dtype=np.int64)
    if not len(ids):
        raise DamagedFile(
            f"{path}: is missing, and segment {index} has no record to rebuild it from; "
            "restore the file from a copy"
        )
    segment = Segment(index, ids, np.arange(len(ids)), np.cumsum([0, *map(len, pieces)]))
    _validate(segment)
    return segment


def _segment(index: int, group: h5py.Group) -> Segment:
    ordered = "path" in group
    path, offsets = (group["path"][()], group["offsets"][()]) if ordered else (None, None)
    segment = Segment(index, group["ids"][()], path, offsets)
    _validate(segment)
    return segment


def _validate(segment: Segment) -> None:
    n = len(segment.ids)
    if segment.path is None or segment.offsets is None:
        return
    if not np.array_equal(np.sort(segment.path), np.arange(n)):
        raise ValueError(f"path of segment {segment.index} is no permutation of 0 … {n - 1}")
    ends = segment.offsets
    if len(ends) < 1 or ends[0] != 0 or ends[-1] != n or np.any(np.diff(ends) < 0):
        raise ValueError(f"offsets of segment {segment.index} must ascend from 0 to {n}")


def _put(group: h5py.Group, name: str, data: npt.NDArray[Any] | None) -> None:
    """Store an array with a checksum that HDF5 looks at when it is read."""
    group.create_dataset(name, data=data, fletcher32=True)


def _rewrite(path: Path, change: Callable[[h5py.File], None]) -> None:
    """Copy all segments into a new image, change it, and put it in the file's place."""

    def fill(file: h5py.File) -> None:
        file.attrs["format"] = 1
        if path.exists():
            with opened(path) as old:
                old.copy("segments", file)
        change(file)

    files.commit_bytes(path, build_image(fill, 1 << 20), replace=True)


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold off other writers of the file while it is read, changed and replaced.

    The lock is the kernel's and goes with the process. Where the file system has none, the last
    writer wins: no shard is hurt, since a batch's record names its own ids.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError as error:
        raise StorageError(f"{path}: its folder is missing; create the data set first") from error
    try:
        _lock(folder, path)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, path: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:  # another's, for milliseconds, unless it was stopped meanwhile
            if time.monotonic() >= end:
                raise StorageError(
                    f"{path}: another process has kept it locked for {_PATIENCE:g} s; look for one "
                    "that is stopped, let it go on or end it, and run the same command again"
                ) from None
            time.sleep(0.01)
        except OSError:
            return
