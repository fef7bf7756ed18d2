"""One trained operator on a data set: errors with intervals, defects, where it fails, how fast."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.operators.errors import TrainingError
from pipeline.operators.operator import Operator, predictor
from pipeline.operators.predict import milliseconds
from pipeline.operators.training.checkpoint import load_checkpoint
from pipeline.operators.validation.bootstrap import mean_interval
from pipeline.operators.validation.defects import measure
from pipeline.operators.zoo import label
from storage import Dataset, open_dataset
from storage.scalars import descriptions
from storage.selection import describe, holds, parse_ids

__all__ = ["Bin", "Evaluation", "MeshError", "evaluate", "open_operator", "times"]

Array = NDArray[np.float64]
BINS = 4
BATCHES = (1, 32)


@dataclass(frozen=True)
class Bin:
    """Mean errors of the samples whose number (`describe`) is in [low, high]."""

    low: float
    high: float
    samples: int
    l2: float
    graph: float


@dataclass(frozen=True, eq=False)
class MeshError:
    """Errors against the solution on the once-refined mesh, norm → (k) of some samples.

    Attributes:
        ids: (k) of the samples.
        mesh: of the stored solutions: what the mesh does.
        network: of the predictions against the stored solutions: what the network does.
        total: of the predictions.
        skipped: why there is none.
    """

    ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    mesh: Mapping[str, Array] = field(default_factory=dict)
    network: Mapping[str, Array] = field(default_factory=dict)
    total: Mapping[str, Array] = field(default_factory=dict)
    skipped: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data: means over the samples, or why there are none."""
        if self.skipped:
            return {"skipped": self.skipped}
        kinds = {"mesh": self.mesh, "network": self.network, "total": self.total}
        means = {k: {n: float(v.mean()) for n, v in found.items()} for k, found in kinds.items()}
        return {"ids": self.ids.tolist(), **means}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found.

    Attributes:
        operator: that was evaluated.
        checkpoint: its folder.
        samples: the samples.
        which: the samples in words, "test split, mu > 0.01".
        seen: how many of them it was trained on.
        moved: whether it was trained on another data set's mesh.
        errors: name → (n): `l2`, `graph`, of outputs, and defects.
        ranges: number that describes a sample → errors by its quartiles.
        milliseconds: batch size → time of a prediction per sample.
    """

    operator: Operator
    checkpoint: Path
    samples: Dataset
    which: str
    seen: int
    moved: bool
    errors: dict[str, Array]
    ranges: dict[str, list[Bin]]
    milliseconds: dict[int, float]

    @property
    def name(self) -> str:
        """A folder name: the data set, and a hash of which of its samples."""
        digest = hashlib.sha256(self.samples.ids.astype("<i8").tobytes()).hexdigest()
        return f"{self.samples.path.name}-{digest[:6]}"

    def worst(self, count: int = 5) -> NDArray[np.int64]:
        """Positions of the samples with the largest L2 errors, the worst first."""
        return np.argsort(-self.errors["l2"], kind="stable")[:count]

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        worst = self.worst()
        return {
            "operator": label(self.operator.config),
            "checkpoint": str(self.checkpoint),
            "data_set": str(self.samples.path),
            "samples": {"which": self.which, "count": len(self.samples), "seen": self.seen},
            "moved": self.moved,
            "parameters": self.operator.parameter_count,
            "errors": {name: summary(values) for name, values in self.errors.items()},
            "ranges": {name: [vars(b) for b in bins] for name, bins in self.ranges.items()},
            "worst": [
                {"id": int(self.samples.ids[k]), "l2": float(self.errors["l2"][k])} for k in worst
            ],
            "milliseconds": {str(batch): value for batch, value in self.milliseconds.items()},
        }


def summary(values: Array) -> dict[str, float | None]:
    """Mean with its 95 % interval, median, maximum; None for an interval that isn't there."""
    low, high = mean_interval(values)
    there = np.isfinite([low, high]).all()
    return {
        "mean": float(values.mean()),
        "low": low if there else None,
        "high": high if there else None,
        "median": float(np.median(values)),
        "max": float(values.max()),
    }


