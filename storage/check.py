"""Is a data set sound? `check_dataset` looks at all of it and lists what it found.

Codes are stable: `docs/format.md` lists them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage import files
from storage.check_manifest import check_manifest, check_statistics
from storage.check_shard import Finding, Limits, check_shard
from storage.dataset import Dataset
from storage.errors import FormatMismatch, StorageError
from storage.folder import DataFolder
from storage.manifest import read_manifest, records_manifest
from storage.order import read_order
from storage.records import Record, read_record
from storage.spaces import read_spaces, spaces_hash

__all__ = ["Finding", "check_dataset"]

type Arrays = dict[str, npt.NDArray[Any]]
type Recompute = Callable[[npt.NDArray[np.int64], Arrays, Arrays], npt.NDArray[np.float64]]


def check_dataset(
    path: str | os.PathLike[str],
    full: bool = False,
    recompute: Recompute | None = None,
    rtol: float | None = None,
) -> list[Finding]:
    """Check a data set; reads every shard once or twice, one at a time.

    Args:
        path: its folder.
        full: also compute the true residuals again, from the stored inputs and outputs.
        recompute: for `full`: called with ids (n), inputs and outputs (name → (n, …), inputs
            with `parameters/<name>` too), returns the true residuals (n) or (n, …).
        rtol: largest true residual; by default `rtol` of the manifest.

    Returns:
        All findings; the data set is sound if none is an error.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: `full` without `recompute`.
    """
    if full and recompute is None:
        raise ValueError("a full check needs `recompute`, which knows the problem")
    folder = DataFolder(Path(path))
    if not folder.path.is_dir():
        raise FileNotFoundError(f"{path}: is no folder")
    findings: list[Finding] = []
    records = _records(folder, findings)
    manifest = _manifest(folder, findings)
    tree = _spaces(folder, manifest, records, findings)
    rtol = manifest.get("rtol") if rtol is None else rtol
    limits = Limits(rtol, manifest.get("columns"), _boundary(tree))
    for record in records:
        if record.file is not None:
            findings += check_shard(folder, record, limits)
    findings += _presence(folder, records)
    findings += _ids(folder, records)
    damaged = any(finding.severity == "error" for finding in findings)
    if manifest:
        findings += check_manifest(manifest, folder, records)
    if manifest and not damaged:
        findings += check_statistics(folder, manifest)
    if full and recompute is not None and not damaged and records:
        findings += _recomputed(folder, records, recompute, rtol)
    return findings


def _records(folder: DataFolder, findings: list[Finding]) -> list[Record]:
    records = []
    for segment, batch in sorted(folder.committed()):
        path = folder.record(segment, batch)
        try:
            records.append(read_record(path))
        except FormatMismatch as error:
            findings.append(_error("record.format", f"shards/{path.name}", str(error)))
        except (StorageError, OSError) as error:
            findings.append(_error("record.malformed", f"shards/{path.name}", str(error)))
    keys = Counter(record.data_key for record in records)
    for record in records:
        if record.data_key != keys.most_common(1)[0][0]:
            name = f"shards/{record.segment:04d}-{record.batch:06d}.json"
            findings.append(_error("record.key", name, f"has data key {record.data_key}"))
    if not records:
        findings.append(Finding("warning", "record.none", "shards", "no batch is committed"))
    return records


def _manifest(folder: DataFolder, findings: list[Finding]) -> dict[str, Any]:
    where = "manifest.json"
    try:
        return read_manifest(folder)
    except FileNotFoundError:
        text = "is missing; `rekrylov finalise` rebuilds it"
        findings.append(Finding("warning", "manifest.missing", where, text))
    except FormatMismatch as error:
        findings.append(_error("manifest.format", where, str(error)))
    except StorageError as error:
        findings.append(_error("manifest.malformed", where, str(error)))
    return {}


def _spaces(
    folder: DataFolder,
    manifest: dict[str, Any],
    records: list[Record],
    findings: list[Finding],
) -> dict[str, Any]:
    where = "spaces.h5"
    try:
        tree = read_spaces(folder.spaces, verify=True)
    except FileNotFoundError:
        findings.append(_error("spaces.missing", where, "is missing; restore it from a copy"))
        return {}
    except StorageError as error:
        findings.append(_error("spaces.damaged", where, str(error)))
        return {}
    found = spaces_hash(folder.spaces)
    if manifest and manifest.get("spaces_hash") != found:
        text = f"hash is {found[:10]}, the manifest says {str(manifest.get('spaces_hash'))[:10]}"
        findings.append(_error("spaces.manifest", where, text))
    for record in records:
        if record.spaces_hash != found:
            name = f"shards/{record.segment:04d}-{record.batch:06d}.json"
            text = f"was made with spaces {record.spaces_hash[:10]}, spaces.h5 is {found[:10]}"
            findings.append(_error("record.spaces", name, text))
    return tree


def _boundary(tree: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    fields = tree.get("fields", {}).items()
    return {
        name: (field["constrained"], field["values"])
        for name, field in fields
        if "constrained" in field and "values" in field
    }


def _presence(folder: DataFolder, records: list[Record]) -> Iterator[Finding]:
    named = {record.file for record in records}
    for path in sorted(folder.shards.glob("*.h5")):
        if path.name not in named:
            text = "no record names it: left by a killed run, or its record is lost"
            yield Finding("warning", "shard.orphan", f"shards/{path.name}", text)
    for place in (folder.path, folder.shards, folder.runs):
        for path in files.leftovers(place):
            where = str(path.relative_to(folder.path))
            yield Finding("info", "file.leftover", where, "temporary file of a killed or live run")


def _ids(folder: DataFolder, records: list[Record]) -> Iterator[Finding]:
    """Every id once, and those that the order asks for."""
    counts = Counter(i for record in records for i in sorted(record.all_ids))
    counts.update(i for r in records for i in {f["id"] for f in r.failures} & set(r.ids))
    for record in records:
        where = f"shards/{record.segment:04d}-{record.batch:06d}.json"
        repeated = len(record.ids) - len(set(record.ids))
        twice = sorted(i for i in record.all_ids if counts[i] > 1)
        if twice or repeated:
            text = f"ids {twice[:5]} ({len(twice) + repeated}) are stored or failed twice"
            yield _error("ids.twice", where, text)
    failed = sum(len(record.failures) for record in records)
    if failed:
        yield Finding("info", "samples.failed", "shards", f"{failed} samples failed")
    yield from _batches(folder, records)


def _batches(folder: DataFolder, records: list[Record]) -> Iterator[Finding]:
    try:
        segments = read_order(folder.order)
    except StorageError as error:
        yield _error("order.damaged", "order.h5", str(error))
        return
    if not segments:
        yield Finding(
            "warning", "order.missing", "order.h5", "is missing; the next run rebuilds it"
        )
        return
    asked = {(s.index, b): set(s.batch_ids(b).tolist()) for s in segments for b in range(s.batches)}
    for record in records:
        expected = asked.pop((record.segment, record.batch), None)
        where = f"shards/{record.segment:04d}-{record.batch:06d}.json"
        if expected is None:
            yield _error("order.batch", where, "order.h5 knows no such batch")
        elif expected != record.all_ids:
            lost = sorted(expected - record.all_ids)[:5]
            extra = sorted(record.all_ids - expected)[:5]
            yield _error("ids.batch", where, f"lacks ids {lost}, has foreign ids {extra}")
    if unsolved := sum(bool(ids) for ids in asked.values()):  # a rebuilt order has empty ones
        text = f"{unsolved} batches of order.h5 are not solved yet; run `rekrylov solve`"
        yield Finding("warning", "batch.open", "shards", text)


def _recomputed(
    folder: DataFolder, records: list[Record], recompute: Recompute, rtol: float | None
) -> Iterator[Finding]:
    dataset = Dataset.from_manifest(folder, records_manifest(folder, records))
    limit = np.inf if rtol is None else rtol
    for rows in dataset.by_shard():
        ids = dataset.ids[rows]
        names = [*dataset.inputs, *(f"parameters/{name}" for name in dataset.parameters)]
        inputs = {name: dataset.read(name, rows) for name in names}
        outputs = {name: dataset.read(name, rows) for name in dataset.outputs}
        residuals = np.asarray(recompute(ids, inputs, outputs)).reshape(len(ids), -1)
        bad = ~np.all(np.isfinite(residuals) & (residuals <= limit), axis=1)
        if bad.any():
            entry = dataset.manifest["shards"][dataset.shard_of(rows[0])]
            text = (
                f"recomputed true residual of samples {ids[bad][:5].tolist()} is up to "
                f"{np.max(residuals[bad]):.3g}, rtol is {rtol}"
            )
            yield _error("residual.recomputed", f"shards/{entry['file']}", text)


def _error(code: str, where: str, message: str) -> Finding:
    return Finding("error", code, where, message)
