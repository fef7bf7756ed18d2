"""Data sets open in a worker process: the few last used ones, looked at before they are read."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from storage.dataset import Dataset, open_dataset
from storage.errors import DamagedFile
from storage.folder import DataFolder
from storage.function import StoredFunction
from storage.hdf5 import opened
from storage.web import limits

__all__ = ["NotThere", "OpenDataset", "Opened"]

_KEPT = 8
_LISTED = 500
_SHARDS = 50_000
_SCALAR_SHARDS = 256  # that are read for numbers `scalars.h5` should hold


class NotThere(LookupError):
    """What is asked for is not in the data set: a sample, field, time step or report."""


class OpenDataset:
    """An open data set of which every file is looked at before it is read.

    Attributes:
        data: the reader.
        kept: what pictures and pages keep of it: drawings, scalars.
    """

    def __init__(self, root: Path, path: Path) -> None:
        self._root = root
        self.folder = DataFolder(path)
        self.kept: OrderedDict[Any, Any] = OrderedDict()
        self._seen: set[str] = set()
        for file in (path, self.folder.manifest, self.folder.spaces, self.folder.shards):
            limits.check_inside(root, file)
        if self.folder.manifest.exists():
            limits.check_size(self.folder.manifest, limits.MANIFEST_BYTES)
        else:
            self._check_records()
        self.data: Dataset = open_checked(path)
        if self.folder.spaces.exists():
            self._check(self.folder.spaces)

    def keep(self, key: Any, make: Any, most: int = 12) -> Any:
        """Return what is kept under a key, made when it is first asked for."""
        if key not in self.kept:
            self.kept[key] = make()
            while len(self.kept) > most:
                self.kept.popitem(last=False)
        self.kept.move_to_end(key)
        return self.kept[key]

    def row(self, row: int) -> int:
        """A position of a sample whose shard may be read; raises NotThere beyond the last."""
        if not 0 <= row < len(self.data):
            raise NotThere(f"there is no sample at position {row}, it has {len(self.data)}")
        entry = self.data.manifest["shards"][self.data.shard_of(row)]
        self._check(self.folder.shards / entry["file"])
        return row

    def row_of(self, sample: int) -> int:
        """Position of the sample with an id; raises NotThere if it isn't stored."""
        place = int(np.searchsorted(self.data.ids, sample))
        if place == len(self.data) or self.data.ids[place] != sample:
            raise NotThere(f"sample {sample} is not stored (or failed)")
        return place

    def function(self, field: str, row: int, step: int) -> StoredFunction:
        """`Dataset.function`; raises NotThere if there is no such field, sample or step."""
        if field not in self.data.fields:
            raise NotThere(f"there is no field {field!r}, it has {', '.join(self.data.fields)}")
        row = self.row(row)
        try:
            return self.data.function(field, row, step)
        except IndexError as error:
            raise NotThere(f"there is no time step {step} of {field!r}") from error

    def scalars(self) -> dict[str, Any]:
        """`Dataset.scalars`; raises DamagedFile where `scalars.h5` is missing and it is long."""
        return self.keep("scalars", self._scalars)

    def _scalars(self) -> dict[str, Any]:
        shards = self.data.manifest["shards"]
        self._check(self.folder.scalars)
        if not self._has_scalars():
            if len(shards) > _SCALAR_SHARDS:
                raise DamagedFile("scalars.h5: is missing or old; run `rekrylov finalise`")
            for entry in shards:
                self._check(self.folder.shards / entry["file"])
        return self.data.scalars

    def _has_scalars(self) -> bool:
        """Whether `scalars.h5` is of these shards."""
        try:
            with opened(self.folder.scalars) as file:
                return bool(file.attrs["digest"] == self.data.digest)
        except (FileNotFoundError, DamagedFile):
            return False

    def bytes_of(self, path: Path, most: int) -> bytes:
        """The bytes of a small file of the folder.

        Raises:
            NotThere: there is none.
            DamagedFile: it leads out of the root, is larger than `most`, or can't be read.
        """
        try:
            return limits.read_small(self._root, path, most)
        except FileNotFoundError as error:
            raise NotThere(f"there is no {path.name}") from error

    def folders(self, name: str) -> list[str]:
        """Names of the folders in a folder of the data set, none that leads out of the root."""
        try:
            limits.check_inside(self._root, self.folder.path / name)
            entries = list(os.scandir(self.folder.path / name))[:_LISTED]
        except (OSError, DamagedFile):
            return []
        return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))

    def _check(self, path: Path) -> None:
        """Look at an HDF5 file once."""
        if str(path) not in self._seen:
            limits.check_inside(self._root, path)
            if path.exists():
                limits.check_hdf5(path)
            self._seen.add(str(path))

    def _check_records(self) -> None:
        count = 0
        for count, (segment, batch) in enumerate(sorted(self.folder.committed()), 1):
            record = self.folder.record(segment, batch)
            limits.check_inside(self._root, record)
            limits.check_size(record, limits.MANIFEST_BYTES)
            if count > _SHARDS:
                raise DamagedFile(f"{self.folder.path.name}: has more than {_SHARDS} records")


def open_checked(path: Path) -> Dataset:
    """Open a data set whose manifest claims no more than can be shown."""
    from storage.manifest import read_manifest, records_manifest
    from storage.records import read_records

    folder = DataFolder(path)
    if not folder.shards.is_dir():
        return open_dataset(path)  # which says what is wrong
    try:
        manifest, has_manifest = read_manifest(folder), True
    except FileNotFoundError:
        manifest, has_manifest = records_manifest(folder, read_records(folder)), False
    limits.check_manifest(manifest)
    return Dataset.from_manifest(folder, manifest, has_manifest=has_manifest)


class Opened:
    """The open data sets of a worker process.

    Attributes:
        root: below which they are, resolved.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self._open: OrderedDict[tuple[str, str], OpenDataset] = OrderedDict()

    def get(self, folder: str, version: str) -> OpenDataset:
        """Return the data set in a folder of the root, opened again if its version is another."""
        key = (folder, version)
        if key not in self._open:
            for old in [old for old in self._open if old[0] == folder]:
                del self._open[old]
            self._open[key] = OpenDataset(self.root, self.root / folder)
            while len(self._open) > _KEPT:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]
