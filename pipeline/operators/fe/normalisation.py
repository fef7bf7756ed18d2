"""Normalisation from the training split alone, one shard in memory at a time.

Inputs: z = (t(a) − mean) / std with t = log or identity and scalar mean and std over samples
and dofs. Coefficients of elliptic problems act by ratios: on a 32² Darcy set (log-normal with a
random mean) the logarithm lowered the L2 error of ridge regression from 13 % to 7 %, and it
changes nothing where there are two values only; hence "auto" (see `choose_log`).

Outputs: y = (u − ū) / s with the mean ū (dofs) of the training outputs and one scalar
s = rms of u − ū over samples and free dofs. A scalar keeps the space: dividing each dof by its
own deviation would blow up dofs near Dirichlet boundaries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.operators.errors import TrainingError

if TYPE_CHECKING:
    from pipeline.operators.config import TrainConfig
    from pipeline.operators.task import Task
    from storage import Dataset

__all__ = ["InputScale", "Normalisation", "chunks", "fit_normalisation", "positions"]

Array = NDArray[np.float64]
CHUNK = 64


@dataclass(frozen=True)
class InputScale:
    """How an input field is normalised."""

    log: bool
    mean: float
    std: float

    def __call__(self, values: Array) -> Array:
        """Return z of a, any shape.

        Raises:
            TrainingError: the logarithm of a value that isn't positive.
        """
        if self.log:
            if np.any(values <= 0):
                raise TrainingError(
                    f"input value {values.min():.3g}: the operator takes logarithms of this "
                    "input, expected positive values; train with `log_inputs: never`"
                )
            values = np.log(values)
        return (values - self.mean) / self.std


@dataclass(frozen=True, eq=False)
class Normalisation:
    """Scales of all inputs, and mean (dofs) and scale of the output."""

    inputs: dict[str, InputScale]
    mean: Array
    scale: float


def positions(dataset: Dataset) -> Iterator[NDArray[np.int64]]:
    """Positions of all samples, shard by shard, at most 64 at a time."""
    for rows in dataset.by_shard():
        yield from np.array_split(rows, -(-len(rows) // CHUNK))


def chunks(dataset: Dataset, name: str) -> Iterator[tuple[NDArray[np.int64], Array]]:
    """Read a field in float64, at most 64 samples at a time: (positions, values).

    Raises:
        TrainingError: a value is not finite; the message names the sample.
    """
    for rows in positions(dataset):
        values = dataset.read(name, rows).astype(np.float64)
        _check_finite(values, dataset.ids[rows], name)
        yield rows, values


def fit_normalisation(dataset: Dataset, task: Task, config: TrainConfig) -> Normalisation:
    """Compute all statistics from the training split `dataset`."""
    inputs = {field.name: _input_scale(dataset, field.name, config) for field in task.inputs}
    mean, squares = np.zeros(int(task.space["dim"])), np.zeros(int(task.space["dim"]))
    count = 0
    for rows, values in chunks(dataset, task.output.name):  # Chan, Golub, LeVeque (1979)
        part, total = values.mean(axis=0), count + len(rows)
        squares += ((values - part) ** 2).sum(axis=0)
        squares += (part - mean) ** 2 * count * len(rows) / total
        mean += (part - mean) * len(rows) / total
        count = total
    free = np.setdiff1d(np.arange(len(mean)), task.constrained)
    scale = float(np.sqrt(squares[free].sum() / max(1, count * len(free))))
    return Normalisation(inputs, mean, scale or float(np.abs(mean).max()) or 1.0)


def choose_log(low: float, high: float, config: TrainConfig) -> bool:
    """Whether to take logarithms of values in [low, high]."""
    if config.log_inputs == "auto":
        return low > 0 and high > 2 * low
    return config.log_inputs == "always"


def _input_scale(dataset: Dataset, name: str, config: TrainConfig) -> InputScale:
    from storage.statistics import Moments

    plain, logarithm = Moments(), Moments()
    for _, values in chunks(dataset, name):
        plain.add(values)
        if plain.low > 0:
            logarithm.add(np.log(values))
    log = choose_log(plain.low, plain.high, config)
    if log and plain.low <= 0:
        raise TrainingError(
            f"input field {name!r} has values down to {plain.low:.3g}: no logarithm; "
            "set `train.log_inputs` to auto or never"
        )
    found = (logarithm if log else plain).as_dict()
    return InputScale(log, float(found["mean"]), float(found["std"]) or 1.0)


def _check_finite(values: Array, ids: NDArray[np.int64], name: str) -> None:
    bad = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    if bad.any():
        raise TrainingError(
            f"field {name!r} of sample {ids[bad][0]} has values that are not finite; run "
            "`rekrylov check` and make the sample again"
        )
