"""A trained operator on disk: weights and all that is needed to trust and use them.

`checkpoint.safetensors` holds the tensors (weights, modes, mean output) and, in its metadata,
one JSON text: config, normalisation, fields, hashes of the data set, versions. One file, so it
is replaced as a whole; safetensors and JSON can't run code. `checkpoint.json` repeats the text
for people; nothing reads it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from pipeline.operators.config import TrainConfig
from pipeline.operators.errors import CheckpointMismatch
from pipeline.operators.fe.modes import Modes
from pipeline.operators.fe.normalisation import InputScale, Normalisation
from pipeline.operators.spon import SPON
from pipeline.operators.task import make_task
from storage import Dataset
from storage.files import commit_bytes, commit_json

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

FORMAT = 1
NAME = "checkpoint.safetensors"
MEAN = "normalisation.mean"
PACKAGES = ("rekrylov", "torch", "safetensors", "numpy", "scipy")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What was loaded.

    Attributes:
        operator: ready to predict.
        config: it was trained with.
        about: everything else: epoch, validation errors, hashes, versions.
    """

    operator: SPON
    config: TrainConfig
    about: dict[str, Any]


def save_checkpoint(
    folder: Path, operator: SPON, config: TrainConfig, about: dict[str, Any]
) -> Path:
    """Write (replace) the checkpoint in `folder`; returns its path.

    Args:
        folder: exists.
        operator: to be saved.
        config: of the run.
        about: more to remember, plain JSON (epoch, validation errors, training ids …).
    """
    task, scale = operator.task, operator.normalisation
    text = about | {
        "format": FORMAT,
        "config": config.model_dump(mode="json"),
        "data_key": task.data_key,
        "spaces_hash": task.spaces_hash,
        "inputs": {name: asdict(item) for name, item in scale.inputs.items()},
        "output": {"name": task.output.name, "scale": scale.scale},
        "versions": versions(),
    }
    tensors = {name: value.contiguous() for name, value in operator.state_dict().items()}
    tensors[MEAN] = torch.from_numpy(scale.mean)
    commit_bytes(folder / NAME, save(tensors, {"rekrylov": json.dumps(text)}), replace=True)
    commit_json(folder / "checkpoint.json", text, replace=True, indent=2)
    return folder / NAME


def load_checkpoint(path: str | os.PathLike[str], dataset: Dataset) -> Checkpoint:
    """Load an operator to use it on a data set with the same mesh and spaces.

    Args:
        path: of `checkpoint.safetensors`, or of its folder.
        dataset: gives mesh and spaces; may have another data key (other coefficients' law, say).

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointMismatch: it is damaged, of another format, or belongs to other spaces.
    """
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    about, tensors = _read(path)
    found = str(dataset.manifest["spaces_hash"])
    if about["spaces_hash"] != found:
        raise CheckpointMismatch(
            f"{path}: was trained on spaces {about['spaces_hash'][:10]}, {dataset.path.name} has "
            f"{found[:10]}; use a data set with the same mesh and spaces, or train anew"
        )
    config = TrainConfig.model_validate(about["config"])
    scales = {name: InputScale(**item) for name, item in about["inputs"].items()}
    mean = tensors.pop(MEAN).numpy().astype(np.float64)
    normalisation = Normalisation(scales, mean, float(about["output"]["scale"]))
    task = make_task(dataset, list(scales), about["output"]["name"])
    modes = Modes(tensors["processor.vectors"].double().numpy(), tensors["processor.space"].numpy())
    operator = SPON(config.operator, task, normalisation, modes)
    operator.load_state_dict(tensors)
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


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is no checkpoint; `rekrylov train` makes one")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["rekrylov"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise CheckpointMismatch(
            f"{path}: is no checkpoint of Rekrylov or is damaged ({error}); train anew"
        ) from error
    if about.get("format") != FORMAT:
        raise CheckpointMismatch(
            f"{path}: has format {about.get('format')!r}, this version reads {FORMAT}; train anew"
        )
    return about, tensors
