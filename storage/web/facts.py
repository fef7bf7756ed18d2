"""What the page of a data set says, as plain data, from its manifest and tables.

A manifest may hold anything; whatever is no text where text is expected is shown as such, cut.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from storage.catalogue.facts import group, number, sequence
from storage.dataset import Dataset
from storage.errors import StorageError
from storage.scalars import descriptions
from storage.web.opened import NotThere, OpenDataset

__all__ = ["SOLVED", "as_json", "facts", "sample", "text"]

_LONG = 20_000
_MANY = 50  # entries of a table
_PROBLEM = 400_000  # characters
SOLVED = {
    "iterations": "iterations",
    "true_residual": "true residual",
    "seconds": "seconds",
    "systems": "linear systems",
}
"""Columns of `solve/` that are shown, and their names on pages."""


def facts(opened: OpenDataset) -> dict[str, Any]:
    """Return what is the same for all samples."""
    data, manifest = opened.data, opened.data.manifest
    spec = group(manifest.get("spec"))
    failed = sequence(manifest.get("failures"))
    return {
        "unknowns": _unknowns(data),
        "finalised": data.has_manifest,
        "digest": data.digest[:16],
        "data_key": text(manifest.get("data_key"), 64),
        "samples": len(data),
        "failed": len(failed),
        "reasons": Counter(text(group(f).get("reason"), 300) for f in failed).most_common(20),
        "dimension": int(data.mesh["gdim"]),
        "mesh": _mesh(data),
        "fields": [_field(data, name) for name in [*data.inputs, *data.outputs]],
        "parameters": [text(name, 100) for name in data.parameters],
        "described": descriptions(data),
        "solved": _solved(data),
        "steps": _steps(data),
        "problem": _problem(group(manifest.get("problem"))),
        "splits": _short(group(manifest.get("splits")).get("counts")),
        "definitions": _definitions(group(manifest.get("definitions"))),
        "shards": len(manifest["shards"]),
        "bytes": sum(int(s["bytes"] or 0) for s in manifest["shards"]),
        "rtol": number(manifest.get("rtol")),
        "timings": _numbers(manifest.get("timings")),
        "pilots": _pilots(group(manifest.get("strategy"))),
        "provenance": _provenance(group(manifest.get("provenance"))),
        "licence": text(manifest.get("licence"), 200),
        "citations": _citations(manifest),
        "spec": _yaml(spec),
        "seed": spec.get("seed"),
        "runs": _runs(opened),
        "training": opened.folders("training"),
        "comparison": opened.folders("comparison"),
        "titles": _titles(opened, "training", "report.md")
        | _titles(opened, "comparison", "comparison.md"),
    }


def sample(opened: OpenDataset, row: int) -> dict[str, Any]:
    """Return what is known of one sample: its id, numbers and time steps."""
    data = opened.data
    row = opened.row(row)
    found: dict[str, Any] = {"row": row, "id": int(data.ids[row]), "split": _split(data, row)}
    numbers = {}
    for name in data.parameters:
        values = data.read(f"parameters/{name}", row).ravel()
        numbers[text(name, 100)] = [float(v) for v in values[:8]]
    found["parameters"] = numbers
    found["solved"] = {
        name: number(float(data.read(f"solve/{column}", row).max()))
        for column, name in _solved(data)
    }
    found["times"] = _times(data, row)
    return found


def text(value: Any, most: int = _LONG) -> str:
    """A value as text of at most so many characters."""
    if value is None:
        return ""
    plain = isinstance(value, str | int | float)  # 0 is said too
    said = str(value) if plain else as_json(value)
    return said if len(said) <= most else said[: most - 1] + "…"


def _field(data: Dataset, name: str) -> dict[str, Any]:
    field = data.fields[name]
    role = "input" if name in data.inputs else "output"
    column = data.columns[f"{role}s/{name}"]
    space = data.spaces.get(field.space, {})
    statistics = group(group(group(data.statistics).get("fields")).get(name))
    return {
        "name": text(name, 100),
        "role": role,
        "description": text(field.description, 300),
        "units": "" if field.units == "1" else text(field.units, 60),
        "space": _space(space),
        "dofs": int(column["shape"][-1]) if column["shape"] else 1,
        "timed": len(column["shape"]) == 2,
        "dtype": str(column["dtype"]).lstrip("<|"),
        "fixed": 0 if field.constrained is None else len(field.constrained),
        "statistics": {k: number(statistics.get(k)) for k in ("mean", "std", "min", "max")},
    }


def _space(space: Any) -> str:
    if "family" not in space:
        return ""
    family = str(space["family"])
    shape = tuple(space.get("value_shape", ()))
    family = {"N1E": "N1curl", "N2E": "N2curl"}.get(family, family)
    label = family if family == "MINI" else f"{family}{space['degree']}"
    blocked = int(space.get("block_size", 1)) > 1
    return f"{label}, {'×'.join(map(str, shape))} components" if shape and blocked else label


def _mesh(data: Dataset) -> dict[str, Any]:
    mesh = data.mesh
    return {
        "cell": text(str(mesh["cell_type"]), 40),
        "cells": len(mesh["cells"]),
        "vertices": len(mesh["points"]),
        "tdim": int(mesh["tdim"]),
        "moving": "displacement" in data.inputs,
    }


def _unknowns(data: Dataset) -> int:
    """Degrees of freedom of all outputs, of a sample and time step."""
    shapes = [data.columns[f"outputs/{name}"]["shape"] for name in data.outputs]
    return sum(int(shape[-1]) for shape in shapes if shape)


def _solved(data: Dataset) -> list[tuple[str, str]]:
    return [(c, name) for c, name in SOLVED.items() if f"solve/{c}" in data.columns]


def _steps(data: Dataset) -> int:
    """Time steps that a sample has at most; 0 without time."""
    shapes = [data.columns[f"outputs/{name}"]["shape"] for name in data.outputs]
    return max((int(shape[0]) for shape in shapes if len(shape) == 2), default=0)


def _times(data: Dataset, row: int) -> list[float | None]:
    """Times of the steps of a sample that count."""
    steps = _steps(data)
    if not steps:
        return []
    times: Any = data.read("times", row) if "times" in data.columns else data.times
    if "times_mask" in data.columns:
        mask = data.read("times_mask", row).astype(bool)
        times = times[mask] if times is not None else [None] * int(mask.sum())
    if times is None:
        return [None] * steps
    return [None if t is None else number(float(t)) for t in times]


def _split(data: Dataset, row: int) -> str:
    from storage.splits import divided

    rule = group(data.manifest.get("splits"))
    if not rule:
        return ""
    members = divided([data.ids[row]], rule)
    return next((name for name, ids in members.items() if len(ids)), "none")


def _problem(problem: dict[str, Any]) -> dict[str, Any]:
    known = ("family", "description", "strong", "weak", "boundary", "initial", "outputs", "symbols")
    found = {key: problem[key] for key in known if key in problem}
    return found if len(json.dumps(found, default=str)) <= _PROBLEM else {}


def _provenance(told: dict[str, Any]) -> dict[str, Any]:
    """Who made it, how, with what: texts, and `versions` as a table of texts."""
    found: dict[str, Any] = {}
    for name, value in list(told.items())[:_MANY]:
        if isinstance(value, list):
            value = " ".join(text(item, 2000) for item in value[:200])
        found[text(name, 60)] = text(value, 4000)
    return found | ({"versions": _short(told.get("versions"))} if "versions" in told else {})


def _short(told: Any) -> dict[str, str]:
    """The first entries of a table, as texts."""
    return {text(k, 60): text(v, 60) for k, v in list(group(told).items())[:_MANY]}


def _definitions(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Name, fields and splits of the problem definitions."""
    found = []
    for name, entry in list(told.items())[:_MANY]:
        entry = group(entry)
        splits = group(entry.get("splits"))
        said: dict[str, Any] = {
            key: [text(f, 100) for f in sequence(entry.get(key))[:_MANY]]
            for key in ("inputs", "outputs")
        }
        said |= {"name": text(name, 100), "description": text(entry.get("description"), 300)}
        counts = _short(splits.get("counts"))
        where = text(group(splits.get("ood")).get("where"), 300)
        found.append(said | {"counts": counts, "where": where})
    return found


