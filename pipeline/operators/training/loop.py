"""The training loop: AdamW, one-cycle learning rate, best epoch on validation.

Loss: mean over samples of ‖u_θ − u‖_G / ‖u‖_G in the chosen Gram norm. Optimiser: Loshchilov
and Hutter, ICLR 2019; schedule: Smith and Topin, arXiv 1708.07120.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.operators.config import TrainConfig
from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.norms import gram, relative_errors
from pipeline.operators.fe.sparse import SparseProduct
from pipeline.operators.spon import SPON
from pipeline.operators.training.batches import Batch, Batches
from storage import Dataset

__all__ = ["History", "evaluate", "fit"]

type Progress = Callable[[int, int, dict[str, float]], None]
type Keep = Callable[[int, dict[str, float]], None]
TINY = 1e-14


@dataclass
class History:
    """What happened, by epoch.

    Attributes:
        rows: epoch, train_loss, validation_l2, validation_h1, lr, seconds of every epoch.
        best_epoch: with the least validation error in the loss's norm, from 1; 0: none yet.
        best_state: its weights.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_error: float = math.inf
    best_state: dict[str, Tensor] = field(default_factory=dict)


def fit(
    operator: SPON,
    splits: dict[str, Dataset],
    config: TrainConfig,
    keep: Keep,
    progress: Progress | None = None,
) -> History:
    """Train; the operator ends with the weights of the best epoch.

    Args:
        operator: with initial weights.
        splits: `train` and `validation` are used.
        config: of the run.
        keep: called after each epoch that is the best so far, with its number and metrics.
        progress: called after each epoch with its number, their number, and metrics.

    Raises:
        TrainingError: the loss is no longer finite; the weights are those of the best epoch.
    """
    matrix = gram(operator.task.space, config.loss)
    batches = Batches(splits["train"], operator, matrix, config.memory_mib)
    loop = _Loop(operator, batches, SparseProduct(matrix), config)
    history, start = History(), time.perf_counter()
    try:
        for epoch in range(1, config.epochs + 1):
            row: dict[str, float] = {"epoch": epoch, "train_loss": loop.epoch(epoch)}
            errors = evaluate(operator, splits["validation"])
            row |= {f"validation_{name}": float(e.mean()) for name, e in errors.items()}
            row |= {"lr": loop.lr, "seconds": time.perf_counter() - start}
            history.rows.append(row)
            _update(history, row, operator, config, keep)
            if progress is not None:
                progress(epoch, config.epochs, dict(row))
    finally:
        if history.best_state:
            operator.load_state_dict(history.best_state)
    return history


def evaluate(operator: SPON, dataset: Dataset, batch_size: int = 32) -> dict[str, Any]:
    """Relative L2 and H1 error of every sample of a split, float64: name → (samples)."""
    task = operator.task
    matrices = {name: gram(task.space, name) for name in ("l2", "h1")}
    errors = {name: np.empty(len(dataset)) for name in matrices}
    for start in range(0, len(dataset), batch_size):
        rows = np.arange(start, min(start + batch_size, len(dataset)))
        predicted = operator.predict({f.name: dataset.read(f.name, rows) for f in task.inputs})
        truth = dataset.read(task.output.name, rows).astype(np.float64)
        for name, matrix in matrices.items():
            errors[name][rows] = relative_errors(matrix, predicted, truth)
    return errors


class _Loop:
    """Optimiser, schedule and batches."""

    def __init__(
        self, operator: SPON, batches: Batches, product: SparseProduct, config: TrainConfig
    ) -> None:
        self.operator, self.batches, self.product, self.config = operator, batches, product, config
        steps = config.epochs * batches.steps(config.batch_size)
        self.optimiser = torch.optim.AdamW(
            operator.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.lr, total_steps=max(steps, 2), pct_start=0.2
        )

    @property
    def lr(self) -> float:
        return float(self.schedule.get_last_lr()[0])

    def epoch(self, number: int) -> float:
        """Train on every sample once; returns their mean loss."""
        self.operator.train()
        rng = np.random.default_rng((self.config.seed, number))
        total, count = 0.0, 0
        for batch in self.batches.epoch(self.config.batch_size, rng):
            value = self._step(batch, number)
            total, count = total + value * len(batch.size), count + len(batch.size)
        self.operator.eval()
        return total / count

    def _step(self, batch: Batch, epoch: int) -> float:
        loss = _relative_loss(self.operator(batch.encoded), batch, self.product)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} in epoch {epoch} at learning rate {self.lr:.3g}; "
                "lower `train.lr` or set `train.clip`"
            )
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.operator.parameters(), self.config.clip)
        self.optimiser.step()
        self.schedule.step()
        return value


def _relative_loss(output: Tensor, batch: Batch, product: SparseProduct) -> Tensor:
    error = output - batch.target
    squares = (error * product(error)).sum(dim=0)
    return ((squares.clamp_min(0) + TINY).sqrt() / batch.size).mean()


def _update(
    history: History, row: dict[str, float], operator: SPON, config: TrainConfig, keep: Keep
) -> None:
    error = row[f"validation_{config.loss}"]
    if not error < history.best_error:
        return
    history.best_error, history.best_epoch = error, int(row["epoch"])
    state = operator.state_dict()
    history.best_state = {name: value.clone() for name, value in state.items()}
    keep(history.best_epoch, row)
