"""Errors of predictions against the stored solutions, sample by sample, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.operators.fe.norms import NORMS, gram, relative_errors
from pipeline.operators.task import Task
from storage import Dataset

__all__ = ["Errors", "Predict", "sample_errors"]

type Array = NDArray[np.float64]
type Predict = Callable[[NDArray[np.int64]], dict[str, Array]]
type Errors = dict[str, Array]

CHUNK = 64


def sample_errors(predict: Predict, dataset: Dataset, task: Task) -> Errors:
    """Return the relative errors of every sample.

    Args:
        predict: positions (B) → output → coefficients (B, T, dim).
        dataset: with the truth.
        task: the fields.

    Returns:
        `l2` and `graph` → (samples), means over the outputs; where there are several outputs,
        also `l2/<output>` and `graph/<output>`.
    """
    names = [field.name for field in task.outputs]
    grams = {
        (kind, field.name): gram(task.space(field), kind)
        for kind in NORMS
        for field in task.outputs
    }
    errors = {key: np.empty(len(dataset)) for key in grams}
    for start in range(0, len(dataset), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(dataset)))
        predicted, truth = predict(rows), task.truth(dataset, rows)
        for (kind, name), matrix in grams.items():
            errors[kind, name][rows] = relative_errors(matrix, predicted[name], truth[name])
    found = {kind: np.mean([errors[kind, name] for name in names], axis=0) for kind in NORMS}
    if len(names) > 1:
        found |= {f"{kind}/{name}": values for (kind, name), values in errors.items()}
    return found
