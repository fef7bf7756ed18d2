"""Checks of derived files. What they hold can be made again, so nothing here is damage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from storage.checks.finding import Finding, one_line, warning
from storage.folder import DataFolder
from storage.hdf5 import opened

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["check_packed", "check_pictures", "check_scalars"]

_PNG = b"\x89PNG\r\n\x1a\n"
_END = b"IEND\xaeB`\x82"
_CURE = "; `rekrylov repair` makes it again"


def check_scalars(folder: DataFolder, dataset: Dataset, values: bool) -> Iterator[Finding]:
    """`scalars.h5` is of these shards, whole, and (if `values`) says what their columns say."""
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
    elif values and (wrong := [n for n in table if not _agrees(dataset, n, table[n])]):
        text = f"{', '.join(wrong)}: not those of the shards{_CURE}"
        yield warning("scalars.damaged", location, text)


def _agrees(dataset: Dataset, name: str, values: np.ndarray) -> bool:
    """Whether a column of the table is that of the shards; moments of fields aren't looked at."""
    if name == "id":
        return np.array_equal(values, dataset.ids)
    for column in ("samples/order", f"solve/{name}", f"parameters/{name}"):
        if column.endswith(f"/{name}") and column in dataset.columns:
            known = dataset.read(column)
            known = known.reshape(len(known), -1).max(axis=1) if known.size else known
            return np.array_equal(values, known, equal_nan=True)
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
            data = path.read_bytes()
        except OSError as problem:
            yield warning("preview.damaged", location, one_line(problem) + _CURE)
            continue
        if not data.startswith(_PNG) or not data.endswith(_END):
            yield warning("preview.damaged", location, f"is no whole PNG file{_CURE}")
