"""Join data sets of one data key that were made on different machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from storage import files
from storage.errors import DamagedFile, DamagedShard, RevisionMismatch, StorageError
from storage.folder import DataFolder
from storage.hdf5 import opened
from storage.order import append_segment, set_path
from storage.records import Record, read_records
from storage.shards import Filter, ShardHeader, write_shard
from storage.spaces import read_spaces, spaces_hash, write_spaces

__all__ = ["merge"]


@dataclass(frozen=True)
class _Batch:
    """What is taken over of a committed batch."""

    source: DataFolder
    record: Record
    ids: tuple[int, ...]
    failures: tuple[dict[str, Any], ...]


def merge(
    sources: Sequence[Path], target: Path, progress: Callable[[int], None] = lambda done: None
) -> int:
    """Write the samples of several data sets into a new folder, without a manifest.

    Every committed sample is taken once, from the first source that stored it; one that failed
    in a source and is stored in another is stored. Each segment of a source becomes a segment.

    Args:
        sources: folders of the data sets, two or more.
        target: a folder that is empty or doesn't exist.
        progress: called with the number of batches written so far.

    Returns:
        The number of samples stored.

    Raises:
        RevisionMismatch: data keys or spaces differ.
        DamagedFile: a shard or `spaces.h5` isn't what its record says.
        StorageError: a source holds no sample, or the target holds something.
    """
    folders = [DataFolder(Path(source)) for source in sources]
    taken = _batches([(folder, read_records(folder)) for folder in folders])
    digest = _checked(folders, [batch.record for batch in taken])
    out = DataFolder(target)
    if out.path.exists() and any(out.path.iterdir()):
        raise StorageError(f"{target}: holds something already; name a new folder")
    out.create()
    write_spaces(out.spaces, read_spaces(folders[0].spaces, verify=True))
    stored = done = 0
    for number, (_, batches) in enumerate(_segments(taken)):
        sizes = [len(batch.ids) + len(batch.failures) for batch in batches]
        every = [i for b in batches for i in [*b.ids, *(f["id"] for f in b.failures)]]
        append_segment(out.order, every)
        set_path(out.order, number, np.arange(len(every)), np.cumsum([0, *sizes]))
        for place, batch in enumerate(batches):
            header = ShardHeader(batch.record.data_key, number, place, digest)
            _copy(batch, out, header, sum(sizes[:place]))
            stored, done = stored + len(batch.ids), done + 1
            progress(done)
    return stored


def _checked(folders: Sequence[DataFolder], records: Sequence[Record]) -> str:
    """The hash of the spaces, once all sources are seen to be of one kind."""
    if not records:
        raise StorageError(f"{folders[0].path}: holds no sample; run `rekrylov solve` first")
    if len(keys := {record.data_key for record in records}) > 1:
        shown = ", ".join(sorted(key[:10] for key in keys))
        raise RevisionMismatch(
            f"the data keys differ ({shown}): problem, mesh, seed or tolerance are not the same; "
            "merge data sets of one data key"
        )
    found = {folder.path: spaces_hash(folder.spaces) for folder in folders}
    if len(set(found.values())) > 1:
        shown = ", ".join(f"{path.name} {value[:10]}" for path, value in found.items())
        raise RevisionMismatch(
            f"spaces.h5 differ ({shown}): coefficients don't mean the same; make the parts with "
            "one version, from one copy of spaces.h5"
        )
    return next(iter(found.values()))


def _batches(sources: Sequence[tuple[DataFolder, list[Record]]]) -> list[_Batch]:
    """What is taken of each batch: each id once, stored rather than failed."""
    stored = {i for _, records in sources for record in records for i in record.ids}
    seen: set[int] = set()
    found = []
    for folder, records in sources:
        for record in records:
            ids = tuple(i for i in record.ids if i not in seen)
            seen.update(ids)
            lost = tuple(f for f in record.failures if f["id"] not in stored | seen)
            seen.update(failure["id"] for failure in lost)
            if ids or lost:
                found.append(_Batch(folder, record, ids, lost))
    return found


def _segments(batches: Sequence[_Batch]) -> Iterator[tuple[Any, list[_Batch]]]:
    """Batches by source and segment, in their order."""
    groups: dict[Any, list[_Batch]] = {}
    for batch in batches:
        groups.setdefault((batch.source.path, batch.record.segment), []).append(batch)
    return iter(groups.items())


def _copy(batch: _Batch, out: DataFolder, header: ShardHeader, start: int) -> None:
    """Commit the batch anew; `start` is its first place on the segment's path."""
    record, columns, attributes = batch.record, {}, {}
    dtype: npt.DTypeLike = np.float64
    compression: Filter = None
    if record.file is not None and batch.ids:
        path = batch.source.shards / record.file
        if files.sha256_file(path) != record.sha256:
            raise DamagedShard(
                f"{path}: its SHA-256 is not that of its record; run `rekrylov repair` there first"
            )
        rows = np.flatnonzero(np.isin(record.ids, batch.ids))
        with opened(path, DamagedShard) as file:
            for name, dataset in _datasets(file):
                columns[name] = dataset[()][rows]
                attributes[name] = dict(dataset.attrs)
                if name.startswith(("inputs/", "outputs/")):
                    dtype, compression = dataset.dtype, _filter(dataset)
    else:
        columns["samples/id"] = np.empty(0, dtype=np.int64)
    if "samples/order" in columns:
        columns["samples/order"] = np.arange(start, start + len(batch.ids))
    info = record.info | {"merged_from": batch.source.path.name}
    write_shard(
        out, header, columns, attributes, batch.failures,
        dtype=dtype, filter=compression, info=info,
    )  # fmt: skip


def _datasets(file: h5py.File) -> list[tuple[str, h5py.Dataset]]:
    found: list[tuple[str, h5py.Dataset]] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append((name, item))

    file.visititems(visit)
    return found


def _filter(dataset: h5py.Dataset) -> Filter:
    if dataset.compression is None:
        return None
    if dataset.compression != "gzip":
        raise DamagedFile(f"{dataset.file.filename}: is compressed by {dataset.compression}")
    return "shuffle+gzip" if dataset.shuffle else "gzip"
