"""Checks of what is committed: records, sizes of shards, ids, order. No shard is read."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from storage import files
from storage.checks.finding import Finding, error, info, one_line, warning
from storage.errors import FormatMismatch
from storage.folder import DataFolder
from storage.order import read_features, read_order
from storage.records import Record, read_record

__all__ = ["check_ids", "check_keys", "check_order", "check_presence", "read_all", "where"]

type Ids = npt.NDArray[np.int64]

_SOME = 5
_KNOWN = re.compile(r"\d{4,}-\d{6,}\.json|.*\.(h5|tmp)")


def where(record: Record) -> str:
    """The record's file, relative to the data set."""
    return f"shards/{record.segment:04d}-{record.batch:06d}.json"


def read_all(folder: DataFolder, findings: list[Finding]) -> list[Record]:
    """Read all records that can be read; the others are findings."""
    records = []
    root = os.fspath(folder.path)
    for segment, batch in sorted(folder.committed()):
        location = f"shards/{segment:04d}-{batch:06d}.json"
        try:
            records.append(read_record(f"{root}/{location}"))
        except FormatMismatch as problem:
            findings.append(error("record.format", location, str(problem)))
        except Exception as problem:  # a torn file can be anything, JSON nested too deep as well
            text = one_line(problem)
            findings.append(error("record.malformed", location, text))
    if not records:
        findings.append(warning("record.none", "shards", "no batch is committed"))
    return records


def check_keys(records: list[Record], expected: str | None) -> tuple[str | None, list[Finding]]:
    """Records of other data sets.

    Args:
        records: all that can be read.
        expected: data key that `spaces.h5` tells, None if it can't; then that of most records.

    Returns:
        The data key of the data set, and findings.
    """
    counts = Counter(record.data_key for record in records)
    key = counts.most_common(1)[0][0] if expected is None and counts else expected
    found = [
        error("record.key", where(record), f"is of data key {record.data_key}, expected {key}")
        for record in records
        if record.data_key != key
    ]
    return key, found


def check_presence(folder: DataFolder, records: list[Record]) -> tuple[set[str], list[Finding]]:
    """Shards are there in full size, and nothing else is.

    Returns:
        Names of the shards that are, and findings.
    """
    findings: list[Finding] = []
    there = {entry.name: entry for entry in os.scandir(folder.shards)}
    present = set()
    for record in records:
        if record.file is not None:
            found = list(_shard(record, there.get(record.file)))
            findings += found
            if not any(finding.severity == "error" for finding in found):
                present.add(record.file)
    named = {record.file for record in records}
    for name in sorted(there):
        if name.endswith(".h5") and name not in named:
            text = "no record names it: left by a killed run, or its record is lost"
            findings.append(warning("shard.orphan", f"shards/{name}", text))
        elif not _KNOWN.fullmatch(name):
            text = "belongs to no data set; move it away"
            findings.append(warning("file.foreign", f"shards/{name}", text))
    return present, findings + list(_leftovers(folder))


def _shard(record: Record, entry: os.DirEntry[str] | None) -> Iterator[Finding]:
    place, again = f"shards/{record.file}", "`rekrylov repair` makes it again"
    try:
        status = entry.stat() if entry is not None else None
    except OSError:  # a link to nowhere
        status = None
    if entry is None or status is None:
        text = f"its record is there, the shard is not; {again}"
        yield error("shard.missing", place, text)
        return
    if not stat.S_ISREG(status.st_mode):
        yield error("shard.missing", place, f"is no file; {again}")
        return
    if entry.is_symlink():
        text = f"is a symbolic link to {os.readlink(entry.path)}; copy the file itself here"
        yield warning("shard.link", place, text)
    if status.st_size != record.bytes:
        text = f"{status.st_size} bytes, its record says {record.bytes}; {again}"
        yield error("shard.size", place, text)


def _leftovers(folder: DataFolder) -> Iterator[Finding]:
    for place in (folder.path, folder.shards, folder.runs, folder.previews):
        for path in files.leftovers(place) if place.is_dir() else []:
            location = str(path.relative_to(folder.path))
            yield info("file.leftover", location, "temporary file of a killed or live run")


def check_ids(records: list[Record]) -> Iterator[Finding]:
    """Every id is stored or failed once."""
    failed = sum(len(record.failures) for record in records)
    if failed:
        yield info("samples.failed", "shards", f"{failed} samples failed")
    parts = [_ids(record) for record in records]
    if not parts:
        return
    every = np.concatenate(parts)
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    values, counts = np.unique(every, return_counts=True)
    repeated = np.isin(every, values[counts > 1])
    for k in np.unique(owner[repeated]):
        twice = np.unique(every[repeated & (owner == k)])
        text = f"ids {twice[:_SOME].tolist()} ({len(twice)}) are stored or failed twice"
        yield error("ids.twice", where(records[k]), text)


def check_order(folder: DataFolder, records: list[Record]) -> Iterator[Finding]:
    """Batches are those of `order.h5`."""
    try:
        segments = read_order(folder.order)
        for segment in segments:
            read_features(folder.order, segment.index)
        every = np.concatenate([np.zeros(0, np.int64), *(s.ids for s in segments)])
        if len(np.unique(every)) != len(every):
            raise ValueError("an id is in it twice")
    except Exception as problem:
        yield error("order.damaged", "order.h5", one_line(problem))
        return
    if not segments:
        text = "is missing; `rekrylov repair`, or the next run, rebuilds it"
        yield warning("order.missing", "order.h5", text)
        return
    asked = {(s.index, b): np.sort(s.batch_ids(b)) for s in segments for b in range(s.batches)}
    for record in records:
        expected, found = asked.pop((record.segment, record.batch), None), np.sort(_ids(record))
        if expected is None:
            yield error("order.batch", where(record), "order.h5 knows no such batch")
        elif not np.array_equal(expected, found):
            lost = np.setdiff1d(expected, found)[:_SOME].tolist()
            extra = np.setdiff1d(found, expected)[:_SOME].tolist()
            text = f"lacks ids {lost}, has foreign ids {extra}"
            yield error("ids.batch", where(record), text)
    if unsolved := sum(len(ids) > 0 for ids in asked.values()):  # a rebuilt order has empty ones
        text = f"{unsolved} batches of order.h5 are not solved yet; run `rekrylov solve`"
        yield warning("batch.open", "shards", text)


def _ids(record: Record) -> Ids:
    """Stored and failed ids of a record, with repetitions."""
    failed = [failure["id"] for failure in record.failures]
    return np.array([*record.ids, *failed], dtype=np.int64)
