"""All of a data set: `examine`, and `check_dataset` for the findings alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from storage.checks.derived import check_packed, check_pictures, check_scalars
from storage.checks.finding import Finding, damaged, error, guarded
from storage.checks.manifest import check_columns, check_manifest, read_whole, training_ids
from storage.checks.parallel import each_shard
from storage.checks.records import (
    check_ids,
    check_keys,
    check_order,
    check_presence,
    read_all,
)
from storage.checks.samples import check_samples
from storage.checks.shard import Limits, Recompute, ShardJob, ShardReport
from storage.checks.statistics import check_statistics, merged
from storage.checks.tables import boundary_values, check_spaces, check_spaces_hash
from storage.dataset import Dataset
from storage.errors import BadSelection
from storage.folder import DataFolder
from storage.ids import IdArray, unpack_ids
from storage.records import Record
from storage.selection import holds

__all__ = ["CheckReport", "check_dataset", "examine"]

type Progress = Callable[[int], object]


@dataclass
class CheckReport:
    """Outcome of a check.

    Attributes:
        findings: all of them; errors make the data set damaged.
        shards: how many shards were read.
        recomputed: samples whose true residual was computed again.
        worst_residual: the largest of those, None if there was none.
    """

    findings: list[Finding] = field(default_factory=list)
    shards: int = 0
    recomputed: int = 0
    worst_residual: float | None = None

    @property
    def sound(self) -> bool:
        """Whether there was no error."""
        return not damaged(self.findings)


def check_dataset(
    path: str | os.PathLike[str], *, quick: bool = False, recompute: Recompute | None = None
) -> list[Finding]:
    """Return all that `examine` finds; the data set is sound if none of it is an error."""
    return examine(path, quick=quick, recompute=recompute).findings


def examine(
    path: str | os.PathLike[str],
    *,
    quick: bool = False,
    recompute: Recompute | None = None,
    rtol: float | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> CheckReport:
    """Check a data set; reads every shard once, whatever their number.

    No damage makes it raise: what can't be looked at is a finding.

    Args:
        path: its folder.
        quick: leave the shards unread: records, sizes, manifest, order and spaces alone.
        recompute: makes it a full check: called with ids (n) and the columns `inputs/…`,
            `parameters/…` and `outputs/…` (name → (n, …)) of a shard, returns what they should
            be. It is pickled if there are several workers.
        rtol: largest true residual; by default `rtol` of the manifest.
        workers: number of processes that read shards; with more than one, the calling script
            needs the usual `if __name__ == "__main__":`.
        progress: called with the number of shards that are done.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: a quick check was asked to compute again.
    """
    if quick and recompute is not None:
        raise ValueError("a quick check reads no shard: leave out `quick` or `recompute`")
    folder = DataFolder(Path(path))
    if not folder.path.is_dir():
        raise FileNotFoundError(f"{path}: is no folder")
    report = CheckReport()
    _Check(folder, report).run(quick, recompute, rtol, workers, progress or (lambda done: None))
    return report


class _Check:
    """The parts of a check, one after the other."""

    def __init__(self, folder: DataFolder, report: CheckReport) -> None:
        self.folder, self.report, self.findings = folder, report, report.findings
        self.records: list[Record] = []
        self.present: set[str] = set()
        self.manifest: dict[str, Any] = {}
        self.tree: dict[str, Any] = {}

    def run(
        self,
        quick: bool,
        recompute: Recompute | None,
        rtol: float | None,
        workers: int,
        progress: Progress,
    ) -> None:
        self._commits()
        if not quick:
            self._shards(recompute, rtol, workers, progress)
        self._derived(quick, recompute is not None)

    def _commits(self) -> None:
        """What can be seen without reading a shard."""
        folder, findings = self.folder, self.findings
        if not folder.shards.is_dir():
            findings.append(error("record.none", "shards", "there is no folder of shards"))
        with guarded(findings, "shards"):
            self.records = read_all(folder, findings)
        self.manifest = read_whole(folder, findings)
        self.tree, digest = check_spaces(folder, findings)
        findings += check_spaces_hash(digest, self.manifest, self.records)
        foreign = any(finding.code == "spaces.foreign" for finding in findings)
        key = None if foreign else self.tree.get("data_key")
        with guarded(findings, "shards"):
            key, found = check_keys(self.records, key if isinstance(key, str) else None)
            findings += found
        with guarded(findings, "shards"):
            if folder.shards.is_dir():
                self.present, found = check_presence(folder, self.records)
                findings += found
        with guarded(findings, "shards"):
            findings.extend(check_ids(self.records))
        with guarded(findings, "order.h5"):
            findings.extend(check_order(folder, self.records))
        if self.manifest:
            with guarded(findings, "manifest.json"):
                findings.extend(check_manifest(self.manifest, self.records, key, self.tree))

    def _shards(
        self, recompute: Recompute | None, rtol: float | None, workers: int, progress: Progress
    ) -> None:
        """Read every shard, and compare what is said of all of them."""
        training: dict[str, IdArray] = {}
        with guarded(self.findings, "manifest.json"):
            training = training_ids(self.manifest)
        stated = self.manifest.get("rtol")
        limit = stated if rtol is None and isinstance(stated, int | float) else rtol
        fields = self.tree.get("fields", {})
        limits = Limits(limit, boundary_values(self.tree), fields, training)
        whole = [record for record in self.records if record.file in self.present]
        job = ShardJob(self.folder.path, limits, recompute if self.tree else None)
        reports = each_shard(job, whole, workers, progress)
        self._note(reports, whole)
        with guarded(self.findings, "shards"):
            kinds = {report.file: report.kinds for report in reports if report.kinds}
            self.findings.extend(check_columns(self.manifest, kinds))
        with guarded(self.findings, "shards"):
            digests = [report.digests for report in reports if report.digests is not None]
            self.findings.extend(check_samples(digests))
        elsewhere = [finding for finding in self.findings if finding.location != "manifest.json"]
        if self.manifest and not damaged(elsewhere):  # or another finding has told it
            with guarded(self.findings, "manifest.json"):
                self.findings.extend(self._training(reports, training))

    def _note(self, reports: list[ShardReport], records: list[Record]) -> None:
        owners = {record.sha256: record for record in records}
        imported = "imported" in (self.manifest.get("spec") or {})  # nobody knows residuals then
        for report in reports:
            kept = [f for f in report.findings if not imported or f.code != "residual.missing"]
            self.findings.extend(kept)
            unlike = any(finding.code == "shard.checksum" for finding in report.findings)
            if unlike and (owner := owners.get(report.sha256)) is not None:
                text = f"holds the bytes of batch {owner.segment}-{owner.batch}, {owner.file}"
                self.findings.append(error("shard.swapped", f"shards/{report.file}", text))
        self.report.shards = len(reports)
        self.report.recomputed = sum(report.recomputed for report in reports)
        if self.report.recomputed:
            self.report.worst_residual = max(report.worst for report in reports)

    def _training(
        self, reports: list[ShardReport], training: dict[str, IdArray]
    ) -> Iterator[Finding]:
        """Statistics and out-of-distribution splits are those of the data."""
        for name, ids in training.items():
            entry = self.manifest["definitions"][name] if name else self.manifest
            moments = merged([report.moments.get(name, {}) for report in reports])
            place = f"definition {name}: " if name else ""
            yield from check_statistics(entry.get("statistics"), moments, ids, place)
            if (rule := entry["splits"].get("ood")) is not None:
                yield from self._outside(rule, place)

    def _outside(self, rule: Mapping[str, Any], place: str) -> Iterator[Finding]:
        """The samples of an out-of-distribution split are those where its condition holds."""
        dataset = self._listed()
        told = np.intersect1d(unpack_ids(rule["ids"]), dataset.ids)
        try:
            same = np.array_equal(told, dataset.ids[holds(dataset, rule["where"], stored=False)])
            text = f"is not where {rule['where']}"
        except BadSelection as problem:
            same, text = False, f"has a condition that can't be used: {problem}"
        if not same:
            yield error("manifest.splits", "manifest.json", f"{place}split ood {text}")

    def _listed(self) -> Dataset:
        """The samples of shards that the manifest lists and that are there still."""
        there = {record.file for record in self.records}
        shards = [shard for shard in self.manifest["shards"] if shard["file"] in there]
        return Dataset.from_manifest(self.folder, self.manifest | {"shards": shards})

    def _derived(self, quick: bool, full: bool) -> None:
        """Files that can be made again, where what they are made from is sound."""
        with guarded(self.findings, "previews"):
            self.findings.extend(check_pictures(self.folder))
        if damaged(self.findings) or not self.records or not self.manifest:
            return
        with guarded(self.findings, "scalars.h5"):
            dataset = Dataset.from_manifest(self.folder, self.manifest)
            self.findings.extend(check_scalars(self.folder, dataset, not quick, full))
            self.findings.extend(check_packed(dataset, full=not quick))
