"""Checks of derived files. What they hold can be made again, so nothing here is damage."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from storage.checks.finding import Finding, one_line, warning
from storage.errors import DamagedFile
from storage.files import read_bytes
from storage.folder import DataFolder
from storage.hdf5 import opened

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["check_packed", "check_pictures", "check_scalars"]

_PNG = b"\x89PNG\r\n\x1a\n"
_CURE = "; `rekrylov repair` makes it again"


def check_scalars(
    folder: DataFolder, dataset: Dataset, values: bool, moments: bool
) -> Iterator[Finding]:
    """`scalars.h5` is of these shards and whole.

    If `values`, it says what their columns say; if `moments`, what their input fields say, too.
    """
    from storage.scalars import names as expected

    location = folder.scalars.name
    try:
        with opened(folder.scalars) as file:
            fresh = file.attrs["digest"] == dataset.digest
            names = [str(name) for name in file.attrs["names"]]
            table = {name: file[f"{place:04d}"][()] for place, name in enumerate(names)}
    except FileNotFoundError:
        yield warning("scalars.missing", location, f"is missing{_CURE}")
        return
    except Exception as problem:
        yield warning("scalars.damaged", location, one_line(problem) + _CURE)
        return
    if not fresh:
        yield warning("scalars.stale", location, f"is of other shards{_CURE}")
    elif lacking := sorted(set(expected(dataset)) - set(table)):
        yield warning("scalars.damaged", location, f"lacks {', '.join(lacking)}{_CURE}")
    elif values and (wrong := [n for n in table if not _agrees(dataset, n, table[n], moments)]):
        text = f"{', '.join(wrong)}: not those of the shards{_CURE}"
        yield warning("scalars.damaged", location, text)


def _agrees(dataset: Dataset, name: str, values: np.ndarray, moments: bool) -> bool:
    """Whether a column of the table is that of the shards."""
    from storage.scalars import description, descriptions

    if name == "id":
        return np.array_equal(values, dataset.ids)
    for column in ("samples/order", f"solve/{name}", f"parameters/{name}"):
        if column.endswith(f"/{name}") and column in dataset.columns:
            known = dataset.read(column)
            known = known.reshape(len(known), -1).max(axis=1) if known.size else known
            return np.array_equal(values, known, equal_nan=True)
    if len(values) == len(dataset) and moments and name in descriptions(dataset):
        return np.allclose(values, description(dataset, name, stored=False), rtol=1e-9)
    return len(values) == len(dataset)


def check_packed(dataset: Dataset, full: bool) -> Iterator[Finding]:
    """The packed copy, where there is one, is of these shards and whole."""
    from storage.loading.packed import packed_faults

    for location, text in packed_faults(dataset, full):
        yield warning("packed.unusable", location, text)


def check_pictures(folder: DataFolder) -> Iterator[Finding]:
    """Pictures are whole PNG files."""
    if folder.previews.exists() and not folder.previews.is_dir():
        yield warning("preview.damaged", "previews", f"is no folder{_CURE}")
    for path in sorted(folder.previews.glob("*.png")) if folder.previews.is_dir() else []:
        location = f"previews/{path.name}"
        try:
            data = read_bytes(path)
        except (OSError, DamagedFile) as problem:
            yield warning("preview.damaged", location, one_line(problem) + _CURE)
            continue
        if not _is_whole(data):
            yield warning("preview.damaged", location, f"is no whole PNG file{_CURE}")


def _is_whole(data: bytes) -> bool:
    """Whether it is a PNG file to the end, and all of its parts have their CRC-32."""
    place, last = len(_PNG), b""
    while data.startswith(_PNG) and place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4])
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return False
        place, last = end + 4, data[place + 4 : place + 8]
    return last == b"IEND" and place == len(data)
