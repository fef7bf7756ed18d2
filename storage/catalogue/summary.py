"""The row of a data set in the catalogue, read from its folder alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from storage.catalogue import facts
from storage.catalogue.solved import solve_figures, unsolved
from storage.errors import DamagedFile, StorageError
from storage.folder import DataFolder
from storage.manifest import read_manifest
from storage.records import read_record, read_records

__all__ = ["SIZES", "Entry", "Summary", "read_entry", "summarise"]

SIZES = {
    "below 1 MB": 1e6,
    "1 MB to 10 MB": 1e7,
    "10 MB to 100 MB": 1e8,
    "100 MB to 1 GB": 1e9,
    "1 GB to 10 GB": 1e10,
    "10 GB to 100 GB": 1e11,
    "100 GB or more": math.inf,
}
"""Classes of size, and the bytes that each ends before."""

_LARGEST = 1 << 26  # bytes of a manifest that is read
_TROUBLE = (
    StorageError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
    MemoryError,
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What the catalogue knows of a data set; all plain data, `""` or None where not known.

    Attributes:
        folder: name of the folder below the root; says which data set it is.
        name: of the data set.
        family: of PDEs.
        description: the problem in one line.
        dimension: of space; 0 if not known.
        cell: kind of cell, `triangle`.
        geometry: kind of domain, `unit_square`.
        space: of the outputs, each once: `P2, P1`.
        spaces: field by field: `a: P1, u: P1`.
        strategy: what solved it: that of the spec, or those that pilots picked.
        status: `complete`, `incomplete` (batches of `order.h5` are missing), `failures`,
            `unfinished` (no manifest, or one behind its records) or `damaged`.
        size: class of `bytes`, one of `SIZES`.
        samples: stored.
        failed: given up.
        missing: asked for and neither.
        bytes: of the shards.
        dofs: of all outputs, a sample and time step.
        shards: number of shards.
        rtol: largest true residual that was allowed.
        worst_residual: largest true residual of a stored sample.
        mean_iterations: a sample.
        seconds: of the solve loop, all ranks added up.
        licence: of the data.
        citation: how to cite it.
        host: where it was made.
        user: who ran it.
        git_commit: of the package.
        versions: `numpy 2.5.5, petsc 3.25.5, …`.
        created: time of the first run, `2026-11-29T16:03:18Z`.
        updated: time of the last finalise, or of the last record without a manifest.
        trained: number of training reports.
        compared: number of comparisons of operators.
        checked: verdict of the last `rekrylov check` and its day, `sound 2026-11-29`.
        data_key: 64 hex digits.
        error: what is wrong with it, one line.
    """

    folder: str
    name: str
    family: str = ""
    description: str = ""
    dimension: int = 0
    cell: str = ""
    geometry: str = ""
    space: str = ""
    spaces: str = ""
    strategy: str = ""
    status: str = "damaged"
    size: str = "below 1 MB"
    samples: int = 0
    failed: int = 0
    missing: int = 0
    bytes: int = 0
    dofs: int = 0
    shards: int = 0
    rtol: float | None = None
    worst_residual: float | None = None
    mean_iterations: float | None = None
    seconds: float | None = None
    licence: str = ""
    citation: str = ""
    host: str = ""
    user: str = ""
    git_commit: str = ""
    versions: str = ""
    created: str = ""
    updated: str = ""
    trained: int = 0
    compared: int = 0
    checked: str = ""
    data_key: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A summary, and the words that it is found by."""

    summary: Summary
    words: str


def summarise(folder: DataFolder) -> Summary:
    """Summarise a data set from its manifest, or without one from its records.

    Beside these, `order.h5` says what is missing, `scalars.h5` iterations and residuals, and
    `check.json` when it was last checked. No shard is read. Nothing about the folder's content
    makes it raise: the status is `damaged` then, and `error` says why.
    """
    return read_entry(folder).summary


def read_entry(folder: DataFolder) -> Entry:
    """Return the summary of a data set and the words of its problem. Never raises on damage."""
    name = re.sub(r"-[0-9a-f]{10}$", "", folder.path.name)
    blank = Summary(folder=folder.path.name, name=name)
    common: dict[str, Any] = {}
    with suppress(*_TROUBLE):
        common = facts.beside(folder)
    try:
        manifest = _manifest(folder)
        if manifest is None:
            found, words = _from_records(folder, blank), ""
        else:
            found, words = _from_manifest(folder, manifest, blank), facts.words(manifest)
    except _TROUBLE as error:
        reason = facts.text(" ".join(str(error).split())) or type(error).__name__
        found, words = replace(blank, status="damaged", error=reason), ""
    found = replace(found, **{k: v for k, v in common.items() if v or not getattr(found, k)})
    if found.checked.startswith("damaged") and found.status != "damaged":
        reason = f"`rekrylov check` found damage on {found.checked.split()[-1]}"
        found = replace(found, status="damaged", error=reason)
    shown = (found.name, found.folder, found.family, found.geometry, found.spaces, found.cell)
    texts = (found.strategy, found.description, found.citation, found.licence, found.host)
    return Entry(found, " ".join([*shown, *texts, found.user, words])[: 5 * facts.LONGEST])


def _manifest(folder: DataFolder) -> dict[str, Any] | None:
    try:
        return read_manifest(folder, _LARGEST)
    except FileNotFoundError:
        return None


def _from_manifest(folder: DataFolder, manifest: dict[str, Any], blank: Summary) -> Summary:
    problem = facts.group(manifest.get("problem"))
    provenance = facts.group(manifest.get("provenance"))
    samples, failed = facts.whole(manifest.get("samples")), len(manifest.get("failures") or ())
    listed = {(shard["segment"], shard["batch"]) for shard in manifest["shards"]}
    size = sum(shard["bytes"] for shard in manifest["shards"])
    spec = facts.group(manifest.get("spec"))
    missing = unsolved(folder, _asked(spec), samples + failed)
    mean_iterations, worst = solve_figures(folder, manifest)
    versions = facts.group(provenance.get("versions"))
    return replace(
        blank,
        name=facts.text(manifest.get("name")) or blank.name,
        description=facts.text(problem.get("description")),
        dimension=facts.whole(problem.get("dimension")),
        strategy=facts.strategy(facts.group(manifest.get("strategy"))),
        status=_status(folder, listed, failed, missing),
        samples=samples,
        failed=failed,
        missing=missing,
        shards=len(listed),
        rtol=facts.number(manifest.get("rtol")),
        worst_residual=worst,
        mean_iterations=mean_iterations,
        seconds=facts.number(facts.group(manifest.get("timings")).get("all")),
        licence=facts.text(manifest.get("licence")),
        citation=facts.text(manifest.get("citation")),
        host=facts.text(provenance.get("host")),
        user=facts.text(provenance.get("user")),
        git_commit=facts.text(provenance.get("git_commit")),
        versions=facts.text(", ".join(f"{name} {version}" for name, version in versions.items())),
        updated=facts.text(provenance.get("time"))
        or facts.time_of(folder.manifest.stat().st_mtime),
        data_key=facts.text(manifest.get("data_key")),
        **_sizes(size),
        **_of_spec(spec, facts.text(problem.get("family"))),
        **_of_fields(manifest),
    )


def _from_records(folder: DataFolder, blank: Summary) -> Summary:
    """What is known before the first `finalise`; the spec is that of the last run."""
    records = read_records(folder)
    spec = facts.last_spec(folder)
    failed = sum(len(record.failures) for record in records)
    samples = sum(len(record.ids) for record in records)
    return replace(
        blank,
        name=facts.text(spec.get("name")) or blank.name,
        status="unfinished",
        samples=samples,
        failed=failed,
        missing=unsolved(folder, _asked(spec), samples + failed),
        shards=sum(record.file is not None for record in records),
        rtol=facts.number(spec.get("rtol")),
        strategy=facts.strategy({"strategy": facts.group(spec.get("solve")).get("strategy")}),
        licence=facts.text(spec.get("licence")),
        citation=facts.text(spec.get("citation")),
        updated=facts.time_of(folder.shards.stat().st_mtime),
        data_key=records[0].data_key if records else "",
        **_sizes(sum(record.bytes for record in records)),
        **_of_spec(spec, facts.text(facts.group(spec.get("problem")).get("family"))),
    )


def _status(folder: DataFolder, listed: set[tuple[int, int]], failed: int, missing: int) -> str:
    committed = folder.committed()
    if lost := listed - committed:
        raise DamagedFile(
            f"{folder.shards}: {len(lost)} batches of the manifest have no record; run "
            "`rekrylov repair`"
        )
    if missing:
        return "incomplete"
    if any(read_record(folder.record(*batch)).file is not None for batch in committed - listed):
        return "unfinished"  # a batch of failed samples alone is never listed
    return "failures" if failed else "complete"


def _of_spec(spec: Mapping[str, Any], family: str) -> dict[str, Any]:
    mesh = facts.group(spec.get("mesh"))
    return {
        "family": family,
        "geometry": facts.text(mesh.get("domain")),
        "cell": facts.text(mesh.get("cell")),
    }


def _of_fields(manifest: Mapping[str, Any]) -> dict[str, Any]:
    fields = {
        facts.text(name): facts.group(field)
        for name, field in facts.group(manifest.get("fields")).items()
    }
    outputs = [facts.text(f.get("space")) for f in fields.values() if f.get("role") == "output"]
    columns = [c["shape"] for name, c in manifest["columns"].items() if name.startswith("outputs/")]
    return {
        "space": ", ".join(dict.fromkeys(outputs)),
        "spaces": ", ".join(f"{name}: {facts.text(f.get('space'))}" for name, f in fields.items()),
        "dofs": facts.whole(sum(int(shape[-1]) for shape in columns if shape)),
    }


def _sizes(size: int) -> dict[str, Any]:
    return {
        "bytes": facts.whole(size),
        "size": next(name for name, end in SIZES.items() if size < end),
    }


def _asked(spec: Mapping[str, Any]) -> range | None:
    """Sample ids that the spec asks for; None if it doesn't say."""
    first, samples = spec.get("first", 0), spec.get("samples")
    if not isinstance(first, int) or not isinstance(samples, int):
        return None
    return range(first, first + samples)