def evaluate(
    checkpoint: str | os.PathLike[str],
    dataset_path: str | os.PathLike[str],
    *,
    split: str | None = "test",
    where: str | None = None,
    ids: str | None = None,
    home: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Evaluate a trained operator.

    Args:
        checkpoint: its file or folder.
        dataset_path: a data set with the same mesh and spaces, of the same law or another.
        split: of which samples; None: all.
        where: a condition on them, see `storage.selection`.
        ids: these alone, "3,5,10-20", of whatever split.
        home: the data set it was trained on, if `dataset_path` has another mesh.

    Raises:
        TrainingError: no sample is left, or a condition can't be read.
        CheckpointMismatch: the operator doesn't fit the data set.
    """
    dataset = open_dataset(dataset_path)
    operator, about = open_operator(checkpoint, dataset, home)
    dataset = as_learnt(dataset, about)
    samples, which = _choose(dataset, split, where, ids)
    errors = measure(predictor(operator, samples), samples,
                     operator.task)  # fmt: skip
    path = Path(checkpoint)
    return Evaluation(
        operator,
        path if path.is_dir() else path.parent,
        samples,
        which,
        _seen(about, dataset, samples),
        home is not None,
        errors,
        {name: _bins(describe(samples, name), errors) for name in descriptions(samples)},
        times(operator, samples),
    )


def open_operator(
    checkpoint: str | os.PathLike[str],
    dataset: Dataset,
    home: str | os.PathLike[str] | None = None,
) -> tuple[Operator, dict[str, Any]]:
    """Load an operator for a data set, and what its checkpoint says.

    Raises:
        CheckpointMismatch: it doesn't fit.
    """
    loaded = load_checkpoint(checkpoint, dataset, home=None if home is None else open_dataset(home))
    return loaded.operator, loaded.about


def as_learnt(dataset: Dataset, about: Mapping[str, Any]) -> Dataset:
    """Return the data set as the operator's problem definition sees it, if it has that one."""
    name = about["config"].get("definition")
    return dataset.define(name) if name in dataset.manifest.get("definitions", {}) else dataset


def times(operator: Operator, samples: Dataset) -> dict[int, float]:
    """Batch size → milliseconds of a prediction per sample."""
    given = operator.task.given(samples, np.arange(min(len(samples), max(BATCHES))))
    return {batch: milliseconds(operator, given, batch) for batch in BATCHES}


def _choose(
    dataset: Dataset, split: str | None, where: str | None, ids: str | None
) -> tuple[Dataset, str]:
    if ids is not None:
        wanted = parse_ids(ids)
        unknown = np.setdiff1d(wanted, dataset.ids)
        if len(unknown):
            raise TrainingError(f"{dataset.path}: ids {unknown[:5].tolist()} are not stored")
        chosen, which = dataset.select(wanted), f"ids {ids}"
    elif split is None:
        chosen, which = dataset, "all samples"
    else:
        chosen, which = _split(dataset, split), f"{split} split"
    if where is not None:
        chosen, which = chosen.select(chosen.ids[holds(chosen, where)]), f"{which}, {where}"
    if not len(chosen):
        raise TrainingError(f"{dataset.path}: no sample in {which}; choose others or make more")
    return chosen, which


def _split(dataset: Dataset, name: str) -> Dataset:
    try:
        return dataset.split(name)
    except KeyError as error:
        raise TrainingError(f"{error.args[0]}; or `all`") from error


def _seen(about: Mapping[str, Any], dataset: Dataset, samples: Dataset) -> int:
    """How many samples were among those that it was trained on."""
    if about["data_key"] != dataset.manifest["data_key"]:
        return 0
    train, where = dataset.split("train"), about["config"].get("where")
    ids = train.ids if where is None else train.ids[holds(train, where)]
    return int(np.isin(samples.ids, ids[: int(about.get("training_samples", 0))]).sum())


def _bins(values: Array, errors: Mapping[str, Array]) -> list[Bin]:
    """Quartiles of `values`; fewer where samples are few or share values."""
    count = max(1, min(BINS, len(values) // 2))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)))
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(0, len(edges) - 2))
    found = []
    for k in np.unique(place):
        inside = place == k
        l2, graph = (float(errors[norm][inside].mean()) for norm in ("l2", "graph"))
        part = values[inside]
        found.append(Bin(float(part.min()), float(part.max()), int(inside.sum()), l2, graph))
    return found