def _pilots(strategy: dict[str, Any]) -> list[dict[str, Any]]:
    """What was tried on which shard, and what was picked."""
    found = []
    for pilot in map(group, sequence(strategy.get("pilots"))[:20]):
        trials = [
            {
                "strategy": text(trial.get("strategy"), 100),
                "ms": number(trial.get("ms")),
                "iterations": number(trial.get("iterations")),
            }
            for trial in map(group, sequence(pilot.get("trials"))[:30])
        ]
        said = {key: text(pilot.get(key), 200) for key in ("shard", "picked", "matrices")}
        found.append(said | {"trials": trials})
    return found


def _citations(manifest: dict[str, Any]) -> dict[str, str]:
    """Form of citation → its text; none for a manifest that they can't be made of."""
    from storage.citation import cite

    try:
        return {form: text(cite(manifest, form)) for form in ("apa", "bibtex", "cff")}
    except (AttributeError, LookupError, TypeError, ValueError, StorageError):
        return {}


def _runs(opened: OpenDataset) -> list[str]:
    try:
        return sorted(path.name for path in opened.folder.runs.iterdir())[-50:]
    except OSError:
        return []


def _titles(opened: OpenDataset, kind: str, name: str) -> dict[str, str]:
    """Run → first line of its report."""
    found = {}
    for run in opened.folders(kind)[:_MANY]:
        try:
            data = opened.bytes_of(opened.folder.path / kind / run / name, 1 << 18)
        except (NotThere, StorageError):
            continue
        line = data.partition(b"\n")[0].decode("utf-8", "replace")
        found[run] = text(line.lstrip("# ").strip(), 200)
    return found


def _yaml(value: dict[str, Any]) -> str:
    import yaml

    if not value:
        return ""
    return text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), 200_000)


def as_json(value: Any) -> str:
    """A value as JSON, cut; nothing for what is empty."""
    return json.dumps(value, default=str, ensure_ascii=False)[:_LONG] if value else ""


def _numbers(value: Any) -> dict[str, float]:
    found = {text(k, 60): number(v) for k, v in group(value).items()}
    return {k: v for k, v in found.items() if v is not None}
