"""The training loop: AdamW, one-cycle learning rate, best epoch on validation.

Between two steps a run is fully described by its state, see `state`; a step is in `step`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from lightning_fabric import Fabric
from torch import nn

from pipeline.operators.config import TrainConfig
from pipeline.operators.training.batches import Batches, Samples
from pipeline.operators.training.schedule import Rates, one_cycle
from pipeline.operators.training.state import (
    Position,
    load_state,
    own_random_numbers,
    save_state,
)
from pipeline.operators.training.step import Loss, Stepper, make_fabric
from pipeline.operators.training.stopping import signals_wait
from pipeline.operators.training.tracking import Tracker, open_trackers
from storage.errors import StorageError

__all__ = ["History", "fit", "make_fabric"]

type Progress = Callable[[int, int, dict[str, float]], None]
type Keep = Callable[[int, dict[str, float]], None]
BUDGET_STEPS = 10_000


@dataclass(frozen=True)
class History:
    """What happened.

    Attributes:
        rows: an epoch each: epoch, train_loss, validation_*, lr, seconds of training so far,
            waiting (the part of the epoch's time that was spent in waiting for data).
        best_epoch: with the least validation error, from 1; 0: none.
        best_error: its error.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_error: float = math.inf


def fit(
    network: nn.Module,
    loss: Loss,
    samples: Samples,
    validate: Callable[[], dict[str, float]],
    config: TrainConfig,
    folder: Path,
    *,
    keep: Keep,
    run_key: str,
    fabric: Fabric | None = None,
    progress: Progress | None = None,
) -> History:
    """Train; the network ends with the weights of the best epoch.

    If `folder` holds a state of the same run, it goes on from there, with the same weights in the
    end as if it had never stopped (with `budget_seconds`, whose steps depend on the clock, it
    goes on with the time that is left). A state is written every `config.save_every` seconds, at
    the end, and when an exception or signal ends the run between two steps.

    Args:
        network: with initial weights; network(batch.x) gives field → (B, T, dim).
        loss: of output and batch, a mean over the samples.
        samples: the training split.
        validate: returns metrics; the least `error` picks the best epoch. Runs on process 0.
        config: of the run.
        folder: exists.
        keep: called on process 0 after each epoch that is the best so far, with its number and
            row; must write something that replaces what it wrote before.
        run_key: tells this run's state from others': hash of config, data and ids.
        fabric: from `make_fabric`, for a caller that must know its process.
        progress: called on process 0 after each epoch: number, their number, row.

    Raises:
        TrainingError: values, loss or gradient are not finite; memory or the device don't do.
        storage.StorageError: the data are damaged, or the disk is full or read-only.
    """
    fabric = fabric or make_fabric(config)
    with own_random_numbers():
        loop = _Loop(fabric, network, loss, samples, config, folder, run_key)
        return loop.run(validate, keep, progress)


class _Loop:
    """A run between its steps."""

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        loss: Loss,
        samples: Samples,
        config: TrainConfig,
        folder: Path,
        key: str,
    ) -> None:
        self.fabric, self.network, self.config, self.folder = fabric, network, config, folder
        self.run_id = {"key": key, "processes": fabric.world_size}
        self.stepper = Stepper(fabric, network, loss, config)
        cuda = fabric.device.type == "cuda"
        self.batches = Batches(samples, config, fabric.global_rank, fabric.world_size, cuda)
        found = load_state(folder, self.run_id, network, self.stepper.adam)
        self.at, self.best, scaler = found or (Position(), {}, {})
        fabric.strategy.precision.load_state_dict(scaler)
        self.saved, self.unsaved = time.monotonic(), False  # whether `_save` would keep more

    def run(
        self,
        validate: Callable[[], dict[str, float]],
        keep: Keep,
        progress: Progress | None,
    ) -> History:
        """Train until epochs, time or patience are over."""
        trackers: list[Tracker] = []
        if self.fabric.is_global_zero:
            rows, key = self.at.rows, str(self.run_id["key"])
            trackers = open_trackers(self.config, self.folder, rows, key)
        try:
            while not self._over():
                self._train_epoch()
                self._finish_epoch(self._validate(validate), keep, trackers, progress)
                self._save_if_due()
            self._save()
        except BaseException:
            if self.unsaved:
                with suppress(StorageError):  # the first error says it better
                    self._save()
            raise
        finally:
            for tracker in trackers:
                tracker.close()
            if self.best:
                self.network.load_state_dict(self.best)
        return History(self.at.rows, self.at.best_epoch, self._best_error)

    def _train_epoch(self) -> None:
        at = self.at
        self.network.train()
        with closing(self.batches.epoch(at.epoch, at.step)) as steps:
            while not self._out_of_time():
                start = time.monotonic()
                step = next(steps, None)
                if step is None:
                    break
                waited = time.monotonic() - start
                with signals_wait(self._save):
                    self.unsaved = False  # nothing that could be resumed
                    self.stepper.take(step, self._rates(), at)
                    spent = time.monotonic() - start
                    if self.config.budget_seconds:  # all processes must go by one clock
                        spent = self.fabric.broadcast(spent)
                    at.step, at.steps, at.waiting = at.step + 1, at.steps + 1, at.waiting + waited
                    at.working, at.seconds = at.working + spent, at.seconds + spent
                    self.unsaved = True
                self._save_if_due()
        self.network.eval()

    def _rates(self) -> Rates:
        config, at = self.config, self.at
        if config.budget_seconds is not None:
            part = min(1.0, at.seconds / config.budget_seconds)
            return one_cycle(part * (BUDGET_STEPS - 1), BUDGET_STEPS, config.peak_lr)
        return one_cycle(at.steps, max(2, config.epochs * self.batches.steps), config.peak_lr)

    def _out_of_time(self) -> bool:
        budget = self.config.budget_seconds
        return budget is not None and self.at.seconds >= budget

    def _over(self) -> bool:
        """Whether no further epoch begins."""
        at, config = self.at, self.config
        if at.step:
            return False
        done = self._out_of_time() if config.budget_seconds else at.epoch > config.epochs
        later = (row for row in at.rows if row["epoch"] > at.best_epoch)
        worse = sum("validation_error" in row for row in later)
        return done or (config.patience is not None and worse >= config.patience)

    def _validate(self, validate: Callable[[], dict[str, float]]) -> dict[str, float]:
        last = self._out_of_time() if self.config.budget_seconds else False
        last = last or self.at.epoch == self.config.epochs
        if not last and self.at.epoch % self.config.validate_every:
            return {}
        metrics = validate() if self.fabric.is_global_zero else {}
        return {f"validation_{k}": v for k, v in self.fabric.broadcast(metrics).items()}

    def _finish_epoch(
        self,
        metrics: dict[str, float],
        keep: Keep,
        trackers: list[Tracker],
        progress: Progress | None,
    ) -> None:
        at, first = self.at, self.fabric.is_global_zero
        row: dict[str, float] = {"epoch": at.epoch, "train_loss": at.loss / at.count} | metrics
        waiting = at.waiting / max(at.working, 1e-9)
        row |= {"lr": at.lr, "seconds": at.seconds, "waiting": waiting}
        error = row.get("validation_error", math.inf)
        better = error < self._best_error
        if better and first:
            keep(at.epoch, dict(row))
        with signals_wait(self._save):
            if better:
                state = self.network.state_dict()
                self.best = {name: value.detach().cpu().clone() for name, value in state.items()}
                at.best_epoch, at.best_error = at.epoch, error
            at.rows.append(row)
            at.next_epoch()
            self.unsaved = True
        for tracker in trackers:
            tracker.log(row)
        if progress is not None and first:
            progress(int(row["epoch"]), self.config.epochs, dict(row))

    @property
    def _best_error(self) -> float:
        return math.inf if self.at.best_error is None else self.at.best_error

    def _save_if_due(self) -> None:
        if time.monotonic() - self.saved >= self.config.save_every:
            self._save()

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            scaler = self.fabric.strategy.precision.state_dict()
            parts = (self.run_id, self.at, self.network, self.stepper.adam, self.best, scaler)
            save_state(self.folder, *parts)
        self.saved, self.unsaved = time.monotonic(), False
