"""From what a check found to what can be done about it; nothing is touched here."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from storage import DataFolder, Finding, read_record
from storage.folder import batch_of

__all__ = ["Plan", "make_plan"]

_BATCH = {
    "shard.missing", "shard.size", "shard.checksum", "shard.swapped", "shard.unreadable",
    "shard.header", "shard.spaces", "shard.ids", "shard.shape", "shard.columns", "shard.link",
    "record.malformed", "record.format", "record.key", "values.nonfinite", "values.boundary",
    "solve.values", "residual.high", "residual.recomputed", "residual.stored", "inputs.drawn",
}  # fmt: skip
_ORDER = {"ids.batch", "order.batch"}
_SPACES = {"spaces.missing", "spaces.damaged", "spaces.format", "spaces.foreign"}
_OTHER_SAMPLES = {"residual.recomputed"}


@dataclass
class Plan:
    """What is to be done.

    Attributes:
        aside: files that are set aside, and the codes why.
        spaces: `spaces.h5` is made again from the spec.
        all_batches: every batch was made with another `spaces.h5` than the spec's.
        solve: batches are to be solved.
        finalise: the manifest is rebuilt, and all that is derived.
        scalars: `scalars.h5` alone is rebuilt.
        packed: the packed copy is rebuilt.
        specs: the spec is kept again.
    """

    aside: dict[Path, set[str]] = field(default_factory=dict)
    spaces: bool = False
    all_batches: bool = False
    solve: bool = False
    finalise: bool = False
    scalars: bool = False
    packed: bool = False
    specs: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        flags = (self.spaces, self.solve, self.finalise, self.scalars, self.packed, self.specs)
        return not self.aside and not any(flags)

    def lines(self, folder: DataFolder) -> Iterator[str]:
        """Say what is to be done, a line each."""
        for path, codes in sorted(self.aside.items()):
            yield f"set aside {path.relative_to(folder.path)} ({', '.join(sorted(codes))})"
        if self.spaces:
            yield "make spaces.h5 again from the spec"
        if self.specs:
            yield "keep the spec in runs/ again"
        if self.solve:
            yield "solve what is missing then"
        if self.finalise:
            yield "rebuild manifest.json, scalars.h5 and the pictures"
        if self.scalars and not self.finalise:
            yield "rebuild scalars.h5"
        if self.packed:
            yield "rebuild the packed copy"


def make_plan(folder: DataFolder, findings: list[Finding], damaged_specs: list[Path]) -> Plan:
    """Return what can be done about findings."""
    plan = Plan()
    codes = Counter(finding.code for finding in findings)
    for path in damaged_specs:
        plan.aside[path] = {"run.damaged"}
    plan.specs = bool(damaged_specs) or "run.missing" in codes
    _spaces(folder, plan, codes)
    batches = _batches(folder, findings, plan, codes)
    for stem, why in sorted(batches.items()):
        for path in folder.batch_files(stem):
            plan.aside.setdefault(path, set()).update(why)
    for path in _orphans(folder, findings):
        plan.aside.setdefault(path, set()).add("shard.orphan")
    missing = {"order.missing", "batch.open", "record.none", "shard.orphan"} & set(codes)
    plan.solve = bool(batches or missing) or folder.order in plan.aside or plan.all_batches
    manifest = any(code.startswith(("manifest.", "preview.")) for code in codes)
    plan.finalise = plan.solve or manifest or plan.spaces or "spaces.manifest" in codes
    if folder.manifest.is_dir():
        plan.aside[folder.manifest] = {"manifest.malformed"}
    plan.scalars = any(code.startswith("scalars.") for code in codes)
    for place, code in ((folder.shards, "record.none"), (folder.runs, "run.missing"),
                        (folder.previews, "preview.damaged")):  # fmt: skip
        if os.path.lexists(place) and not place.is_dir():
            plan.aside[place] = {code}
    if folder.scalars.is_dir():
        plan.aside[folder.scalars] = {"scalars.damaged"}
    stale = plan.finalise and (folder.path / "packed").is_dir()
    plan.packed = "packed.unusable" in codes or stale
    return plan


def _spaces(folder: DataFolder, plan: Plan, codes: Counter[str]) -> None:
    """What becomes of `spaces.h5`.

    Where its tables or its mesh are not the spec's and the samples say that they are its own,
    none of them can be trusted: they are all solved again.
    """
    edited = "spaces.mesh" in codes and _OTHER_SAMPLES & set(codes)
    plan.all_batches = bool("spaces.tables" in codes or edited)
    plan.spaces = plan.all_batches or bool(_SPACES & set(codes))
    if plan.spaces and os.path.lexists(folder.spaces):
        plan.aside[folder.spaces] = {code for code in codes if code.startswith("spaces.")}


def _batches(
    folder: DataFolder, findings: list[Finding], plan: Plan, codes: Counter[str]
) -> dict[str, set[str]]:
    """Batches whose files are set aside, `<segment>-<batch>` → why."""
    found: dict[str, set[str]] = {}
    wanted = set(_BATCH)
    if "spaces.foreign" not in codes:
        wanted.add("record.spaces")
    disagree = {f.location for f in findings if f.code in _ORDER}
    if "order.damaged" in codes or len(disagree) > len(folder.committed()) / 2:
        if os.path.lexists(folder.order):
            plan.aside[folder.order] = {"order.damaged"} & set(codes) or _ORDER & set(codes)
    else:
        wanted |= _ORDER
    twice = {f.location for f in findings if f.code == "ids.twice"}
    if not (twice & disagree and wanted >= _ORDER):  # else the order says which of them is wrong
        wanted.add("ids.twice")
    for finding in findings:
        if finding.code in wanted and finding.location.startswith("shards/"):
            found.setdefault(batch_of(finding.location), set()).add(finding.code)
    if plan.all_batches:
        for segment, batch in folder.committed():
            found.setdefault(folder.record(segment, batch).stem, set()).add("spaces.tables")
    return found


def _orphans(folder: DataFolder, findings: list[Finding]) -> Iterator[Path]:
    """Shards that no record names; a run may have committed one since they were looked at."""
    for finding in findings:
        path = folder.path / finding.location
        if finding.code == "shard.orphan":
            record = folder.shards / f"{batch_of(path)}.json"
            if os.path.lexists(path) and _named(record) != path.name:
                yield path


def _named(record: Path) -> str | None:
    try:
        return read_record(record).file
    except Exception:  # it is set aside for that
        return None
