"""The training stage: fit on the training split, pick on validation, report on test once."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.operators.config import TrainConfig
from pipeline.operators.controls.setting import Setting
from pipeline.operators.controls.simple import CONTROLS
from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.normalisation import fit_normalisation
from pipeline.operators.fe.norms import gram, relative_errors
from pipeline.operators.spon import SPON
from pipeline.operators.task import Task, make_task, open_splits
from pipeline.operators.training.checkpoint import NAME, save_checkpoint
from pipeline.operators.training.loop import History, evaluate, fit
from storage import Dataset, open_dataset
from storage.files import make_folder

__all__ = ["Score", "TrainReport", "train"]

CHUNK = 256

type Progress = Callable[[int, int, dict[str, float]], None]


@dataclass(frozen=True, eq=False)
class Score:
    """Errors of an operator or a control on the test split.

    Attributes:
        l2: (samples) relative L2 errors.
        h1: (samples) relative H1 errors.
        seconds: to fit and predict.
        settings: what was picked on validation.
    """

    l2: NDArray[np.float64]
    h1: NDArray[np.float64]
    seconds: float
    settings: dict[str, float | int]

    def summary(self) -> dict[str, Any]:
        """Mean, median and maximum of both errors."""
        picks: dict[str, Any] = {"mean": np.mean, "median": np.median, "max": np.max}
        errors = {"l2": self.l2, "h1": self.h1}
        figures: dict[str, Any] = {
            norm: {name: float(pick(values)) for name, pick in picks.items()}
            for norm, values in errors.items()
        }
        return figures | {"seconds": self.seconds, "settings": self.settings}


@dataclass(frozen=True, eq=False)
class TrainReport:
    """What a training run found.

    Attributes:
        operator: its kind, "spon".
        scores: operator and controls by name, the operator first.
        history: rows by epoch.
        best_epoch: picked on validation.
        parameters: number of learnt numbers.
        seconds: of the whole stage; `fit_seconds` of the epochs alone.
        samples: split → number of samples.
        folder: where the files are.
        files: their names.
    """

    operator: str
    scores: dict[str, Score]
    history: History
    parameters: int
    seconds: float
    fit_seconds: float
    samples: dict[str, int]
    folder: Path
    files: tuple[str, ...]

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept, from 1."""
        return self.history.best_epoch

    def error(self, name: str | None = None, norm: str = "l2") -> float:
        """Mean relative test error of the operator, or of a control by name."""
        return float(getattr(self.scores[name or self.operator], norm).mean())

    def gain(self, name: str, norm: str = "l2") -> float:
        """How many times smaller the operator's error is than that of a control."""
        return self.error(name, norm) / self.error(None, norm)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {
            "operator": self.operator,
            "test": {name: score.summary() for name, score in self.scores.items()},
            "best_epoch": self.best_epoch,
            "epochs": len(self.history.rows),
            "parameters": self.parameters,
            "seconds": self.seconds,
            "fit_seconds": self.fit_seconds,
            "samples": self.samples,
            "folder": str(self.folder),
            "files": list(self.files),
        }


