"""What is learnt from what: the fields of a data set that an operator maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.operators.errors import TrainingError
from storage.selection import holds
from storage.spaces import tree_hash

if TYPE_CHECKING:
    from pipeline.operators.config import TrainConfig
    from storage import Dataset, Field

__all__ = ["SPLITS", "Task", "make_task", "open_splits"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Task:
    """Input fields and parameters, output fields, and the tables of their spaces.

    Attributes:
        inputs: the input fields.
        parameters: names of parameters by sample, that are inputs as well.
        outputs: the output fields.
        steps: output → number of stored time steps; 1 without a time axis.
        mesh: tables of the mesh.
        spaces: space name → its tables.
        hierarchy: level → tables of the coarser meshes; empty if there are none.
        periodic: output → `slaves`, `masters`; empty for most.
        spaces_hash: of mesh, spaces and numbering alone: equal for data sets of other laws.
        data_key: of the data set.
    """

    inputs: tuple[Field, ...]
    parameters: tuple[str, ...]
    outputs: tuple[Field, ...]
    steps: Mapping[str, int]
    mesh: Mapping[str, Any]
    spaces: Mapping[str, Any]
    hierarchy: Mapping[str, Any]
    periodic: Mapping[str, Any]
    spaces_hash: str
    data_key: str

    @property
    def names(self) -> list[str]:
        """Names of all that is given: input fields, then parameters."""
        return [*(field.name for field in self.inputs), *self.parameters]

    def space(self, field: Field) -> Mapping[str, Any]:
        """Tables of a field's space."""
        return self.spaces[field.space]

    def given(self, dataset: Dataset, rows: Any) -> dict[str, NDArray[np.float64]]:
        """Read what is given for some samples: name → (B, length), float64."""
        read = {name: dataset.read(name, rows).astype(np.float64) for name in self.names}
        return {name: values.reshape(len(values), -1) for name, values in read.items()}

    def truth(self, dataset: Dataset, rows: Any) -> dict[str, NDArray[np.float64]]:
        """Read the solutions of some samples: output → (B, T, dim), float64."""
        found = {}
        for field in self.outputs:
            values = dataset.read(field.name, rows).astype(np.float64)
            found[field.name] = values.reshape(len(values), self.steps[field.name], -1)
        return found


def make_task(
    dataset: Dataset,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Task:
    """Choose the fields, by default all inputs, parameters and outputs.

    Args:
        dataset: with these fields.
        inputs: names of input fields and parameters.
        outputs: names of output fields.

    Raises:
        TrainingError: a field that doesn't exist, or times that differ by sample.
    """
    every = [*dataset.inputs, *dataset.parameters]
    names = every if inputs is None else list(inputs)
    targets = list(dataset.outputs) if outputs is None else list(outputs)
    if not names or not targets:
        raise TrainingError(f"{dataset.path}: has no input or no output to learn")
    for name, known in [*((n, every) for n in names), *((n, dataset.outputs) for n in targets)]:
        if name not in known:
            raise TrainingError(f"field {name!r} of `train`: expected one of {list(known)}")
    if "times_mask" in dataset.columns:
        raise TrainingError(f"{dataset.path}: times differ by sample, operators need common ones")
    fields, manifest = dataset.fields, dataset.manifest
    shapes = {name: dataset.columns[f"outputs/{name}"]["shape"] for name in targets}
    return Task(
        tuple(fields[name] for name in names if name in dataset.inputs),
        tuple(name for name in names if name in dataset.parameters),
        tuple(fields[name] for name in targets),
        {name: int(shape[0]) if len(shape) > 1 else 1 for name, shape in shapes.items()},
        dataset.mesh,
        dataset.spaces,
        dataset.hierarchy,
        _periodic(dataset),
        _spaces_hash(dataset, [*names, *targets]),
        str(manifest["data_key"]),
    )


def _spaces_hash(dataset: Dataset, names: Sequence[str]) -> str:
    """SHA-256 of the mesh, and of the spaces, dof maps and constrained dofs of some fields."""
    fields = {name: dataset.fields[name] for name in names if name in dataset.fields}
    used = {name: field.space for name, field in fields.items()}
    fixed = {
        name: np.asarray(field.constrained, np.int64)
        for name, field in fields.items()
        if field.constrained is not None
    }
    kept = ("element", "block_size", "dofmap", "cell_permutation_info")
    spaces = {
        space: {key: dataset.spaces[space][key] for key in kept} for space in set(used.values())
    }
    mesh = {key: dataset.mesh[key] for key in ("points", "cells", "cell_type")}
    return tree_hash({"mesh": mesh, "spaces": spaces, "fields": used, "fixed": fixed})


def _periodic(dataset: Dataset) -> dict[str, Any]:
    tables = dataset.tables("fields")
    return {name: tables[name]["periodic"] for name in tables if "periodic" in tables[name]}


def open_splits(dataset: Dataset, config: TrainConfig) -> dict[str, Dataset]:
    """Return the splits by name, the training split cut to `config.samples`.

    Training and validation split hold samples of `config.where` alone.

    Raises:
        TrainingError: a split is empty or smaller than asked for, `where` can't be read.
    """
    splits = {name: dataset.split(name) for name in SPLITS}
    if config.where is not None:
        for name in SPLITS[:2]:
            inside = holds(splits[name], config.where)
            splits[name] = splits[name].select(splits[name].ids[inside])
    sizes = {name: len(split) for name, split in splits.items()}
    empty = [name for name, size in sizes.items() if size == 0]
    if empty:
        raise TrainingError(
            f"{dataset.path}: split {empty[0]!r} has no sample ({sizes}), training needs all "
            "three; make more samples or change `splits` or `train.where`"
        )
    if config.samples is not None:
        if config.samples > sizes["train"]:
            raise TrainingError(
                f"train.samples = {config.samples}: the training split has {sizes['train']}; "
                "ask for fewer or make more samples"
            )
        splits["train"] = splits["train"].select(splits["train"].ids[: config.samples])
    return splits
