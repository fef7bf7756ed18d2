"""Operators that learn input → solution from a data set; of our packages, needs `storage` only.

Importing this package loads neither PyTorch nor MPI; names are looked up when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeline.operators.config import SponConfig, TrainConfig
from pipeline.operators.errors import CheckpointMismatch, TrainingError

if TYPE_CHECKING:
    from pipeline.operators.operator import Operator
    from pipeline.operators.training.checkpoint import Checkpoint, load_checkpoint
    from pipeline.operators.training.run import train
    from pipeline.operators.validation.scores import TrainReport

__all__ = [
    "Checkpoint",
    "CheckpointMismatch",
    "Operator",
    "SponConfig",
    "TrainConfig",
    "TrainReport",
    "TrainingError",
    "load_checkpoint",
    "train",
]

_HOMES = {
    "Operator": "pipeline.operators.operator",
    "Checkpoint": "pipeline.operators.training.checkpoint",
    "load_checkpoint": "pipeline.operators.training.checkpoint",
    "TrainReport": "pipeline.operators.validation.scores",
    "train": "pipeline.operators.training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors", "lightning_fabric"):
            raise
        raise ModuleNotFoundError(
            f"{error.name} is not installed, training needs it: pip install 'rekrylov[train]'",
            name=error.name,
        ) from error
