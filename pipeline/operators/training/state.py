"""Where a run is, on disk, so that it can go on as if it had never ended.

`state.safetensors` holds weights, AdamW's moments and the best weights so far; its metadata one
JSON text with the position. One file, replaced as a whole; safetensors and JSON run no code.
Random numbers need no state: order and noise are functions of (seed, process, epoch or step).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline.operators.errors import TrainingError
from pipeline.operators.training.tensors import Unreadable, read_tensors, write_tensors

__all__ = ["NAME", "Position", "load_state", "own_random_numbers", "save_state", "seed_step"]

NAME = "state.safetensors"
FORMAT = 1


@dataclass
class Position:
    """Where a run is.

    Attributes:
        epoch: the present one, from 1.
        step: steps done in it.
        steps: steps done in all.
        loss: sum of the losses of this epoch's samples.
        count: samples of this epoch so far.
        waiting: seconds spent in waiting for data in this epoch.
        working: seconds of training in this epoch, with waiting.
        seconds: of training in all; validation and writing don't count.
        lr: learning rate of the last step.
        rows: history.
        best_epoch: with the least validation error, 0: none.
        best_error: its error, None: none.
    """

    epoch: int = 1
    step: int = 0
    steps: int = 0
    loss: float = 0.0
    count: int = 0
    waiting: float = 0.0
    working: float = 0.0
    seconds: float = 0.0
    lr: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_error: float | None = None

    def next_epoch(self) -> None:
        """Go to the beginning of the next epoch."""
        self.epoch, self.step, self.count = self.epoch + 1, 0, 0
        self.loss = self.waiting = self.working = 0.0


def save_state(
    folder: Path,
    run: dict[str, Any],
    position: Position,
    network: nn.Module,
    optimiser: Optimizer,
    best: dict[str, Tensor],
    scaler: dict[str, Any],
) -> None:
    """Write (replace) the state of a run.

    Args:
        folder: exists.
        run: what has to agree for a run to go on from here, plain JSON.
        position: of the run, between two steps.
        network: weights and persistent buffers are kept.
        optimiser: its moments are kept, not its settings.
        best: weights of the best epoch.
        scaler: of the loss in half precision, plain numbers.

    Raises:
        storage.StorageError: the folder can't be written or the disk is full.
    """
    moments = optimiser.state_dict()["state"]
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    tensors |= {f"adam.{k}.{name}": v for k, item in moments.items() for name, v in item.items()}
    about = {"format": FORMAT, "run": run, "position": asdict(position), "scaler": scaler}
    write_tensors(folder / NAME, tensors, about)


def load_state(
    folder: Path, run: dict[str, Any], network: nn.Module, optimiser: Optimizer
) -> tuple[Position, dict[str, Tensor], dict[str, Any]] | None:
    """Put network and optimiser in the state that is kept in `folder`.

    Returns:
        Position, best weights and scaler; None if there is no state, or one of another run.

    Raises:
        TrainingError: the state is damaged, or another number of processes wrote it.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    about, tensors = _read(path)
    if about["run"].get("key") != run["key"]:
        return None
    if about["run"] != run:
        raise TrainingError(
            f"{path}: was written with {about['run']}, this run has {run}; use the same number of "
            "processes, or remove the file to start anew"
        )
    try:
        network.load_state_dict(_part(tensors, "network."))
        optimiser.load_state_dict(_moments(optimiser, _part(tensors, "adam.")))
        return Position(**about["position"]), _part(tensors, "best."), about["scaler"]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        line = str(error).replace("\n", " ")
        raise TrainingError(
            f"{path}: doesn't fit this network ({line}); remove it to start anew"
        ) from error


def seed_step(seed: int, rank: int, step: int) -> None:
    """Make the random numbers of a step a function of (seed, process, step)."""
    words = np.random.SeedSequence((seed, rank, step)).generate_state(3, np.uint32)
    torch.manual_seed(int(words[0]))
    random.seed(int(words[1]))
    np.random.seed(int(words[2]))  # noqa: NPY002 - networks of others may use the global one


@contextmanager
def own_random_numbers() -> Iterator[None]:
    """Within, random numbers may be seeded at will; the caller's come back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        return read_tensors(path, FORMAT)
    except Unreadable as error:
        raise TrainingError(
            f"{path}: {error}; remove it to start anew, checkpoints stay"
        ) from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _moments(optimiser: Optimizer, tensors: dict[str, Tensor]) -> dict[str, Any]:
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = value
    return {"state": moments, "param_groups": optimiser.state_dict()["param_groups"]}