def train(
    dataset_path: str | os.PathLike[str],
    config: TrainConfig,
    *,
    out_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> TrainReport:
    """Train an operator on a data set and write its report.

    Args:
        dataset_path: folder of a finalised data set.
        config: how to train.
        out_dir: where to write; `<dataset>/training/<operator>-<hash>` by default.
        progress: called after each epoch: progress(epoch, epochs, metrics).

    Raises:
        TrainingError: an empty split, a field that can't be learnt, a loss that is not finite.
        storage.StorageError: the data set is damaged, or the disk full or read-only.

    Whatever ends it early, the checkpoint of the best epoch so far stays in its folder.
    """
    start = time.perf_counter()
    dataset = open_dataset(dataset_path)
    splits = open_splits(dataset, config)
    task = make_task(dataset, config.inputs, config.output)
    default = dataset.path / "training" / run_name(config, task, splits["train"])
    folder = Path(out_dir) if out_dir is not None else default
    make_folder(folder)
    with _torch_state(config):
        return _run(config, task, splits, folder, progress, start)


def run_name(config: TrainConfig, task: Task, train_split: Dataset) -> str:
    """`<operator>-<hash>`: the hash covers config (threads and memory apart), data and ids."""
    settings = config.model_dump(mode="json", exclude={"threads", "memory_mib", "controls"})
    text = json.dumps([settings, task.data_key, task.spaces_hash], sort_keys=True)
    digest = hashlib.sha256(text.encode() + train_split.ids.astype("<i8").tobytes())
    return f"{config.operator.kind}-{digest.hexdigest()[:10]}"


def _run(
    config: TrainConfig,
    task: Task,
    splits: dict[str, Dataset],
    folder: Path,
    progress: Progress | None,
    start: float,
) -> TrainReport:
    from pipeline.operators.validation.report import write_report

    normalisation = fit_normalisation(splits["train"], task, config)
    operator = SPON(config.operator, task, normalisation)
    history, fit_seconds = _fit(operator, splits, config, folder, progress)
    name: str = config.operator.kind
    scores = {name: _score_operator(operator, splits["test"], fit_seconds)}
    setting = Setting(task, normalisation, splits)
    scores |= {control: _score_control(control, setting) for control in config.controls}
    report = TrainReport(
        operator=name,
        scores=scores,
        history=history,
        parameters=sum(p.numel() for p in operator.parameters()),
        seconds=time.perf_counter() - start,
        fit_seconds=fit_seconds,
        samples={name: len(split) for name, split in splits.items()},
        folder=folder,
        files=(NAME, "checkpoint.json"),
    )
    return write_report(report, operator, config, splits["test"])


def _fit(
    operator: SPON,
    splits: dict[str, Dataset],
    config: TrainConfig,
    folder: Path,
    progress: Progress | None,
) -> tuple[History, float]:
    kept: list[int] = []
    start = time.perf_counter()

    def keep(epoch: int, metrics: dict[str, float]) -> None:
        about = {"epoch": epoch, "metrics": metrics, "training_samples": len(splits["train"])}
        save_checkpoint(folder, operator, config, about)
        kept.append(epoch)

    try:
        history = fit(operator, splits, config, keep, progress)
    except TrainingError as error:
        last = f"that of epoch {kept[-1]} is kept in {folder / NAME}" if kept else "none was kept"
        raise TrainingError(f"{error}; checkpoint: {last}") from error
    if not kept:
        raise TrainingError(
            f"the validation error was never finite in {config.epochs} epochs; lower `train.lr`"
        )
    return history, time.perf_counter() - start


def _score_operator(operator: SPON, test: Dataset, fit_seconds: float) -> Score:
    errors = evaluate(operator, test)
    return Score(errors["l2"], errors["h1"], fit_seconds, {})


def _score_control(name: str, setting: Setting) -> Score:
    start = time.perf_counter()
    control, test = CONTROLS[name](setting), setting.splits["test"]
    matrices = {norm: gram(setting.task.space, norm) for norm in ("l2", "h1")}
    errors = {norm: np.empty(len(test)) for norm in matrices}
    for low in range(0, len(test), CHUNK):
        rows = np.arange(low, min(low + CHUNK, len(test)))
        predicted = control.predict(rows)
        truth = test.read(setting.task.output.name, rows).astype(np.float64)
        for norm, matrix in matrices.items():
            errors[norm][rows] = relative_errors(matrix, predicted, truth)
    seconds = time.perf_counter() - start
    return Score(errors["l2"], errors["h1"], seconds, control.settings)


@contextmanager
def _torch_state(config: TrainConfig) -> Iterator[None]:
    """Seed PyTorch and set its threads; the caller's state comes back."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
