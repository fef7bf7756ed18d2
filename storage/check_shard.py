"""Checks of one shard: its bytes, its header, its rows, its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import h5py
import numpy as np

from storage import files
from storage.errors import StorageError
from storage.folder import FORMAT, DataFolder
from storage.hdf5 import opened
from storage.records import Record

__all__ = ["Finding", "Limits", "check_shard"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        severity: "error" is damage, "warning" wants a look, "info" is neither.
        code: stable name of the kind, such as `shard.checksum`.
        location: file, relative to the data set.
        message: one line.
    """

    severity: Literal["error", "warning", "info"]
    code: str
    location: str
    message: str


@dataclass(frozen=True)
class Limits:
    """What the values of a shard are held against.

    Attributes:
        rtol: largest true residual, None if unknown.
        columns: column → `dtype` and `shape` of a sample, None if unknown.
        boundary: output field → (constrained dofs, their values).
    """

    rtol: float | None
    columns: Mapping[str, Any] | None
    boundary: Mapping[str, tuple[Any, Any]]


def check_shard(folder: DataFolder, record: Record, limits: Limits) -> Iterator[Finding]:
    """Check the shard of one record; nothing is trusted before its checksum is right."""
    path = folder.shards / str(record.file)
    where = f"shards/{record.file}"
    if not path.is_file():
        text = "its record is there, the shard is not; `rekrylov solve` makes it again"
        yield Finding("error", "shard.missing", where, text)
        return
    if (size := path.stat().st_size) != record.bytes:
        text = f"{size} bytes, record says {record.bytes}; `rekrylov solve` makes it again"
        yield Finding("error", "shard.size", where, text)
    elif files.sha256_file(path) != record.sha256:
        text = "SHA-256 is not that of its record; remove it, `rekrylov solve` makes it again"
        yield Finding("error", "shard.checksum", where, text)
    try:
        with opened(path) as file:
            yield from _header(file, record, where)
            yield from _rows(file, record, limits, where)
            yield from _values(file, limits, where)
    except (StorageError, TypeError, IndexError, MemoryError) as error:
        yield Finding("error", "shard.unreadable", where, str(error))


def _header(file: h5py.File, record: Record, where: str) -> Iterator[Finding]:
    expected = {
        "format": FORMAT,
        "data_key": record.data_key,
        "segment": record.segment,
        "batch": record.batch,
        "spaces_hash": record.spaces_hash,
    }
    for name, value in expected.items():
        if (found := file.attrs.get(name)) != value:
            code = "shard.spaces" if name == "spaces_hash" else "shard.header"
            yield Finding("error", code, where, f"{name} is {found}, its record says {value}")


def _rows(file: h5py.File, record: Record, limits: Limits, where: str) -> Iterator[Finding]:
    if file["samples/id"][()].tolist() != list(record.ids):
        yield Finding("error", "shard.ids", where, "samples/id are not the ids of its record")
    found = _columns(file)
    for name, shape in found.items():
        if shape[:1] != (len(record.ids),):
            text = f"{name} has shape {shape}, expected {len(record.ids)} rows"
            yield Finding("error", "shard.shape", where, text)
    if limits.columns is not None:
        expected = {name: tuple(kind["shape"]) for name, kind in limits.columns.items()}
        different = {name for name in expected if found.get(name, (0, -1))[1:] != expected[name]}
        for name in sorted(different | (set(found) - set(expected))):
            text = f"{name} has shape {found.get(name)}, the manifest says {expected.get(name)}"
            yield Finding("error", "shard.columns", where, text)


def _columns(file: h5py.File) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item.shape

    file.visititems(visit)
    return found


def _values(file: h5py.File, limits: Limits, where: str) -> Iterator[Finding]:
    ids = file["samples/id"][()]
    mask = file["times_mask"][()].astype(bool) if "times_mask" in file else None
    for name, shape in _columns(file).items():
        if name.startswith(("inputs/", "outputs/", "parameters/")):
            bad = _nonfinite(file[name], mask if name.startswith("outputs/") else None)
            if bad.any():
                text = f"{name} holds NaN or Inf in samples {ids[: len(bad)][bad][:5].tolist()}"
                yield Finding("error", "values.nonfinite", where, text)
        field = name.removeprefix("outputs/")
        if field != name and field in limits.boundary and len(shape) > 1:
            yield from _boundary(file[name], limits.boundary[field], ids, where)
    yield from _residuals(file, limits, ids, where)


def _nonfinite(dataset: h5py.Dataset, mask: Any) -> Any:
    """Which samples hold NaN or Inf (in time steps that count)."""
    bad = np.zeros(len(dataset), dtype=bool)
    for row in range(len(dataset)):
        values = dataset[row]
        if mask is not None and values.ndim > 1 and len(values) == mask.shape[1]:
            values = values[mask[row]]
        bad[row] = not np.all(np.isfinite(values))
    return bad


def _boundary(dataset: h5py.Dataset, fixed: Any, ids: Any, where: str) -> Iterator[Finding]:
    dofs, values = fixed
    tolerance = 16 * np.finfo(dataset.dtype).eps * max(1.0, float(np.abs(values).max(initial=0)))
    for row in range(len(dataset)):
        found = dataset[row][..., dofs]
        if np.any(np.abs(found - values) > tolerance):
            text = f"{dataset.name[1:]} of sample {ids[row]} lacks its values on constrained dofs"
            yield Finding("error", "values.boundary", where, text)
            return


def _residuals(file: h5py.File, limits: Limits, ids: Any, where: str) -> Iterator[Finding]:
    if "solve/true_residual" not in file:
        yield Finding("warning", "residual.missing", where, "stores no solve/true_residual")
        return
    residuals = file["solve/true_residual"][()].reshape(len(ids), -1)
    limit = np.inf if limits.rtol is None else limits.rtol
    bad = ~np.all(np.isfinite(residuals) & (residuals <= limit), axis=1)
    if bad.any():
        text = f"true residual of samples {ids[bad][:5].tolist()} is above rtol {limits.rtol}"
        yield Finding("error", "residual.high", where, text)
