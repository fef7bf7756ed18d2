"""`manifest.json`: the records in one file, with what is common to all. It can be rebuilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from storage import files
from storage.definitions import build_definitions
from storage.errors import DamagedFile, DamagedShard, FormatMismatch, StorageError
from storage.folder import FORMAT, DataFolder
from storage.hdf5 import opened
from storage.ids import pack_ids
from storage.records import Record, read_records
from storage.scalars import Numbers, Scalars, commit_scalars, gathered
from storage.spaces import SpaceTree
from storage.splits import DEFAULT_FRACTIONS, RULE, split_ids
from storage.statistics import Moments, field_moments, stated

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = [
    "RULE",
    "build_manifest",
    "field_texts",
    "parse_manifest",
    "read_manifest",
    "read_text",
    "records_manifest",
]


def build_manifest(
    folder: DataFolder,
    common: Mapping[str, Any],
    *,
    split_seed: int = 0,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    definitions: Mapping[str, Mapping[str, Any]] | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """Build `manifest.json` from the records and write it, atomically.

    Every shard is read once, and its training samples once more for each definition.

    Args:
        folder: the data set.
        common: what the records can't tell and is kept as given: `name`, `data_key`, `spec`,
            `problem`, `provenance`, `licence`, `citation`, `strategy`, `timings` …
        split_seed: seed of the splits.
        fractions: split → fraction, see `storage.splits`.
        definitions: further uses of the samples, see `storage.definitions`.
        workers: number of processes that read shards; what is written doesn't depend on it.

    Returns:
        The manifest: `common` and `format`, `data_key`, `spaces_hash`, `samples`, `fields`,
        `columns`, `splits`, `statistics` of the training split, `failures`, `shards`, and
        `definitions`. `scalars.h5` is written as well.

    Raises:
        DamagedShard, RevisionMismatch, FormatMismatch: records that can't be used, or a shard
            that is not what its record says.
        BadSelection: a definition doesn't fit the data.
        StorageError: no sample is stored yet.
    """
    from storage.dataset import Dataset  # which reads manifests

    records = read_records(folder, common.get("data_key"))
    if stored := [record for record in records if record.file is not None]:
        _check_bytes(folder, str(stored[0].file), stored[0].sha256)  # which says what columns are
    manifest = dict(common) | records_manifest(folder, records)
    ids = [i for record in records for i in record.ids]
    splits = split_ids(ids, split_seed, fractions)
    manifest["splits"] = {
        "rule": RULE,
        "seed": split_seed,
        "fractions": dict(fractions),
        "counts": {name: len(members) for name, members in splits.items()},
    }
    dataset, first = Dataset.from_manifest(folder, manifest), next(iter(fractions))
    reading = _Reading(Numbers(dataset), first, manifest["splits"])
    parts = list(dataset.each_shard(reading, workers)) or [reading(dataset)]
    commit_scalars(dataset, gathered(dataset, [part for part, _ in parts]))
    training = dataset.select(splits[first])
    manifest["statistics"] = {"split": first} | stated(training, [part for _, part in parts])
    manifest["definitions"] = build_definitions(dataset, definitions or {}, workers)
    files.commit_json(folder.manifest, manifest, replace=True)
    return manifest


@dataclass(frozen=True)
class _Reading:
    """What is read of a shard: its bytes, the numbers of its samples, moments of those of a split.

    Attributes:
        numbers: computes the scalars.
        split: the one that statistics are of.
        rule: of the splits.
    """

    numbers: Numbers
    split: str
    rule: Mapping[str, Any]

    def __call__(self, some: Dataset) -> tuple[Scalars, dict[str, Moments]]:
        if len(some):
            shard = some.manifest["shards"][some.shard_of(0)]
            _check_bytes(DataFolder(some.path), shard["file"], shard["sha256"])
        members = split_ids(some.ids, self.rule["seed"], self.rule["fractions"])
        return self.numbers(some), field_moments(some.select(members[self.split]))


def _check_bytes(folder: DataFolder, file: str, sha256: str | None) -> None:
    """Statistics and splits are of what was verified when it was solved, or not at all."""
    path = folder.shards / file
    if files.sha256_file(path) != sha256:
        raise DamagedShard(
            f"{path}: its SHA-256 is not that of its record; remove it, and "
            "`rekrylov solve` makes it again"
        )


def records_manifest(folder: DataFolder, records: Sequence[Record]) -> dict[str, Any]:
    """The part of a manifest that follows from the records and `spaces.h5` alone."""
    stored = [record for record in records if record.file is not None]
    if not records:
        raise StorageError(f"{folder.path}: holds no sample yet; run `rekrylov solve`")
    return {
        "format": FORMAT,
        "data_key": records[0].data_key,
        "spaces_hash": records[0].spaces_hash,
        "samples": sum(len(record.ids) for record in stored),
        "fields": field_texts(SpaceTree(folder.spaces)),
        "columns": _columns(folder, stored[0]) if stored else {},  # else every sample failed
        "failures": [failure for record in records for failure in record.failures],
        "shards": [
            {
                "segment": record.segment,
                "batch": record.batch,
                "file": record.file,
                "ids": pack_ids(record.ids),
                "sha256": record.sha256,
                "bytes": record.bytes,
            }
            for record in stored
        ],
    }


def read_manifest(folder: DataFolder, most: int = files.LARGEST) -> dict[str, Any]:
    """Read and validate `manifest.json`.

    Args:
        folder: the data set.
        most: bytes that the file may have.

    Raises:
        FileNotFoundError: there is none.
        FormatMismatch: it has another format.
        DamagedFile: it is malformed.
    """
    return parse_manifest(folder, read_text(folder, most))


def read_text(folder: DataFolder, most: int = files.LARGEST) -> str:
    """Read the text of `manifest.json`; raises as `read_manifest` does."""
    try:
        return files.read_bytes(folder.manifest, most).decode()
    except UnicodeDecodeError as error:
        raise DamagedFile(
            f"{folder.manifest}: is no text ({error}); run `rekrylov finalise`"
        ) from error


def parse_manifest(folder: DataFolder, text: str) -> dict[str, Any]:
    """Parse and validate the text of `manifest.json`; raises as `read_manifest` does."""
    manifest = files.parse_json(folder.manifest, text)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("shards"), list):
        raise DamagedFile(f"{folder.manifest}: is no manifest; run `rekrylov finalise`")
    if manifest.get("format") != FORMAT:
        raise FormatMismatch(
            f"{folder.manifest}: has format {manifest.get('format')}, this package reads "
            f"format {FORMAT}; use the version that wrote it"
        )
    try:
        _validate(manifest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedFile(
            f"{folder.manifest}: is malformed ({error!r}); run `rekrylov finalise`"
        ) from error
    return manifest


def _validate(manifest: dict[str, Any]) -> None:
    """Raise if something that every reader needs isn't there."""
    if not all(isinstance(manifest[key], str) for key in ("data_key", "spaces_hash")):
        raise ValueError("data_key and spaces_hash must be text")
    for kind in manifest["columns"].values():
        np.empty((0, *kind["shape"]), dtype=kind["dtype"])
    for shard in manifest["shards"]:
        texts = type(shard["file"]) is type(shard["sha256"]) is str
        numbers = type(shard["segment"]) is type(shard["batch"]) is type(shard["bytes"]) is int
        if not texts or not numbers or not shard["ids"] or "/" in shard["file"]:
            raise ValueError(f"shard {shard['file']!r} is not described as it should be")


def field_texts(tree: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return role, space, units and description of every field, from the tree of `spaces.h5`."""
    texts = ("role", "space", "units", "description")
    fields = tree.get("fields", {})
    return {name: {key: field.get(key, "") for key in texts} for name, field in fields.items()}


def _columns(folder: DataFolder, record: Record) -> dict[str, Any]:
    """Type and shape (of a sample) of every column, from one shard."""
    columns: dict[str, Any] = {}
    with opened(folder.shards / str(record.file)) as file:

        def visit(name: str, item: Any) -> None:
            if hasattr(item, "dtype"):
                shape = [int(size) for size in item.shape[1:]]
                columns[name] = {"dtype": np.dtype(item.dtype).str, "shape": shape}

        file.visititems(visit)
    return columns
