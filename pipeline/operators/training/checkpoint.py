"""A trained operator on disk: weights and all that is needed to trust and use them.

`checkpoint.safetensors` holds the tensors (weights, modes, mean outputs) and, in its metadata,
one JSON text: config, normalisation, fields, hashes of the data set, versions. One file, so it
is replaced as a whole; safetensors and JSON can't run code. `checkpoint.json` repeats the text
for people; nothing reads it.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from pipeline.operators.config import TrainConfig
from pipeline.operators.errors import CheckpointMismatch
from pipeline.operators.fe.normalisation import InputScale, Normalisation, OutputScale
from pipeline.operators.operator import Operator
from pipeline.operators.task import Task, make_task
from pipeline.operators.training.move import moved_mean, moved_weights
from pipeline.operators.training.tensors import Unreadable, read_tensors, write_tensors
from pipeline.operators.zoo import make_operator
from storage import Dataset, open_dataset
from storage.files import commit_json

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

FORMAT = 3
NAME = "checkpoint.safetensors"
PACKAGES = ("rekrylov", "torch", "safetensors", "numpy", "scipy")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What was loaded.

    Attributes:
        operator: ready to predict.
        config: it was trained with.
        about: everything else: epoch, validation errors, hashes, versions.
    """

    operator: Operator
    config: TrainConfig
    about: dict[str, Any]


def save_checkpoint(
    folder: Path, operator: Operator, config: TrainConfig, about: dict[str, Any]
) -> Path:
    """Write (replace) the checkpoint in `folder`; returns its path.

    Args:
        folder: exists.
        operator: to be saved.
        config: of the run.
        about: more to remember, plain JSON (epoch, validation errors, training ids …).
    """
    task, scales = operator.task, operator.normalisation
    text = about | {
        "format": FORMAT,
        "config": config.model_dump(mode="json"),
        "data_key": task.data_key,
        "spaces_hash": task.spaces_hash,
        "inputs": {name: asdict(item) for name, item in scales.inputs.items()},
        "outputs": {name: {"scale": item.scale} for name, item in scales.outputs.items()},
        "versions": versions(),
    }
    state = operator.state_dict()
    means = {f"mean.{k}": torch.from_numpy(v.mean) for k, v in scales.outputs.items()}
    write_tensors(folder / NAME, state | means, text)
    commit_json(folder / "checkpoint.json", text, replace=True, indent=2)
    return folder / NAME


def load_checkpoint(
    path: str | os.PathLike[str], dataset: Dataset, *, home: Dataset | None = None
) -> Checkpoint:
    """Load an operator to use it on a data set with the same mesh and spaces.

    Args:
        path: of `checkpoint.safetensors`, or of its folder.
        dataset: gives mesh and spaces; may have another data key (other coefficients' law, say).
        home: the data set it was trained on, if `dataset` has another mesh on purpose; the mean
            output is interpolated then, and weights that count nodes can't be moved.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointMismatch: it is damaged, of another format, or belongs to other spaces.
    """
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    about, tensors = _read(path)
    try:
        config = TrainConfig.model_validate(about["config"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointMismatch(
            f"{path}: its config doesn't fit this version ({where}: {first['msg']}); train anew"
        ) from error
    names = (list(about["inputs"]), list(about["outputs"]))
    _check_spaces(path, about, make_task(dataset if home is None else home, *names), dataset)
    task = make_task(dataset, *names)
    means = {name: tensors.pop(f"mean.{name}").double().numpy() for name in about["outputs"]}
    if home is not None:
        means = {name: moved_mean(mean, home, dataset, name) for name, mean in means.items()}
    scales = Normalisation(
        {name: InputScale(**item) for name, item in about["inputs"].items()},
        {k: OutputScale(means[k], float(item["scale"])) for k, item in about["outputs"].items()},
    )
    with torch.random.fork_rng(devices=[]):  # initial weights that nobody sees
        operator = make_operator(
            config.operator, task, scales, _known_samples(dataset, config.definition)
        )
    if home is not None:
        tensors = moved_weights(tensors, operator, path)
    try:
        operator.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointMismatch(
            f"{path}: its weights don't fit the operator that {dataset.path.name} gives; its mesh "
            f"may have another number of levels, or another grid ({str(error).splitlines()[-1]})"
        ) from error
    return Checkpoint(operator.eval(), config, about)


def versions() -> dict[str, str]:
    """Versions of the packages that training depends on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def _known_samples(dataset: Dataset, definition: str | None) -> Dataset:
    """Samples on which constraints are confirmed: the training split, if there is one.

    Of the whole data set, never of a view: what is predicted must not confirm itself.
    """
    dataset = open_dataset(dataset.path)
    if definition in dataset.manifest.get("definitions", {}):
        dataset = dataset.define(str(definition))
    split = dataset.split("train") if dataset.manifest.get("splits") else dataset
    return split if len(split) else dataset


def _check_spaces(path: Path, about: dict[str, Any], task: Task, dataset: Dataset) -> None:
    found = task.spaces_hash
    if about["spaces_hash"] != found:
        raise CheckpointMismatch(
            f"{path}: was trained on spaces {about['spaces_hash'][:10]}, {dataset.path.name} has "
            f"{found[:10]}; use a data set with the same mesh and spaces, or train anew"
        )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is no checkpoint; `rekrylov train` makes one")
    try:
        return read_tensors(path, FORMAT)
    except Unreadable as error:
        raise CheckpointMismatch(f"{path}: {error}; train anew") from error
