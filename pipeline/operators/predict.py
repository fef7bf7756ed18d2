"""Predict with a checkpoint: input functions → solutions, with what is needed to use them.

u = S_θ(z),    S_θ = D ∘ P_θ ∘ E (`operator`)
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.operators.errors import CheckpointMismatch, TrainingError
from pipeline.operators.functions import checked, read_functions
from pipeline.operators.operator import Operator
from pipeline.operators.task import Task
from pipeline.operators.training.checkpoint import Checkpoint, load_checkpoint
from pipeline.operators.validation.errors import sample_errors
from storage import Dataset, open_dataset

__all__ = ["Prediction", "home_of", "load", "milliseconds", "predict", "predict_samples"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted solutions of B samples.

    Attributes:
        task: the fields, their spaces and the mesh.
        inputs: name → (B, length) what was given.
        outputs: name → (B, T, dim) coefficients in the stored numbering, T = 1 without times.
        times: (T) of the solutions; None without a time axis.
        ids: (B) of stored samples; 0, 1, … of a user's functions.
        truth: stored samples alone: name → (B, T, dim).
        errors: stored samples alone: relative errors, see `sample_errors`.
        seconds: of the prediction, without loading.
    """

    task: Task
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    times: Array | None
    ids: NDArray[np.int64]
    truth: dict[str, Array] | None
    errors: dict[str, Array] | None
    seconds: float

    def __len__(self) -> int:
        return len(self.ids)


def predict(
    checkpoint: str | os.PathLike[str],
    inputs: str | os.PathLike[str] | Mapping[str, Any],
    *,
    dataset: str | os.PathLike[str] | None = None,
) -> Prediction:
    """Predict the solutions of a user's input functions.

    Args:
        checkpoint: of `rekrylov train`, the file or its folder.
        inputs: an .npz or .h5 file (`read_functions`), or input → coefficients (B, dim),
            parameter → (B).
        dataset: the folder that gives mesh and spaces; by default the one the checkpoint lies in.

    Raises:
        TrainingError: there is no such checkpoint, or the inputs are missing or don't fit.
        CheckpointMismatch: the checkpoint belongs to other spaces.
    """
    home = open_dataset(home_of(checkpoint) if dataset is None else dataset)
    operator = load(checkpoint, home).operator
    if isinstance(inputs, Mapping):
        given = checked(inputs, operator.task)
    else:
        given = read_functions(Path(inputs), operator.task)
    return _predict(operator, given, home.times, np.arange(len(next(iter(given.values())))))


def predict_samples(operator: Operator, dataset: Dataset) -> Prediction:
    """Predict stored samples and compare them with the stored solutions.

    Args:
        operator: loaded for this data set.
        dataset: the samples, or a view of some.

    Raises:
        TrainingError: there is no sample, or an input is not finite.
    """
    if not len(dataset):
        raise TrainingError(f"{dataset.path}: no sample chosen; expected at least one")
    task, rows = operator.task, np.arange(len(dataset))
    given, truth = checked(task.given(dataset, rows), task), task.truth(dataset, rows)
    found = _predict(operator, given, dataset.times, dataset.ids)
    errors = sample_errors(lambda r: {k: v[r] for k, v in found.outputs.items()}, dataset, task)
    return Prediction(**{**vars(found), "truth": truth, "errors": errors})


def load(checkpoint: str | os.PathLike[str], dataset: Dataset) -> Checkpoint:
    """Load a checkpoint for a data set with its mesh and spaces, whichever data set that is.

    Raises:
        TrainingError: there is no such file.
        CheckpointMismatch: it is damaged, or belongs to other spaces.
    """
    try:
        return load_checkpoint(checkpoint, dataset)
    except FileNotFoundError as error:
        raise TrainingError(str(error)) from error


def home_of(checkpoint: str | os.PathLike[str]) -> Path:
    """Return the data set that a checkpoint lies in, `<dataset>/training/<name>/`.

    Raises:
        CheckpointMismatch: it lies somewhere else.
    """
    path = Path(checkpoint).resolve()
    folder = path if path.is_dir() else path.parent
    if folder.parent.name != "training" or not (folder.parent.parent / "shards").is_dir():
        raise CheckpointMismatch(
            f"{checkpoint}: lies in no data set, which would give mesh and spaces; name the "
            "folder of one with --dataset (`dataset=` in Python)"
        )
    return folder.parent.parent


def milliseconds(operator: Operator, inputs: Mapping[str, Array], batch: int) -> float:
    """Return the milliseconds a sample takes in batches of that size, encoding included.

    The fastest of 5 batches, as other work on the machine only adds; samples are repeated to fill
    a batch.
    """
    count = len(next(iter(inputs.values())))
    some = {name: values[np.arange(batch) % count] for name, values in inputs.items()}
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        operator.predict(some, batch_size=batch)
        seconds.append(time.perf_counter() - start)
    return min(seconds) * 1e3 / batch


def _predict(
    operator: Operator, given: dict[str, Array], times: Array | None, ids: NDArray[np.int64]
) -> Prediction:
    start = time.perf_counter()
    outputs = operator.predict(given)
    seconds = time.perf_counter() - start
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0, 0])
            raise TrainingError(
                f"prediction of {name!r} is not finite for sample {ids[row]}; compare the inputs' "
                "size with that of the training data"
            )
    return Prediction(operator.task, given, outputs, times, ids, None, None, seconds)
