"""The spec of a data set, from what the data set keeps of it, whatever has happened to it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.dataset_folder import with_own_family
from pipeline.spec import Spec, data_key, parse_spec
from storage import DataFolder, Finding, read_manifest, read_record
from storage.checks.finding import error, one_line, warning
from storage.files import read_bytes
from storage.spaces import SpaceTree

__all__ = ["StoredSpec", "stored_spec"]

_SOME = 64


@dataclass(frozen=True)
class StoredSpec:
    """What a data set tells of its spec.

    Attributes:
        spec: The spec that determines its samples, None if there is none for this version.
        why: Why there is none, "" if there is one.
        findings: Damage to the kept specs.
        damaged: Kept specs that are damaged or of another data set.
    """

    spec: Spec | None
    why: str = ""
    findings: list[Finding] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)


def stored_spec(folder: DataFolder) -> StoredSpec:
    """Return the newest kept spec whose data key is that of the data set. Never raises.

    Specs are kept in `runs/`, and the last finalised one in the manifest.
    """
    key = _key(folder)
    found: Spec | None = None
    reasons: list[str] = []
    others: list[Path] = []
    findings: list[Finding] = []
    damaged: list[Path] = []
    for path, raw in _kept(folder):
        if isinstance(raw, Exception):
            damaged.append(path)
            findings.append(error("run.damaged", f"runs/{path.name}", one_line(raw)))
            continue
        spec, why = _parsed(raw, key)
        if spec is None:
            reasons.append(why)
            others.append(path)
        elif found is None:
            found = spec
    if found is None:
        return StoredSpec(None, (reasons or ["it keeps no spec"])[0], findings, damaged)
    for path in others:
        text = "is not a spec of this data set: edited, or another one's"
        if path == folder.manifest:
            findings.append(error("manifest.spec", path.name, f"its spec {text}"))
            continue
        findings.append(error("run.foreign", f"runs/{path.name}", text))
        damaged.append(path)
    if not list(folder.runs.glob("*.yaml")):
        findings.append(warning("run.missing", "runs", "no spec is kept but the manifest's"))
    return StoredSpec(found, "", findings, damaged)


def _kept(folder: DataFolder) -> Iterator[tuple[Path, Any]]:
    """Plain specs, or what is wrong with them: of the runs, the newest first; the manifest's."""
    for path in sorted(folder.runs.glob("*.yaml"), reverse=True):
        try:
            raw = yaml.safe_load(read_bytes(path))
            if not isinstance(raw, dict):
                raise ValueError(f"holds a {type(raw).__name__}, expected keys with values")
        except Exception as problem:  # whatever YAML makes of a torn file
            yield path, problem
            continue
        yield path, with_own_family(raw, folder)
    try:
        manifest = read_manifest(folder)
    except Exception:  # the check names it
        return
    if "spec" in manifest:
        yield folder.manifest, with_own_family(manifest["spec"], folder)


def _key(folder: DataFolder) -> str | None:
    """The data key of the data set, that of most records; None if nothing tells it."""
    counts: Counter[str] = Counter()
    batches = sorted(folder.committed())
    for segment, batch in batches[:: max(1, len(batches) // _SOME)]:
        with suppress(Exception):  # another one will tell
            counts[read_record(folder.record(segment, batch)).data_key] += 1
    if counts:
        return counts.most_common(1)[0][0]
    try:
        return str(SpaceTree(folder.spaces)["data_key"])
    except Exception:  # the check names it
        return None


def _parsed(raw: Any, key: str | None) -> tuple[Spec | None, str]:
    try:
        spec = parse_spec(raw)
        if key is not None and data_key(spec) != key:
            return None, (
                f"its spec has data key {data_key(spec)[:10]} in this version, the data set has "
                f"{key[:10]}: made by another revision, or a file that it names has changed"
            )
        return spec, ""
    except Exception as problem:  # another version's spec, or a family that isn't here
        return None, f"its spec can't be read by this version: {one_line(problem)}"
