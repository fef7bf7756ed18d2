"""Stage `finalise`: splits, statistics, provenance and pictures over the committed shards."""

from collections import Counter
from typing import Any

import numpy as np

from pipeline.dataset_folder import existing
from pipeline.provenance import provenance
from pipeline.spec import Spec, data_key
from pipeline.statement import statement
from storage import DataFolder, StorageError, build_manifest, open_dataset, read_records

__all__ = ["finalise", "summary"]

_PICTURED = 5


def finalise(spec: Spec, folder: DataFolder) -> dict[str, Any]:
    """Build `manifest.json` and `previews/` from the records. Not collective.

    Returns:
        The summary of the data set, see `summary`.

    Raises:
        StorageError: Nothing is committed yet, or a record or shard is damaged.
    """
    records = read_records(existing(folder), data_key(spec))
    if not records:
        raise StorageError(f"{folder.path}: no shard is committed; run `rekrylov solve` first")
    common = {
        "name": spec.name,
        "data_key": data_key(spec),
        "rtol": spec.rtol,
        "spec": spec.model_dump(mode="json"),
        "problem": statement(spec),
        "provenance": provenance(),
        "licence": spec.licence,
        "citation": spec.citation,
        "strategy": spec.solve.model_dump(mode="json") | {"pilots": _pilots(records)},
        "timings": _timings(records),
    }
    build_manifest(
        folder,
        common,
        split_seed=spec.seed,
        fractions=spec.splits.model_dump(),
    )
    dataset = open_dataset(folder.path)
    if len(dataset):
        from storage.preview import samples_picture

        rows = list(range(min(_PICTURED, len(dataset))))
        samples_picture(dataset, rows, folder.previews / "samples.png")
    return summary(folder)


def summary(folder: DataFolder) -> dict[str, Any]:
    """Return counts, iterations, worst residual and timings of a finalised data set."""
    dataset = open_dataset(folder.path)
    manifest = dataset.manifest
    found: dict[str, Any] = {
        "folder": str(folder.path),
        "name": manifest["name"],
        "data_key": manifest["data_key"],
        "stored": len(dataset),
        "failed": len(manifest["failures"]),
        "reasons": dict(Counter(f["reason"] for f in manifest["failures"])),
        "shards": len(manifest["shards"]),
        "bytes": sum(shard["bytes"] or 0 for shard in manifest["shards"]),
        "seconds": manifest["timings"],
    }
    if len(dataset):
        iterations = dataset.column("solve/iterations")
        found["iterations"] = {"mean": float(np.mean(iterations)), "max": int(np.max(iterations))}
        found["worst_true_residual"] = float(np.max(dataset.column("solve/true_residual")))
    return found


def _pilots(records: list[Any]) -> list[dict[str, Any]]:
    """The evidence for strategies that were picked: candidates with their times, by shard."""
    return [
        {"shard": record.file, **pilot}
        for record in records
        for pilot in record.info.get("pilots", [])
    ]


def _timings(records: list[Any]) -> dict[str, float]:
    """Seconds summed over the shards: drawing, assembly, solve, and the rest of the loop."""
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.info.get("seconds", {}))
    return {name: round(value, 6) for name, value in total.items()}
