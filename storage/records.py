"""Records: one small JSON file a batch. A batch is committed when its record has its name."""

from __future__ import annotations

import os
from collections.abc import Container
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from storage import files
from storage.errors import DamagedFile, DamagedShard, FormatMismatch, RevisionMismatch
from storage.folder import FORMAT, DataFolder
from storage.ids import pack_ids, unpack_ids

__all__ = ["Record", "commit_record", "read_record", "read_records"]

_LARGEST = 1 << 26  # bytes
_MOST = 1 << 22  # samples of a batch: a shard has 32 MiB
_CURE = "remove it, and `rekrylov solve` makes the batch again"


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a committed batch.

    Attributes:
        data_key: of the data set.
        segment: number of the segment.
        batch: number of the batch in it.
        ids: sample ids by row of the shard.
        failures: one dict a failed sample, at least `id` and `reason`.
        file: name of the shard in `shards/`, None if every sample failed.
        sha256: of the shard's bytes, None with `file`.
        bytes: size of the shard.
        spaces_hash: of the `spaces.h5` it was made with.
        info: what else the writer tells (host, timings …).
        format: version of the layout.
    """

    data_key: str
    segment: int
    batch: int
    ids: tuple[int, ...]
    failures: tuple[dict[str, Any], ...]
    file: str | None
    sha256: str | None
    bytes: int
    spaces_hash: str
    info: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def all_ids(self) -> frozenset[int]:
        """Stored and failed ids: what the batch was asked for."""
        return frozenset(self.ids) | {failure["id"] for failure in self.failures}


def commit_record(folder: DataFolder, record: Record) -> bool:
    """Write a record; this commits the batch. False if the batch has one already."""
    value = asdict(record) | {"ids": pack_ids(record.ids)}
    return files.commit_json(folder.record(record.segment, record.batch), value, replace=False)


def read_record(path: str | os.PathLike[str]) -> Record:
    """Read and validate one record.

    Raises:
        FileNotFoundError: there is none.
        FormatMismatch: it has another format.
        DamagedShard: it is malformed, or is not of the batch its name says.
    """
    try:
        value = files.read_json(path, _LARGEST)
    except DamagedFile as error:
        raise DamagedShard(f"{path}: is no record ({error.__cause__}); {_CURE}") from error
    if isinstance(value, dict) and value.get("format", FORMAT) != FORMAT:
        raise FormatMismatch(
            f"{path}: has format {value['format']}, this package reads format {FORMAT}; "
            "use the version that wrote it"
        )
    try:
        ids = tuple(unpack_ids(value["ids"], _MOST).tolist())
        record = Record(**(value | {"ids": ids, "failures": tuple(value["failures"])}))
        named = f"{record.segment:04d}-{record.batch:06d}"
        sound = _is_sound(record)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DamagedShard(f"{path}: is no record ({error}); {_CURE}") from error
    if f"{named}.json" != os.path.basename(path) or not sound:
        raise DamagedShard(f"{path}: does not describe batch {Path(path).stem}; {_CURE}")
    return record


def read_records(
    folder: DataFolder,
    data_key: str | None = None,
    batches: Container[tuple[int, int]] | None = None,
) -> list[Record]:
    """Read the records of committed batches, by segment and batch.

    Args:
        folder: the data set.
        data_key: that all must have; by default that of the first.
        batches: (segment, batch) of those that are asked for, all by default. No other record is
            opened: where a thousand jobs share a data set, each looks at its own.

    Raises:
        FormatMismatch, DamagedShard: see `read_record`.
        RevisionMismatch: a record has another data key.
    """
    root = os.fspath(folder.shards)
    found = sorted(folder.committed())
    records = []
    for s, b in found if batches is None else filter(batches.__contains__, found):
        with suppress(FileNotFoundError):  # taken back by another process meanwhile
            records.append(read_record(f"{root}/{s:04d}-{b:06d}.json"))
    expected = data_key if data_key is not None or not records else records[0].data_key
    for record in records:
        if record.data_key != expected:
            raise RevisionMismatch(
                f"{folder.record(record.segment, record.batch)}: has data key "
                f"{record.data_key}, expected {expected}; it belongs to another data set, move it"
            )
    return records


def _is_sound(record: Record) -> bool:
    """Types, and the relation of file, ids and checksum."""
    failed = [failure["id"] for failure in record.failures]
    numbers = (record.segment, record.batch, record.bytes, min(record.ids, default=0), *failed)
    texts = (record.data_key, record.spaces_hash, *(f["reason"] for f in record.failures))
    if not all(type(number) is int and number >= 0 for number in numbers):
        return False
    if not all(isinstance(text, str) for text in texts) or not isinstance(record.info, dict):
        return False
    if record.file is None:
        return not record.ids and record.sha256 is None
    return bool(record.ids) and isinstance(record.sha256, str) and _is_named(record)


def _is_named(record: Record) -> bool:
    """Whether the shard has a name that a writer of this batch gives it."""
    stem = f"{record.segment:04d}-{record.batch:06d}"
    return record.file in (f"{stem}.h5", f"{stem}-{str(record.sha256)[:8]}.h5")
