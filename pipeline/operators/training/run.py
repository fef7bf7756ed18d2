"""The training stage: fit on the training split, pick on validation, report on test once."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning_fabric import Fabric

from pipeline.operators.config import TrainConfig
from pipeline.operators.controls.setting import Setting
from pipeline.operators.controls.simple import CONTROLS
from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.normalisation import fit_normalisation
from pipeline.operators.operator import Operator, predictor
from pipeline.operators.task import Task, make_task, open_splits
from pipeline.operators.training.checkpoint import NAME, save_checkpoint
from pipeline.operators.training.loop import History, fit, make_fabric
from pipeline.operators.training.losses import GramLoss, NoLabels
from pipeline.operators.training.residual import AssembledOperators
from pipeline.operators.training.samples import OperatorSamples
from pipeline.operators.validation.errors import sample_errors
from pipeline.operators.validation.scores import Score, TrainReport
from pipeline.operators.zoo import label, make_operator
from storage import Dataset, open_dataset
from storage.files import make_folder

__all__ = ["run_name", "train"]

type Progress = Callable[[int, int, dict[str, float]], None]


def train(
    dataset_path: str | os.PathLike[str],
    config: TrainConfig,
    *,
    out_dir: str | os.PathLike[str] | None = None,
    residual: AssembledOperators | None = None,
    progress: Progress | None = None,
) -> TrainReport:
    """Train an operator on a data set and write its report.

    Args:
        dataset_path: folder of a finalised data set.
        config: how to train.
        out_dir: where to write; `<dataset>/training/<operator>-<hash>` by default.
        residual: the assembled equations, for `loss: residual`.
        progress: called after each epoch: progress(epoch, epochs, metrics).

    Raises:
        TrainingError: an empty split, a field that can't be learnt, a loss that is not finite.
        storage.StorageError: the data set is damaged, or the disk full or read-only.

    Whatever ends it early, the checkpoint of the best epoch so far stays in its folder, and the
    same call goes on from the last saved state.
    """
    start = time.perf_counter()
    dataset = open_dataset(dataset_path)
    if config.definition is not None:
        dataset = dataset.define(config.definition)
    splits = open_splits(dataset, config)
    task = make_task(dataset, config.inputs, config.outputs)
    name = run_name(config, task, splits["train"])
    folder = Path(out_dir) if out_dir is not None else dataset.path / "training" / name
    make_folder(folder)
    with _torch_state(config):
        return _run(config, task, splits, folder, residual, progress, start)


def run_name(config: TrainConfig, task: Task, train_split: Dataset) -> str:
    """`<operator>-<hash>`: the hash covers config (threads and memory apart), data and ids."""
    outside = {"threads", "memory_mib", "controls", "workers", "save_every", "tracking", "device"}
    settings = config.model_dump(mode="json", exclude=outside)
    text = json.dumps([settings, task.data_key, task.spaces_hash], sort_keys=True)
    digest = hashlib.sha256(text.encode() + train_split.ids.astype("<i8").tobytes())
    return f"{label(config.operator)}-{digest.hexdigest()[:10]}"


def _resume_key(config: TrainConfig, task: Task, splits: dict[str, Dataset]) -> str:
    """What has to agree for a run to go on: its name, what is validated on, and the window."""
    ids = hashlib.sha256(splits["validation"].ids.astype("<i8").tobytes()).hexdigest()[:10]
    return f"{run_name(config, task, splits['train'])}-{ids}-{config.memory_mib}"


def _run(
    config: TrainConfig,
    task: Task,
    splits: dict[str, Dataset],
    folder: Path,
    residual: AssembledOperators | None,
    progress: Progress | None,
    start: float,
) -> TrainReport:
    from pipeline.operators.validation.report import write_report

    fabric = make_fabric(config)
    normalisation = fit_normalisation(splits["train"], task, config)
    operator = make_operator(config.operator, task, normalisation, splits["train"])
    key = _resume_key(config, task, splits)
    history, fit_seconds = _fit(fabric, operator, splits, config, folder, residual, key, progress)
    if not fabric.is_global_zero:
        raise SystemExit(0)  # further processes have done their part
    began = time.perf_counter()
    errors = sample_errors(predictor(operator, splits["test"]), splits["test"], task)
    scores = {label(config.operator): Score(errors, time.perf_counter() - began, {})}
    setting = Setting(task, normalisation, splits)
    scores |= {control: _score_control(control, setting) for control in config.controls}
    report = TrainReport(
        operator=label(config.operator),
        scores=scores,
        history=history,
        parameters=operator.parameter_count,
        seconds=time.perf_counter() - start,
        fit_seconds=fit_seconds,
        samples={name: len(split) for name, split in splits.items()},
        folder=folder,
        files=(NAME, "checkpoint.json"),
    )
    return write_report(report, operator, config, splits["test"])


def _fit(
    fabric: Fabric,
    operator: Operator,
    splits: dict[str, Dataset],
    config: TrainConfig,
    folder: Path,
    residual: AssembledOperators | None,
    key: str,
    progress: Progress | None,
) -> tuple[History, float]:
    if config.loss == "residual" and residual is None:
        raise TrainingError(
            "loss residual: needs the assembled equations; train by `rekrylov train`, or pass "
            "`residual=` (pipeline.assembled makes them)"
        )
    tables = residual if config.loss == "residual" else None
    samples = OperatorSamples(splits["train"], operator, config.loss, tables)
    loss = NoLabels(operator, tables) if tables is not None else GramLoss(samples.grams)
    kept: list[int] = []

    def keep(epoch: int, metrics: dict[str, float]) -> None:
        about = {"epoch": epoch, "metrics": metrics, "training_samples": len(splits["train"])}
        save_checkpoint(folder, operator, config, about)
        kept.append(epoch)

    def validate() -> dict[str, float]:
        split = splits["validation"]
        errors = sample_errors(predictor(operator, split), split, operator.task)
        found = {name: float(values.mean()) for name, values in errors.items()}
        return found | {"error": found["l2" if config.loss == "l2" else "graph"]}

    try:
        history = fit(
            operator,
            loss,
            samples,
            validate,
            config,
            folder,
            keep=keep,
            run_key=key,
            fabric=fabric,
            progress=progress,
        )
    except TrainingError as error:
        last = f"that of epoch {kept[-1]} is kept in {folder / NAME}" if kept else "none was kept"
        raise TrainingError(f"{error}; checkpoint: {last}") from error
    if not history.best_epoch:
        raise TrainingError("the validation error was never finite; lower `train.lr`")
    return history, history.rows[-1]["seconds"]


def _score_control(name: str, setting: Setting) -> Score:
    start = time.perf_counter()
    control, test = CONTROLS[name](setting), setting.splits["test"]
    errors = sample_errors(lambda rows: setting.by_field(control.predict(rows)), test, setting.task)
    return Score(errors, time.perf_counter() - start, control.settings)


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
