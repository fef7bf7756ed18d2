"""What is read of a data set that may be crafted: limits on sizes, and no way out of the root.

An HDF5 file can name other files (external links, external storage, virtual data sets) and claim
sizes that it doesn't have; a manifest can claim 10⁹ samples in twenty bytes. Both are looked at
before anything is read.
"""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from storage import files
from storage.errors import DamagedFile

__all__ = [
    "check_hdf5",
    "check_inside",
    "check_manifest",
    "check_size",
    "is_png",
    "packed_count",
    "read_small",
]

FILE_BYTES = 1 << 40
MANIFEST_BYTES = 64 << 20
SAMPLES = 20_000_000
SAMPLE_BYTES = 256 << 20
CHUNK_BYTES = 64 << 20
TABLE_BYTES = 1 << 30
OBJECTS = 20_000
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_LAYOUTS = {h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED}


def check_inside(root: Path, path: Path) -> None:
    """Raise DamagedFile if a path leads out of the root by a symbolic link; a missing one is fine.

    Args:
        root: the folder below which everything has to be, resolved.
        path: of a file or folder.
    """
    real = os.path.realpath(path)
    if real != str(root) and not real.startswith(f"{root}{os.sep}"):
        raise DamagedFile(f"{path.name}: leads out of the root by a link; it is not followed")


def check_size(path: Path, limit: int) -> None:
    """Raise DamagedFile if it is no plain file, or larger than it may be."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise DamagedFile(f"{path.name}: is no file that can be read")
    if found.st_size > limit:
        raise DamagedFile(f"{path.name}: has {found.st_size} bytes, more than {limit}; not read")


def read_small(root: Path, path: Path, most: int) -> bytes:
    """Return the bytes of a small file.

    Raises:
        FileNotFoundError: there is none.
        DamagedFile: it leads out of the root, is no plain file or a larger one, or can't be read.
    """
    check_inside(root, path)
    return files.read_bytes(path, most)


def is_png(data: bytes) -> bool:
    """Whether bytes begin as those of a PNG do."""
    return data.startswith(b"\x89PNG\r\n\x1a\n")


def check_manifest(manifest: dict[str, Any]) -> None:
    """Raise DamagedFile if a manifest claims more than can be shown."""
    count = sum(packed_count(shard["ids"]) for shard in manifest["shards"])
    if count > SAMPLES:
        raise DamagedFile(f"manifest.json: claims {count} samples, more than {SAMPLES}")
    for name, kind in manifest["columns"].items():
        size = math.prod(int(n) for n in kind["shape"]) * np.dtype(kind["dtype"]).itemsize
        if not 0 <= size <= SAMPLE_BYTES or np.dtype(kind["dtype"]).kind not in "biuf":
            raise DamagedFile(f"manifest.json: a sample of {name} claims {size} bytes")


def packed_count(ids: list[Any]) -> int:
    """Return how many ids a packed list means; nothing is unpacked."""
    pairs = [item for item in ids if isinstance(item, list)]
    return len(ids) - len(pairs) + sum(int(end) - int(first) for first, end in pairs)


def check_hdf5(path: Path) -> None:
    """Look at the headers of an HDF5 file, and at no value.

    Raises:
        DamagedFile: it names other files, claims too much, or holds what no file of ours does.
    """
    check_size(path, FILE_BYTES)
    try:
        with h5py.File(path, "r") as file:
            _walk(file, path.name)
    except DamagedFile:
        raise
    except Exception as error:  # h5py says what is wrong in a damaged file in many ways
        raise DamagedFile(f"{path.name}: is damaged ({' '.join(str(error).split())})") from error


def _walk(file: h5py.File, name: str) -> None:
    left, seen, total = [file["/"]], 0, 0
    while left:
        group = left.pop()
        for key in group:
            seen += 1
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise DamagedFile(f"{name}: {key} is a link to somewhere else; it is not followed")
            item = group[key]
            if isinstance(item, h5py.Group):
                left.append(item)
            elif isinstance(item, h5py.Dataset):
                total += _check_table(item, name)
            if seen > OBJECTS:
                raise DamagedFile(f"{name}: holds more than {OBJECTS} objects; it is not read")
    if total > TABLE_BYTES:
        raise DamagedFile(f"{name}: claims {total} bytes, more than {TABLE_BYTES}; it is not read")


def _check_table(item: h5py.Dataset, name: str) -> int:
    """The bytes of a data set that is numbers, in this file, by filters that are known."""
    where = f"{name}:{item.name}"
    if item.dtype.kind not in "biufc" or item.shape is None:
        raise DamagedFile(f"{where} is no array of numbers")
    plist = item.id.get_create_plist()
    if plist.get_external_count() or plist.get_layout() not in _LAYOUTS:
        raise DamagedFile(f"{where} has its values in another file; it is not followed")
    filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
    if not filters <= _FILTERS:
        raise DamagedFile(
            f"{where} has filters {sorted(filters - _FILTERS)}, which none of ours has"
        )
    chunk = math.prod(item.chunks or (1,)) * item.dtype.itemsize
    if chunk > CHUNK_BYTES:
        raise DamagedFile(f"{where} has chunks of {chunk} bytes, more than {CHUNK_BYTES}")
    return math.prod(item.shape) * item.dtype.itemsize
