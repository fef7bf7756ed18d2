"""Stage `finalise`: splits, statistics, provenance and pictures over the committed shards."""

from collections import Counter
from typing import Any

import numpy as np

from pipeline.dataset_folder import existing
from pipeline.imported import ImportedSpec
from pipeline.provenance import provenance
from pipeline.spec import Spec, data_key
from pipeline.statement import statement
from storage import DataFolder, StorageError, build_manifest, open_dataset, read_records
from storage.catalogue import note

__all__ = ["finalise", "summary"]

_PICTURED = 5


def finalise(spec: Spec | ImportedSpec, folder: DataFolder, workers: int = 1) -> dict[str, Any]:
    """Build `manifest.json` and `previews/` from the records. Not collective.

    Args:
        spec: The data set's spec.
        folder: The data set.
        workers: Number of processes that read shards.

    Returns:
        The summary of the data set, see `summary`.

    Raises:
        StorageError: Nothing is committed yet, or a record or shard is damaged.
    """
    existing(folder).create()  # clears away what a killed run has left
    records = read_records(folder, data_key(spec))
    if not records:
        raise StorageError(f"{folder.path}: no shard is committed; run `rekrylov solve` first")
    common: dict[str, Any] = {
        "name": spec.name,
        "data_key": data_key(spec),
        "spec": spec.model_dump(mode="json"),
        "provenance": provenance(),
        "licence": spec.licence,
        "citation": spec.citation,
        "timings": _timings(records),
    }
    if isinstance(spec, ImportedSpec):
        common |= {"rtol": None, "problem": spec.statement(), "strategy": {}}
    else:
        strategy = spec.solve.model_dump(mode="json") | {"pilots": _pilots(records)}
        common |= {"rtol": spec.rtol, "problem": statement(spec), "strategy": strategy}
    build_manifest(
        folder,
        common,
        split_seed=spec.seed,
        fractions=spec.splits.model_dump(),
        definitions=_definitions(spec),
        workers=workers,
    )
    dataset = open_dataset(folder.path)
    if len(dataset):
        from storage.pictures.preview import samples_picture
        from storage.pictures.thumbnail import commit_thumbnail

        rows = list(range(min(_PICTURED, len(dataset))))
        samples_picture(dataset, rows, folder.previews / "samples.png")
        commit_thumbnail(dataset)
    note(folder.path)
    return summary(folder)


def _definitions(spec: Spec | ImportedSpec) -> dict[str, dict[str, Any]]:
    """The spec's definitions, with what they take over from the data set."""
    return {
        name: {
            "description": wanted.description,
            "inputs": wanted.inputs,
            "outputs": wanted.outputs,
            "seed": spec.seed if wanted.seed is None else wanted.seed,
            "fractions": (wanted.splits or spec.splits).model_dump(),
            "ood": wanted.ood,
        }
        for name, wanted in spec.definitions.items()
    }


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
    scalars = dataset.scalars
    if len(dataset) and "iterations" in scalars:  # imported samples have none
        iterations = scalars["iterations"]
        found["iterations"] = {"mean": float(np.mean(iterations)), "max": int(np.max(iterations))}
        found["worst_true_residual"] = float(np.max(scalars["true_residual"]))
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
