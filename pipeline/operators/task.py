"""What is learnt from what: the fields of a data set that an operator maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.operators.errors import TrainingError

if TYPE_CHECKING:
    from pipeline.operators.config import TrainConfig
    from storage import Dataset, Field

__all__ = ["SPLITS", "Task", "make_task", "open_splits"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Task:
    """Input fields, output field, and the tables of their spaces.

    Attributes:
        inputs: the input fields.
        output: the output field.
        mesh: tables of the mesh.
        spaces: space name → its tables.
        spaces_hash: of `spaces.h5`.
        data_key: of the data set.
    """

    inputs: tuple[Field, ...]
    output: Field
    mesh: Mapping[str, Any]
    spaces: Mapping[str, Any]
    spaces_hash: str
    data_key: str

    @property
    def space(self) -> Mapping[str, Any]:
        """Tables of the output's space."""
        return self.spaces[self.output.space]

    @property
    def constrained(self) -> NDArray[Any]:
        """(k) Dirichlet dofs of the output, empty if there are none."""
        fixed = self.output.constrained
        return np.zeros(0, np.int32) if fixed is None else np.asarray(fixed)

    @property
    def values(self) -> NDArray[np.float64]:
        """(k) what the Dirichlet dofs are fixed to."""
        values = self.output.values
        return np.zeros(len(self.constrained)) if values is None else np.asarray(values)


def make_task(
    dataset: Dataset, inputs: Sequence[str] | None = None, output: str | None = None
) -> Task:
    """Choose the fields, by default all inputs and the only output.

    Raises:
        TrainingError: a field that doesn't exist or that SPON can't learn yet.
    """
    names = list(dataset.inputs) if inputs is None else list(inputs)
    outputs = list(dataset.outputs)
    if output is None and len(outputs) != 1:
        raise TrainingError(f"outputs {outputs}: expected one; name it with `train.output`")
    target = outputs[0] if output is None else output
    if not names:
        raise TrainingError(f"{dataset.path}: has no input field to learn from")
    for name, known in [*((name, dataset.inputs) for name in names), (target, outputs)]:
        if name not in known:
            raise TrainingError(f"field {name!r} of `train`: expected one of {list(known)}")
    fields = dataset.fields
    chosen = tuple(fields[name] for name in names)
    for field in chosen:
        _check_input(field, dataset)
    _check_output(fields[target], dataset)
    manifest = dataset.manifest
    return Task(
        chosen,
        fields[target],
        dataset.mesh,
        dataset.spaces,
        str(manifest["spaces_hash"]),
        str(manifest["data_key"]),
    )


def open_splits(dataset: Dataset, config: TrainConfig) -> dict[str, Dataset]:
    """Return the splits by name, the training split cut to `config.samples`.

    Raises:
        TrainingError: a split is empty or smaller than asked for.
    """
    splits = {name: dataset.split(name) for name in SPLITS}
    sizes = {name: len(split) for name, split in splits.items()}
    empty = [name for name, size in sizes.items() if size == 0]
    if empty:
        raise TrainingError(
            f"{dataset.path}: split {empty[0]!r} has no sample ({sizes}), training needs all "
            "three; make more samples or change `splits`"
        )
    if config.samples is not None:
        if config.samples > sizes["train"]:
            raise TrainingError(
                f"train.samples = {config.samples}: the training split has {sizes['train']}; "
                "ask for fewer or make more samples"
            )
        splits["train"] = dataset.split("train", n=config.samples)
    return splits


def _check_input(field: Field, dataset: Dataset) -> None:
    space = dataset.spaces[field.space]
    if int(space["block_size"]) != 1 or str(space["map_type"]) != "identity":
        raise TrainingError(
            f"input field {field.name!r} is in {field.space}: SPON reads scalar Lagrange "
            "inputs so far; leave it out by `train.inputs`"
        )


def _check_output(field: Field, dataset: Dataset) -> None:
    shape = dataset.columns[f"outputs/{field.name}"]["shape"]
    if len(shape) != 1:
        raise TrainingError(
            f"output field {field.name!r} has {shape} values a sample: SPON learns outputs "
            "without a time axis so far; choose another `train.output`"
        )
    if field.constrained is not None and field.values is None:
        raise TrainingError(
            f"output field {field.name!r} has Dirichlet values that differ by sample, SPON needs "
            "common ones so far; choose another `train.output`"
        )
