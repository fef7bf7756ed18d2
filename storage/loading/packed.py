"""The packed copy: the fields in single precision, one array a field by ascending id.

    packed/index.json                        what it was made from, and its files
    packed/<role>.<field>-<10 hex>.npy       (samples, …), as `numpy.load` reads it

It is derived and can be made again at any time. `index.json` is renamed into place last and is the
copy; it keeps the digest of the shard list, so that a copy of other samples is refused. Half the
bytes, and rows of one file by position instead of many: that is what training reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from storage import files
from storage.errors import DamagedFile, StorageError
from storage.handles import ArrayFile
from storage.ids import IdArray, unpack_many
from storage.positional import Layout

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["PackedCopy", "find_packed", "has_packed", "open_packed", "packed_faults"]

FORMAT = 1
INDEX = "index.json"
_KEYS = {"file": str, "sha256": str, "bytes": int, "offset": int, "shape": list, "dtype": str}


@dataclass(frozen=True, eq=False)
class PackedCopy:
    """A packed copy that is known to be of the data set's samples. No file is held open here.

    Attributes:
        folder: `packed/`.
        ids: (n) of all samples, ascending: row k of every file is sample `ids[k]`.
        columns: column → `file`, `sha256`, `bytes`, `offset` of row 0, `shape`, `dtype`.
        verify: compare a file's SHA-256 when a process first opens it.
    """

    folder: Path
    ids: IdArray
    columns: dict[str, dict[str, Any]]
    verify: bool = False

    def read(
        self, column: str, rows: Sequence[int], places: Sequence[int], out: npt.NDArray[Any]
    ) -> None:
        """Read some rows of a column into some rows of an array.

        Args:
            column: its full name.
            rows: (k) rows to read, ascending.
            places: (k) where in `out` they go.
            out: (m, …) C-contiguous; values are converted to its type.

        Raises:
            DamagedFile: the file is missing, has another size or checksum, or can't be read.
        """
        self._files[column].read(self.verify, rows, places, out)

    def mapped(self, column: str) -> npt.NDArray[Any]:
        """Map a column into memory, read-only: (n, …), nothing is read before it is touched.

        For whole-array work. Should the file be cut off while it is mapped, touching the missing
        part ends the process; `read` never maps.

        Raises:
            DamagedFile: the file is missing or has another size.
        """
        entry = self.columns[column]
        path = self.folder / entry["file"]
        if (fault := _size_fault(path, entry)) is not None:
            raise DamagedFile(f"{path}: {fault}; {_fix(self.folder)}")
        shape = tuple(entry["shape"])
        if 0 in shape:
            return np.empty(shape, entry["dtype"])
        return np.memmap(path, entry["dtype"], "r", entry["offset"], shape)

    @cached_property
    def _files(self) -> dict[str, ArrayFile]:
        return {name: self._file(entry) for name, entry in self.columns.items()}

    def _file(self, entry: dict[str, Any]) -> ArrayFile:
        layout = Layout.make([entry["offset"]], entry["shape"][0], entry["shape"], entry["dtype"])
        key = (f"{self.folder}/{entry['file']}", entry["sha256"])
        return ArrayFile(key, entry["bytes"], layout, _fix(self.folder))


def open_packed(dataset: Dataset, verify: bool = False) -> PackedCopy:
    """Return the packed copy of a data set.

    Raises:
        StorageError: there is none, or it is of other samples.
        DamagedFile: its index is malformed.
    """
    found = find_packed(dataset, verify)
    if found is None:
        folder = dataset.path / "packed"
        raise StorageError(f"{dataset.path}: has no packed copy; {_fix(folder)}")
    return found


def find_packed(dataset: Dataset, verify: bool = False) -> PackedCopy | None:
    """Return the packed copy of a data set, None if it has none; raises as `open_packed`."""
    folder = dataset.path / "packed"
    try:
        index = files.read_json(folder / INDEX)
    except FileNotFoundError:
        return None
    _check_index(index, folder, dataset)
    ids = _all_ids(dataset)
    if index["data_key"] != dataset.manifest["data_key"] or index["digest"] != dataset.digest:
        raise StorageError(
            f"{folder}: was made from {index['samples']} samples in other shards than the "
            f"{len(ids)} of now; {_fix(folder)}"
        )
    return PackedCopy(folder, ids, index["columns"], verify)


def has_packed(path: Path) -> bool:
    """Whether a data set has a packed copy, of whatever samples."""
    return (Path(path) / "packed" / INDEX).exists()


def packed_faults(dataset: Dataset, full: bool = True) -> Iterator[tuple[str, str]]:
    """What is wrong with the packed copy: (file, text); nothing if there is none.

    Args:
        dataset: all its samples.
        full: compare checksums, not just sizes.
    """
    try:
        found = find_packed(dataset)
    except StorageError as error:
        yield f"packed/{INDEX}", str(error)
        return
    for entry in found.columns.values() if found is not None else ():
        path = dataset.path / "packed" / entry["file"]
        fault = _size_fault(path, entry)
        if fault is None and full and files.sha256_file(path) != entry["sha256"]:
            fault = "its SHA-256 is not that of the index"
        if fault is not None:
            yield f"packed/{entry['file']}", f"{path}: {fault}; {_fix(path.parent)}"


def _all_ids(dataset: Dataset) -> IdArray:
    return np.sort(unpack_many([shard["ids"] for shard in dataset.manifest["shards"]])[0])


def _fix(folder: Path) -> str:
    return f"run `rekrylov pack {folder.parent}`"


def _size_fault(path: Path, entry: Mapping[str, Any]) -> str | None:
    try:
        found = path.stat().st_size
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if found == entry["bytes"] else f"has {found} bytes, expected {entry['bytes']}"


def _check_index(index: Any, folder: Path, dataset: Dataset) -> None:
    """Raise DamagedFile if it isn't an index that this version reads."""
    try:
        sound = index["format"] == FORMAT and isinstance(index["samples"], int)
        sound &= all(isinstance(index[key], str) for key in ("data_key", "digest"))
        for column, entry in index["columns"].items():
            shape = dataset.columns.get(column, {"shape": entry["shape"][1:]})["shape"]
            sound &= entry["shape"] == [index["samples"], *shape] and _is_entry(entry)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedFile(f"{folder / INDEX}: is malformed ({error!r}); {_fix(folder)}") from error
    if not sound:
        raise DamagedFile(f"{folder / INDEX}: is no index of format {FORMAT}; {_fix(folder)}")


def _is_entry(entry: dict[str, Any]) -> bool:
    kind = np.dtype(entry["dtype"])
    ends = entry["offset"] + kind.itemsize * math.prod(entry["shape"])
    typed = all(type(entry[key]) is wanted for key, wanted in _KEYS.items())
    return typed and "/" not in entry["file"] and kind.kind in "biuf" and ends == entry["bytes"]
