"""Shards: one HDF5 file a batch, sample-major, written once.

The order of a commit: image in memory → temporary file, synced, read back → its name → folder
synced → the record the same way. Every shard that has its name is whole, and every record that
has its name speaks of such a shard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt

from storage import files
from storage.errors import RevisionMismatch, StorageError
from storage.folder import FORMAT, DataFolder
from storage.hdf5 import build_image
from storage.records import Record, commit_record, read_record

__all__ = ["Filter", "ShardHeader", "discard_shard", "write_shard"]

type Filter = Literal["gzip", "shuffle+gzip"] | None
type Columns = Mapping[str, npt.NDArray[Any]]

_FILTERS: dict[str | None, dict[str, Any]] = {
    None: {},
    "gzip": {"compression": "gzip", "compression_opts": 4},
    "shuffle+gzip": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
}
_CHUNK = 1 << 20
_SMALL = 1 << 16


@dataclass(frozen=True, slots=True)
class ShardHeader:
    """Which batch of which data set a shard holds; the attributes of its root.

    Attributes:
        data_key: of the data set.
        segment: number of the segment.
        batch: number of the batch in it.
        spaces_hash: of `spaces.h5`.
    """

    data_key: str
    segment: int
    batch: int
    spaces_hash: str


def write_shard(
    folder: DataFolder,
    header: ShardHeader,
    columns: Columns,
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
    failures: Sequence[Mapping[str, Any]] = (),
    *,
    dtype: npt.DTypeLike = np.float64,
    filter: Filter = None,
    info: Mapping[str, Any] | None = None,
) -> Record:
    """Commit a batch: its shard, then its record. Safe to repeat, and for several writers.

    Args:
        folder: the data set.
        header: which batch it is.
        columns: name (`inputs/a`, `samples/id`, …) → array with the samples on the first axis;
            `samples/id` is a must. No sample at all (all failed) makes a record only.
        attributes: column → its attributes (`space`, `units`, `description`).
        failures: a dict with at least `id` and `reason` for each sample that isn't stored.
        dtype: floating type of `inputs/…` and `outputs/…`; the rest keeps its own.
        filter: HDF5 filter of `inputs/…` and `outputs/…`.
        info: what else the record shall tell (host, timings …).

    Returns:
        The record on disk: if the batch was committed before, or by another writer meanwhile,
        that writer's.

    Raises:
        StorageFull, ReadOnly: nothing is committed; earlier batches are safe.
        RevisionMismatch: the batch is committed with another data key.
        StorageError: it is committed with other ids.
        ValueError: columns don't fit each other.
    """
    ids = _checked_ids(columns, failures)
    failed = tuple(files.plain(dict(failure)) for failure in failures)
    record = Record(
        header.data_key, header.segment, header.batch, ids, failed, None, None, 0,
        header.spaces_hash, files.plain(dict(info or {})),
    )  # fmt: skip
    if (present := _committed(folder, record)) is not None:
        return present
    if ids:
        image = _image(header, _stored(columns, dtype), attributes or {}, filter)
        record = _publish(folder, record, image)
    ours = record.file
    if not commit_record(folder, record):
        record = _committed(folder, record) or record
    _tidy(folder, ours, record)
    return record


def discard_shard(folder: DataFolder, segment: int, batch: int) -> None:
    """Take back a commit, record first, so that the batch is solved again (for repairs)."""
    for path in folder.batch_files(folder.record(segment, batch).stem):
        files.remove_file(path)


def _checked_ids(columns: Columns, failures: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    if "samples/id" not in columns:
        raise ValueError(f"columns lack 'samples/id', got {sorted(columns)}")
    ids = tuple(np.asarray(columns["samples/id"]).tolist())
    for name, column in columns.items():
        if np.shape(column)[:1] != (len(ids),):
            raise ValueError(f"{name} has shape {np.shape(column)}, expected {len(ids)} rows")
    every = [*ids, *(failure["id"] for failure in failures)]
    if len(set(every)) != len(every):
        raise ValueError("an id is twice among samples and failures of a batch")
    if not every:
        raise ValueError("a batch needs at least one sample or failure")
    return ids


def _committed(folder: DataFolder, wanted: Record) -> Record | None:
    """The record on disk if the batch has one; raises if it is another batch's."""
    path = folder.record(wanted.segment, wanted.batch)
    try:
        present = read_record(path)
    except FileNotFoundError:
        return None
    if present.data_key != wanted.data_key or present.spaces_hash != wanted.spaces_hash:
        raise RevisionMismatch(
            f"{path}: has data key {present.data_key} and spaces {present.spaces_hash[:10]}, "
            f"expected {wanted.data_key} and {wanted.spaces_hash[:10]}; use another folder"
        )
    if present.all_ids != wanted.all_ids:
        raise StorageError(
            f"{path}: the batch is committed with {len(present.all_ids)} other ids than the "
            f"{len(wanted.all_ids)} given; run `rekrylov check`"
        )
    return present


def _publish(folder: DataFolder, record: Record, image: bytes) -> Record:
    """Give the shard a name nobody else uses, and fill in the record.

    A shard that is there without a record was left by a killed writer or is about to be
    committed by a live one, so it must not change: ours gets a name with its checksum.
    """
    path = folder.shard(record.segment, record.batch)
    with ThreadPoolExecutor(1) as pool:  # while the disk is waited for
        hashing = pool.submit(files.sha256, image)
        named = files.commit_bytes(path, image, replace=False)
    digest = hashing.result()
    if not named:
        path = path.with_name(f"{path.stem}-{digest[:8]}.h5")
        files.commit_bytes(path, image, replace=False)
    return replace(record, file=path.name, sha256=digest, bytes=len(image))


def _tidy(folder: DataFolder, ours: str | None, committed: Record) -> None:
    """Remove shards of this batch, known to this writer, that the record doesn't name."""
    plain = folder.shard(committed.segment, committed.batch).name
    for name in {plain, ours or plain} - {committed.file}:
        if (folder.shards / name).exists():
            files.remove_file(folder.shards / name)


def _stored(columns: Columns, dtype: npt.DTypeLike) -> Columns:
    """Columns as they are stored: fields in `dtype`, all of them C-contiguous."""
    return {
        name: np.ascontiguousarray(column, dtype=dtype if _is_field(name) else None)
        for name, column in sorted(columns.items())
    }


def _is_field(name: str) -> bool:
    return name.startswith(("inputs/", "outputs/"))


def _image(
    header: ShardHeader,
    columns: Columns,
    attributes: Mapping[str, Mapping[str, Any]],
    filter: Filter,
) -> bytes:
    def fill(file: h5py.File) -> None:
        file.attrs["format"] = FORMAT
        file.attrs.update(asdict(header))
        for name, column in columns.items():
            options = _FILTERS[filter] if _is_field(name) else {}
            dataset = file.create_dataset(name, data=column, chunks=_chunks(column), **options)
            dataset.attrs.update(attributes.get(name, {}))

    return build_image(fill, sum(column.nbytes for column in columns.values()))


def _chunks(column: npt.NDArray[Any]) -> tuple[int, ...]:
    """One sample a chunk; samples below 64 KiB are grouped up to 1 MiB."""
    sample = max(1, column.itemsize * math.prod(column.shape[1:]))
    rows = max(1, _CHUNK // sample) if sample < _SMALL else 1
    return (min(rows, len(column)), *(max(1, size) for size in column.shape[1:]))
