"""How two data sets differ: spec, versions, fields, spaces, and the samples they share by id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.catalogue import facts
from storage.catalogue.specs import changes, flatten
from storage.dataset import Dataset

__all__ = ["diff"]

type Array = npt.NDArray[Any]


def diff(a: Dataset, b: Dataset) -> dict[str, Any]:
    """Compare two data sets; reads the samples that they share, a shard at a time.

    Returns:
        `same`: whether spec, fields, spaces, ids and all values are equal. `spec`, `versions`,
        `fields`: key → [in a, in b] where they differ. `spaces_equal`. `ids`: how many samples
        are `common`, `only_a`, `only_b`. `columns`: inputs, outputs and parameters of common
        samples → how many are bit-equal, and the largest relative difference
        ‖a − b‖₂ / ‖a‖₂ of the others with the id it is of, also in multiples of the larger
        `rtol`; or why they can't be compared. `statistics`: field → [mean, std] in a, in b.

    Raises:
        DamagedShard: a shard can't be read.
    """
    manifests = (a.manifest, b.manifest)
    common = np.intersect1d(a.ids, b.ids)
    spaces = a.manifest["spaces_hash"] == b.manifest["spaces_hash"]
    rtol = max(facts.number(m.get("rtol")) or 0.0 for m in manifests)
    found = {
        "a": str(a.path),
        "b": str(b.path),
        "data_key": [m["data_key"] for m in manifests],
        "spec": _differing(manifests, "spec"),
        "versions": changes(*(_versions(m) for m in manifests)),
        "fields": _differing(manifests, "fields"),
        "spaces_equal": spaces,
        "ids": {
            "common": len(common),
            "only_a": len(a) - len(common),
            "only_b": len(b) - len(common),
        },
        "rtol": rtol or None,
        "columns": _columns(a, b, common, spaces, rtol),
        "statistics": _statistics(manifests),
    }
    equal = all(c.get("equal") == len(common) for c in found["columns"].values())
    alike = len(common) == len(a) == len(b) and spaces and not found["fields"]
    found["same"] = equal and alike and not found["spec"]
    return found


def _differing(manifests: tuple[Mapping[str, Any], ...], key: str) -> dict[str, list[Any]]:
    before, after = (flatten(facts.group(m.get(key))) for m in manifests)
    return changes(before, after)


def _versions(manifest: Mapping[str, Any]) -> dict[str, Any]:
    provenance = facts.group(manifest.get("provenance"))
    return facts.group(provenance.get("versions")) | {"git_commit": provenance.get("git_commit")}


def _columns(
    a: Dataset, b: Dataset, common: Array, spaces: bool, rtol: float
) -> dict[str, dict[str, Any]]:
    kinds = ("inputs/", "outputs/", "parameters/")
    names = [name for name in a.columns if name.startswith(kinds)]
    names += [name for name in b.columns if name.startswith(kinds) and name not in names]
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        if reason := _apart(name, a, b, spaces):
            found[name] = {"not_compared": reason}
        elif len(common):
            found[name] = _compared(name, a.select(common), b, rtol)
    return found


def _apart(name: str, a: Dataset, b: Dataset, spaces: bool) -> str | None:
    """Why a column of the two can't be compared, if so."""
    for dataset in (a, b):
        if name not in dataset.columns:
            return f"{dataset.path.name} has none"
    shapes = [tuple(dataset.columns[name]["shape"]) for dataset in (a, b)]
    if shapes[0] != shapes[1]:
        return f"its shapes are {shapes[0]} and {shapes[1]}"
    if not spaces and not name.startswith("parameters/"):
        return "its coefficients are of other meshes or spaces"
    return None


def _compared(name: str, a: Dataset, b: Dataset, rtol: float) -> dict[str, Any]:
    equal, worst, worst_id, unlike = 0, 0.0, None, 0
    for rows in a.by_shard():
        first, second = a.read(name, rows), b.select(a.ids[rows]).read(name)
        distances, bits = _distances(first, second), _bit_equal(first, second)
        equal += int(bits.sum())
        unlike += int(np.isnan(distances).sum())
        place = int(np.argmax(np.nan_to_num(distances, nan=-1.0)))
        if distances[place] > worst:
            worst, worst_id = float(distances[place]), int(a.ids[rows][place])
    found: dict[str, Any] = {"equal": equal, "largest": worst, "id": worst_id}
    if unlike:
        found["not_finite"] = unlike
    return found | ({"largest_by_rtol": worst / rtol} if rtol else {})


def _bit_equal(first: Array, second: Array) -> npt.NDArray[np.bool_]:
    """Which samples are the same bytes, and of the same type."""
    if first.dtype != second.dtype:
        return np.zeros(len(first), dtype=bool)
    pair = [np.ascontiguousarray(x).reshape(len(x), -1).view(np.uint8) for x in (first, second)]
    return np.asarray(np.all(pair[0] == pair[1], axis=1))


def _distances(first: Array, second: Array) -> npt.NDArray[np.float64]:
    """‖a − b‖₂ / ‖a‖₂ of every sample, absolute where a is zero; NaN where only one has NaN."""
    x, y = (v.reshape(len(v), -1).astype(np.float64) for v in (first, second))
    both = np.isnan(x) & np.isnan(y)  # time steps that don't count
    x, y = np.where(both, 0.0, x), np.where(both, 0.0, y)
    size = np.linalg.norm(x, axis=1)
    return np.asarray(np.linalg.norm(x - y, axis=1) / np.where(size > 0, size, 1.0))


def _statistics(manifests: tuple[Mapping[str, Any], ...]) -> dict[str, list[Any]]:
    tables = [facts.group(facts.group(m.get("statistics")).get("fields")) for m in manifests]
    return {
        name: [[t[name]["mean"], t[name]["std"]] if name in t else None for t in tables]
        for name in dict.fromkeys(name for table in tables for name in table)
    }
