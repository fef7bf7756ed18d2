"""Where a data set comes from: every run, its provenance, how it was solved, what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage import files
from storage.catalogue import facts
from storage.catalogue.specs import changes, flatten
from storage.folder import DataFolder
from storage.manifest import read_manifest
from storage.records import Record, read_records

__all__ = ["lineage", "trainings"]

_REPORTED = (
    "operator",
    "samples",
    "parameters",
    "best_epoch",
    "fit_seconds",
    "versions",
    "data_key",
    "spaces_hash",
)


def lineage(folder: DataFolder) -> dict[str, Any]:
    """Return all that is known of how a data set was made, as plain data.

    Returns:
        `folder`, `data_key`, `spaces_hash`, `seed`; `runs`: time, file and the spec's changes
        since the run before, the first one with its whole spec; `provenance` of the last
        finalise: versions, git commit, host, user, command; `strategy`: the spec's, `picked`
        by pilots, and `pilots` with the milliseconds of every candidate; `ladder`: what samples
        needed that the strategy did not solve; `timings`; `first`, `last` end of a batch;
        `training`: operators and what they were trained on.

    Raises:
        DamagedFile: a file is malformed.
    """
    try:
        manifest = read_manifest(folder)
    except FileNotFoundError:
        manifest = {}
    records = read_records(folder)
    runs = _runs(folder)
    spec = runs[-1]["spec"] if runs else facts.group(manifest.get("spec"))
    first = records[0] if records else None
    return {
        "folder": str(folder.path),
        "data_key": manifest.get("data_key", first.data_key if first else None),
        "spaces_hash": manifest.get("spaces_hash", first.spaces_hash if first else None),
        "seed": spec.get("seed"),
        "runs": [_without_spec(run) if place else run for place, run in enumerate(runs)],
        "provenance": facts.group(manifest.get("provenance")),
        **_solving(manifest, records),
        "training": trainings(folder, manifest),
    }


def _runs(folder: DataFolder) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted(folder.runs.glob("*.yaml")):
        spec = facts.read_spec(path)
        before = flatten(found[-1]["spec"]) if found else {}
        changed = changes(before, flatten(spec)) if found else {}
        found.append({"time": path.stem, "file": path.name, "changed": changed, "spec": spec})
    return found


def _without_spec(run: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in run.items() if key != "spec"}


def _solving(manifest: Mapping[str, Any], records: list[Record]) -> dict[str, Any]:
    """Strategy, pilots, ladder and times; from the records where the manifest doesn't say."""
    pilots = [
        {"shard": record.file, **facts.group(pilot)}
        for record in records
        for pilot in record.info.get("pilots", [])
    ]
    ladders = [facts.group(record.info.get("ladders")) for record in records]
    times = Counter[str]()
    for record in records:
        times.update(facts.group(record.info.get("seconds")))
    ends = [end for record in records if (end := facts.number(record.info.get("ended")))]
    return {
        "strategy": facts.group(manifest.get("strategy")).get("strategy"),
        "picked": dict(Counter(facts.text(pilot.get("picked")) for pilot in pilots)),
        "pilots": pilots,
        "ladder": {i: steps for ladder in ladders for i, steps in ladder.items()},
        "timings": facts.group(manifest.get("timings")) or dict(times),
        "first": facts.time_of(min(ends)) if ends else None,
        "last": facts.time_of(max(ends)) if ends else None,
    }


def trainings(folder: DataFolder, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the operators in `training/`, and what each was trained on."""
    reports = sorted(folder.training.glob("*/report.json"))
    return [_training(path, manifest) for path in reports]


def _training(path: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """An operator, and whether it was trained on the samples that are there now."""
    report = facts.group(files.read_json(path))
    same = all(report.get(key) == manifest.get(key) for key in ("data_key", "spaces_hash"))
    found = {key: report[key] for key in _REPORTED if key in report}
    return {"folder": path.parent.name, **found, "on_these_samples": same}
