"""Checks of one shard: its bytes, its header, its rows, and then its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from storage import files
from storage.checks.finding import Finding, damaged, error, guarded, one_line
from storage.checks.residuals import check_recomputed, check_stored
from storage.checks.solves import check_solves
from storage.checks.values import Digests, check_values
from storage.folder import FORMAT, DataFolder
from storage.hdf5 import opened
from storage.records import Record
from storage.statistics import Moments

__all__ = ["Kinds", "Limits", "Recompute", "Recomputed", "ShardJob", "ShardReport"]

type Arrays = dict[str, npt.NDArray[Any]]
type Kinds = dict[str, tuple[str, tuple[int, ...]]]

_COMPUTED = ("inputs/", "parameters/", "outputs/")


@dataclass(frozen=True)
class Recomputed:
    """What the samples of a shard should be.

    Attributes:
        residuals: (n) or (n, T) true residuals of what is stored, by a fresh assembly; infinite
            where a solution lacks the boundary values that belong to its inputs.
        drift: column → (n) largest deviation of an input from what is drawn for its id, relative
            to its largest value.
        unknown: why inputs couldn't be drawn again, if so.
        lacking: columns that aren't there, without which nothing can be computed.
    """

    residuals: npt.NDArray[np.float64]
    drift: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    unknown: str | None = None
    lacking: Sequence[str] = ()


type Recompute = Callable[[npt.NDArray[np.int64], Arrays], Recomputed]


@dataclass(frozen=True)
class Limits:
    """What the values of a shard are held against.

    Attributes:
        rtol: largest true residual, None if unknown.
        boundary: output field → (constrained dofs, their values).
        fields: field → its `space`, `units` and `description`.
        training: problem definition ("" for the data set itself) → ids its statistics are of.
    """

    rtol: float | None
    boundary: Mapping[str, tuple[Any, Any]]
    fields: Mapping[str, Mapping[str, Any]]
    training: Mapping[str, npt.NDArray[np.int64]]


@dataclass
class ShardReport:
    """What was found in a shard, and what only all shards together can tell.

    Attributes:
        file: name of the shard.
        findings: of this shard.
        sha256: of its bytes, None if they can't be read.
        kinds: column → its type and the shape of a sample.
        digests: of its samples, None if they weren't read.
        moments: problem definition → field → moments of its training samples.
        recomputed: how many true residuals were computed again.
        worst: the largest of them.
    """

    file: str
    findings: list[Finding] = field(default_factory=list)
    sha256: str | None = None
    kinds: Kinds = field(default_factory=dict)
    digests: Digests | None = None
    moments: dict[str, dict[str, Moments]] = field(default_factory=dict)
    recomputed: int = 0
    worst: float = 0.0


@dataclass(frozen=True)
class ShardJob:
    """Checks the shard of a record; can be sent to another process.

    Attributes:
        folder: the data set.
        limits: for its values.
        recompute: computes inputs and true residuals again, None to leave that out.
    """

    folder: Path
    limits: Limits
    recompute: Recompute | None = None

    def __call__(self, record: Record) -> ShardReport:
        """Check one shard; nothing in it is looked at before its checksum is right."""
        report = ShardReport(str(record.file))
        location = f"shards/{record.file}"
        path = DataFolder(self.folder).shards / str(record.file)
        try:
            report.sha256 = files.sha256_file(path)
        except Exception as problem:
            report.findings.append(error("shard.unreadable", location, one_line(problem)))
            return report
        if report.sha256 != record.sha256:
            text = "its SHA-256 is not that of its record; `rekrylov repair` makes it again"
            report.findings.append(error("shard.checksum", location, text))
            return report
        try:
            with opened(path) as file:
                self._content(file, record, report, location)
        except Exception as problem:
            report.findings.append(error("shard.unreadable", location, one_line(problem)))
        return report

    def _content(self, file: h5py.File, record: Record, report: ShardReport, location: str) -> None:
        report.findings += _header(file, record, location)
        report.findings += _labels(file, self.limits.fields, location)
        report.kinds = _kinds(file)
        report.findings += _rows(file, record, report.kinds, location)
        if any(finding.code == "shard.shape" for finding in report.findings):
            return
        ids = file["samples/id"][()]
        boundary, training = self.limits.boundary, self.limits.training
        report.digests, report.moments = check_values(
            file, ids, boundary, training, report.findings, location
        )
        report.findings += check_stored(file, ids, self.limits.rtol, location)
        report.findings += check_solves(file, ids, location)
        if self.recompute is not None and not damaged(report.findings):
            with guarded(report.findings, location):
                self._recomputed(self.recompute, file, report, location)

    def _recomputed(
        self, recompute: Recompute, file: h5py.File, report: ShardReport, location: str
    ) -> None:
        ids = file["samples/id"][()]
        columns = {name: file[name][()] for name in report.kinds if name.startswith(_COMPUTED)}
        found = recompute(ids, columns)
        if found.lacking:
            text = f"lacks {', '.join(found.lacking)}"
            report.findings.append(error("shard.columns", location, text))
            return
        report.recomputed = len(ids)
        report.worst = float(np.max(found.residuals, initial=0.0))
        report.findings += check_recomputed(file, found, ids, self.limits.rtol, location)


def _header(file: h5py.File, record: Record, location: str) -> list[Finding]:
    expected: dict[str, Any] = {
        "format": FORMAT,
        "data_key": record.data_key,
        "segment": record.segment,
        "batch": record.batch,
        "spaces_hash": record.spaces_hash,
    }
    findings = []
    for name, value in expected.items():
        found = file.attrs.get(name)
        if not np.array_equal(found, value):
            code = "shard.spaces" if name == "spaces_hash" else "shard.header"
            text = f"{name} is {found}, its record says {value}"
            findings.append(error(code, location, text))
    return findings


def _labels(
    file: h5py.File, fields: Mapping[str, Mapping[str, Any]], location: str
) -> Iterator[Finding]:
    """What columns say of their fields is what `spaces.h5` says, where they say it."""
    for name, field_ in fields.items():
        column = file.get(f"{field_.get('role')}s/{name}")
        for key in ("space", "units", "description"):
            stated = column.attrs.get(key) if column is not None else None
            if stated is not None and key in field_ and not np.array_equal(stated, field_[key]):
                text = f"{column.name}: {key} is {stated}, spaces.h5 says {field_[key]}"
                yield error("shard.header", location, text)


def _rows(file: h5py.File, record: Record, kinds: Kinds, location: str) -> list[Finding]:
    findings = []
    for name, (kind, _) in kinds.items():
        rows = file[name].shape[:1]
        if rows != (len(record.ids),) or np.dtype(kind).kind not in "biuf":
            text = f"{name} has {rows} rows of {kind}, expected {len(record.ids)} rows of numbers"
            findings.append(error("shard.shape", location, text))
    if not findings and file["samples/id"][()].tolist() != list(record.ids):
        findings.append(error("shard.ids", location, "samples/id are not the ids of its record"))
    return findings


def _kinds(file: h5py.File) -> Kinds:
    found: Kinds = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (np.dtype(item.dtype).str, tuple(int(n) for n in item.shape[1:]))

    file.visititems(visit)
    return found
