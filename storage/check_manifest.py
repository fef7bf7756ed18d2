"""Checks of `manifest.json` against what it is made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from storage.check_shard import Finding
from storage.dataset import Dataset
from storage.errors import StorageError
from storage.files import plain
from storage.folder import DataFolder
from storage.ids import unpack_ids, unpack_many
from storage.manifest import RULE, records_manifest
from storage.records import Record
from storage.splits import split_ids
from storage.statistics import field_statistics

__all__ = ["check_manifest", "check_statistics"]

WHERE = "manifest.json"


def check_manifest(
    manifest: dict[str, Any], folder: DataFolder, records: list[Record]
) -> Iterator[Finding]:
    """The manifest says what records, shards, `spaces.h5` and the rule of the splits say."""
    keys = ("segment", "batch", "file", "sha256", "bytes")
    try:
        listed = {
            (*(shard[key] for key in keys), tuple(unpack_ids(shard["ids"]).tolist()))
            for shard in manifest["shards"]
        }
    except (KeyError, TypeError, ValueError) as error:
        yield _error("manifest.malformed", f"malformed shard list ({error})")
        return
    stored = [record for record in records if record.file is not None]
    present = {(*(getattr(record, key) for key in keys), record.ids) for record in stored}
    for entry in sorted(listed - present, key=str)[:5]:
        text = f"batch {entry[0]}-{entry[1]} is not as its record says; run `rekrylov finalise`"
        yield _error("manifest.stale", text)
    batches = {entry[:2] for entry in listed}
    newer = [record for record in stored if (record.segment, record.batch) not in batches]
    if newer:
        text = f"{len(newer)} batches were committed since; `rekrylov finalise` takes them in"
        yield Finding("warning", "manifest.behind", WHERE, text)
    yield from _failures(manifest, records, bool(newer))
    yield from _tables(manifest, folder, stored)
    if records and manifest.get("data_key") != records[0].data_key:
        text = f"data key {manifest.get('data_key')}, the records say {records[0].data_key}"
        yield _error("manifest.key", text)
    counted = sum(len(record.ids) for record in stored) - sum(len(record.ids) for record in newer)
    if manifest.get("samples") != counted:
        yield _error("manifest.samples", "number of samples is not that of the records")
    yield from _splits(manifest)


def _failures(manifest: dict[str, Any], records: list[Record], behind: bool) -> Iterator[Finding]:
    """Failures are those of the records; some of them where the manifest is behind."""
    expected = {failure["id"] for record in records for failure in record.failures}
    found = _failed_ids(manifest)
    if found is None or not (expected.issuperset(found) if behind else expected == set(found)):
        yield _error("manifest.failures", "failures are not those of the records")


def _tables(
    manifest: dict[str, Any], folder: DataFolder, stored: list[Record]
) -> Iterator[Finding]:
    """What the manifest says of fields and columns is what spaces.h5 and a shard say."""
    try:
        expected = records_manifest(folder, stored)
    except (StorageError, OSError):
        return  # named elsewhere
    for key in ("fields", "columns"):
        if manifest.get(key) != expected[key]:
            text = f"{key} are not those of spaces.h5 and the shards; run `rekrylov finalise`"
            yield _error(f"manifest.{key}", text)


def _splits(manifest: dict[str, Any]) -> Iterator[Finding]:
    rule = manifest.get("splits")
    try:
        ids, _ = unpack_many([shard["ids"] for shard in manifest["shards"]])
        assert rule is not None and rule["rule"] == RULE
        members = split_ids(ids, rule["seed"], rule["fractions"])
        counts = {name: len(part) for name, part in members.items()}
        if counts != rule["counts"]:
            text = f"counts are {rule['counts']}, the rule gives {counts}"
            yield _error("manifest.splits", text)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        yield _error("manifest.splits", f"splits are malformed ({error!r})")


def check_statistics(folder: DataFolder, manifest: dict[str, Any]) -> Iterator[Finding]:
    """The stored statistics are those of the training split; reads all of it."""
    code = "manifest.statistics"
    try:
        stated = manifest["statistics"]
        dataset = Dataset.from_manifest(folder, manifest)
        train = dataset.split(stated["split"])
        if not np.array_equal(train.ids, unpack_ids(stated["ids"])):
            yield _error(code, "are not from the ids of the training split")
        found = plain(field_statistics(train)["fields"])
        for name, values in found.items():
            if not values["count"]:
                continue
            scale = max(values["max"] - values["min"], abs(values["mean"]), 1e-300)
            for key, value in values.items():
                if abs(value - stated["fields"][name][key]) > 1e-9 * scale:
                    text = (
                        f"{key} of {name} is {stated['fields'][name][key]}, the data give {value}"
                    )
                    yield _error(code, text)
    except (KeyError, TypeError, ValueError, StorageError) as error:
        yield _error(code, f"are missing or malformed ({error!r})")


def _failed_ids(manifest: dict[str, Any]) -> list[int] | None:
    try:
        return sorted(failure["id"] for failure in manifest["failures"])
    except (KeyError, TypeError):
        return None


def _error(code: str, message: str) -> Finding:
    return Finding("error", code, WHERE, message)
