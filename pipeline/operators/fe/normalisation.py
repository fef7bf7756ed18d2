"""Normalisation from the training split alone, at most 64 samples in memory at a time.

Inputs: z = (t(a) − mean) / std with t = log or identity and scalar mean and std over samples
and dofs. Coefficients of elliptic problems act by ratios: on a 32² Darcy set (log-normal with a
random mean) the logarithm lowered the L2 error of ridge regression from 13 % to 7 %, and it
changes nothing where there are two values only; hence "auto" (see `choose_log`). Inputs in
Raviart–Thomas or Nédélec spaces have mean 0, and std is the root mean square of their values,
(Σ aᵀMa / (N |Ω|))^½, as their coefficients scale with the mesh.

Outputs: y = (u − ū) / s with the mean ū (steps, dofs) of the training outputs and one scalar
s = rms of u − ū over samples, steps and free dofs. A scalar keeps the space: dividing each dof by
its own deviation would blow up dofs near Dirichlet boundaries. In Raviart–Thomas or Nédélec spaces
s is the rms of the values as for inputs: that of the coefficients would depend on orientations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

from pipeline.operators.errors import TrainingError

if TYPE_CHECKING:
    from pipeline.operators.config import TrainConfig
    from pipeline.operators.task import Task
    from storage import Dataset, Field

__all__ = ["InputScale", "Normalisation", "OutputScale", "fit_normalisation", "positions"]

Array = NDArray[np.float64]
CHUNK = 64


@dataclass(frozen=True)
class InputScale:
    """How an input is normalised."""

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
class OutputScale:
    """Mean (T, dim) and scale of an output."""

    mean: Array
    scale: float


@dataclass(frozen=True, eq=False)
class Normalisation:
    """Scales of all inputs and outputs, by name."""

    inputs: dict[str, InputScale]
    outputs: dict[str, OutputScale]


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
    scales = {field.name: _field_scale(dataset, field, task, config) for field in task.inputs}
    scales |= {name: _input_scale(dataset, name, config) for name in task.parameters}
    return Normalisation(
        scales, {field.name: _output_scale(dataset, field, task) for field in task.outputs}
    )


def choose_log(low: float, high: float, config: TrainConfig) -> bool:
    """Whether to take logarithms of values in [low, high]."""
    if config.log_inputs == "auto":
        return low > 0 and high > 2 * low
    return config.log_inputs == "always"


def _output_scale(dataset: Dataset, field: Field, task: Task) -> OutputScale:
    space, steps = task.space(field), task.steps[field.name]
    dim, plain = int(space["dim"]), str(space["map_type"]) == "identity"
    mass = identity(dim, format="csr") if plain else csr_matrix(space["grams"]["mass"])

    def energies(e: Array) -> Array:
        """Return e ∘ Me of (…, dim): its sum is ‖e‖²."""
        flat = e.reshape(-1, dim)
        return (flat * (mass @ flat.T).T).reshape(e.shape)

    mean, squares, count = np.zeros((steps, dim)), np.zeros((steps, dim)), 0
    for rows, values in chunks(dataset, field.name):  # Chan, Golub, LeVeque (1979)
        values = values.reshape(len(rows), steps, dim)
        part, total = values.mean(axis=0), count + len(rows)
        squares += energies(values - part).sum(axis=0)
        squares += energies(part - mean) * count * len(rows) / total
        mean += (part - mean) * len(rows) / total
        count = total
    fixed = np.asarray(() if field.constrained is None else field.constrained)
    free = np.setdiff1d(np.arange(dim), fixed)
    if plain:
        scale = float(np.sqrt(squares[:, free].sum() / max(1, count * steps * len(free))))
    else:
        scale = float(np.sqrt(squares.sum() / (count * steps * _volume(task))))
    return OutputScale(mean, scale or float(np.abs(mean).max()) or 1.0)


def _field_scale(dataset: Dataset, field: Field, task: Task, config: TrainConfig) -> InputScale:
    space = task.space(field)
    if str(space["map_type"]) == "identity":
        return _input_scale(dataset, field.name, config)
    mass, squares = space["grams"]["mass"], 0.0
    for _, values in chunks(dataset, field.name):
        squares += float(np.einsum("ij,ji->", values, mass @ values.T))
    volume = _volume(task)
    return InputScale(False, 0.0, float(np.sqrt(squares / (len(dataset) * volume))) or 1.0)


def _volume(task: Any) -> float:
    from storage.volumes import volumes

    return float(volumes(task.mesh).sum())


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
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise TrainingError(
            f"field {name!r} of sample {ids[bad][0]} has values that are not finite; run "
            "`rekrylov check` and make the sample again"
        )
