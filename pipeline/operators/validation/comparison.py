"""Several operators on one data set: same samples, seeds, budget and tests for all.

Trainings are those of `rekrylov train`, in `<data set>/training/`: a finished one is read, an
interrupted one goes on, and every figure is computed from the checkpoints, sample by sample.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.operators.config.compare import CompareConfig
from pipeline.operators.config.train import TrainConfig
from pipeline.operators.controls.setting import Setting
from pipeline.operators.controls.simple import CONTROLS
from pipeline.operators.errors import CheckpointMismatch, TrainingError
from pipeline.operators.fe.normalisation import fit_normalisation
from pipeline.operators.operator import predictor
from pipeline.operators.task import make_task, open_splits
from pipeline.operators.training.run import run_name, train
from pipeline.operators.validation.comparison_plan import names_of
from pipeline.operators.validation.defects import measure
from pipeline.operators.validation.evaluate import open_operator, times
from pipeline.operators.zoo import TITLES, label
from storage import Dataset, open_dataset
from storage.files import read_json
from storage.selection import holds

__all__ = ["Comparison", "Row", "compare"]

type Errors = dict[str, NDArray[np.float64]]
"""Error → (seeds, samples)."""
type Progress = Callable[[int, str], None]


@dataclass(frozen=True, eq=False)
class Row:
    """An operator or control in the table.

    Attributes:
        title: of it.
        errors: on the test split.
        facts: parameters, epochs, seconds of an epoch, milliseconds of a prediction; seeds' means.
    """

    title: str
    errors: Errors
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was found; operators by name, in the order of the spec.

    Attributes:
        data_set: folder.
        config: what was asked for.
        rows: operators, then controls.
        samples: operator → number of training samples → errors.
        tolerances: operator → `rtol` of the labels → errors against this data set's own.
        out: operator or control → "inside" or "outside" → errors.
        transfer: operator → data set → errors there, or why there are none.
        sizes: split → number of samples.
    """

    data_set: Path
    config: CompareConfig
    rows: dict[str, Row]
    samples: dict[str, dict[int, Errors]]
    tolerances: dict[str, dict[float, Errors]]
    out: dict[str, dict[str, Errors]]
    transfer: dict[str, dict[str, Errors | str]]
    sizes: dict[str, int]


def compare(
    folder: str | os.PathLike[str],
    config: CompareConfig,
    base: TrainConfig,
    *,
    labels: Mapping[float, Path] | None = None,
    residual: Any = None,
    progress: Progress | None = None,
) -> Comparison:
    """Train what isn't trained yet, and measure.

    Args:
        folder: of the data set.
        config: what to compare.
        base: how to train, where an entry of `config.operators` doesn't say otherwise.
        labels: `rtol` → data set of the same samples solved with it, of `config.tolerances`.
        residual: the assembled equations, for `loss: residual`.
        progress: called with the number of trainings that are done, and what is done now.

    Raises:
        TrainingError: an operator can't be trained on the data set, or a test has no samples.
    """
    return _Run(Path(folder), config, base, dict(labels or {}), residual, progress).all()


class _Run:
    """One comparison on its way."""

    def __init__(
        self,
        folder: Path,
        config: CompareConfig,
        base: TrainConfig,
        labels: dict[float, Path],
        residual: Any,
        progress: Progress | None,
    ) -> None:
        self.folder, self.config, self.base = folder, config, base
        self.labels, self.residual = labels, residual
        self.say: Progress = progress or (lambda done, note: None)
        self.dataset = open_dataset(folder)
        configs = config.trainings(base)
        self.operators = dict(zip(names_of(configs), configs, strict=True))
        self.done = 0

    def all(self) -> Comparison:
        splits = open_splits(self.dataset, self.base)
        test = splits["test"]
        samples: dict[str, dict[int, Errors]] = {name: {} for name in self.operators}
        tolerances: dict[str, dict[float, Errors]] = {name: {} for name in self.operators}
        rows: dict[str, Row] = {}
        transfer: dict[str, dict[str, Errors | str]] = {}
        out: dict[str, dict[str, Errors]] = {}
        for name, config in self.operators.items():
            rows[name], folders = self._row(name, config, test)
            if self.config.samples:
                samples[name][len(splits["train"])] = rows[name].errors
            if self.labels:
                tolerances[name][float(self.dataset.manifest["rtol"])] = rows[name].errors
            for count in self.config.samples:
                less = self._trained(name, config, samples=count)
                samples[name][count] = self._errors(less, test)
            for rtol, path in self.labels.items():
                elsewhere = self._trained(name, config, path)
                tolerances[name][rtol] = self._errors(elsewhere, test)
            transfer[name] = {p: self._moved(folders, p) for p in self.config.transfer}
            out |= self._out(name, config, folders, test)
        rows |= self._controls(splits, test)
        if (out_of := self.config.out_of_distribution) is not None:
            out |= self._controls_out(out_of, test)
        sizes = {name: len(split) for name, split in splits.items()}
        return Comparison(self.folder, self.config, rows, samples, tolerances, out, transfer, sizes)

    def _trained(
        self, name: str, config: TrainConfig, path: Path | None = None, **changes: Any
    ) -> list[Path]:
        """Folders of the trainings with all seeds."""
        folders = []
        for seed in self.config.seeds:
            values = config.model_dump(mode="json") | changes | {"seed": seed}
            one = TrainConfig.model_validate(values)
            note = f"{name}, seed {seed}"
            self.say(self.done, note)
            folders.append(self._train(one, path or self.folder, note))
            self.done += 1
            self.say(self.done, note)
        return folders

    def _train(self, config: TrainConfig, path: Path, note: str) -> Path:
        dataset = self.dataset if path == self.folder else open_dataset(path)
        task = make_task(dataset, config.inputs, config.outputs)
        name = run_name(config, task, open_splits(dataset, config)["train"])
        folder = dataset.path / "training" / name
        if not (folder / "report.json").exists():
            residual = self.residual if config.loss == "residual" else None
            train(path, config, residual=residual, progress=self._epochs(note))
        return folder

    def _epochs(self, note: str) -> Callable[[int, int, dict[str, float]], None]:
        return lambda epoch, epochs, _: self.say(self.done, f"{note}, epoch {epoch}/{epochs}")

    def _row(self, name: str, config: TrainConfig, test: Dataset) -> tuple[Row, list[Path]]:
        folders = self._trained(name, config)
        facts = [_facts(folder, self.dataset, test) for folder in folders]
        mean = {key: float(np.mean([fact[key] for fact in facts])) for key in facts[0]}
        title = name.replace(label(config.operator), TITLES[label(config.operator)], 1)
        return Row(title, self._errors(folders, test), mean), folders

    def _errors(self, folders: list[Path], test: Dataset, home: Path | None = None) -> Errors:
        """Errors of all seeds on samples of any data set that the operators fit."""
        found = []
        for folder in folders:
            operator, _ = open_operator(folder, test, home)
            predict = predictor(operator, test)
            found.append(measure(predict, test, operator.task))
        return {name: np.stack([errors[name] for errors in found]) for name in found[0]}

    def _moved(self, folders: list[Path], path: str) -> Errors | str:
        try:
            return self._errors(folders, open_dataset(path).split("test"), home=self.folder)
        except (CheckpointMismatch, TrainingError) as error:
            return str(error)

    def _out(
        self, name: str, config: TrainConfig, folders: list[Path], test: Dataset
    ) -> dict[str, dict[str, Errors]]:
        out = self.config.out_of_distribution
        if out is None:
            return {}
        if out.parameter is not None:
            folders = self._trained(name, config, where=out.inside)
        sides = self._sides(test)
        return {name: {side: self._errors(folders, some) for side, some in sides.items()}}

    def _sides(self, test: Dataset) -> dict[str, Dataset]:
        """Test samples like those trained on, and others."""
        out = self.config.out_of_distribution
        assert out is not None
        if out.folder is not None:
            sides = {"inside": test, "outside": open_dataset(out.folder).split("test")}
        else:
            inside = holds(test, out.inside)
            sides = {
                "inside": test.select(test.ids[inside]),
                "outside": test.select(test.ids[~inside]),
            }
        for side, samples in sides.items():
            if not len(samples):
                raise TrainingError(
                    f"compare.out_of_distribution: no test sample is {side}; move the bounds, "
                    "or make more samples"
                )
        return sides

    def _controls(self, splits: dict[str, Dataset], test: Dataset) -> dict[str, Row]:
        task = make_task(self.dataset, self.base.inputs, self.base.outputs)
        normalisation = fit_normalisation(splits["train"], task, self.base)
        setting = Setting(task, normalisation, splits | {"test": test})
        found: dict[str, Row] = {}
        for name in self.config.controls:
            control = CONTROLS[name](setting)
            errors = measure(
                lambda rows, c=control: setting.by_field(c.predict(rows)),  # type: ignore[misc]
                test,
                task,
            )
            found[name] = Row(TITLES[name], {k: v[None] for k, v in errors.items()})
        return found

    def _controls_out(self, out: Any, test: Dataset) -> dict[str, dict[str, Errors]]:
        base = self.base
        if out.parameter is not None:
            base = TrainConfig.model_validate(base.model_dump(mode="json") | {"where": out.inside})
        splits = open_splits(self.dataset, base)
        found: dict[str, dict[str, Errors]] = {name: {} for name in self.config.controls}
        for side, some in self._sides(test).items():
            for name, row in self._controls(splits, some).items():
                found[name][side] = row.errors
        return found


def _facts(folder: Path, dataset: Dataset, test: Dataset) -> dict[str, float]:
    report = read_json(folder / "report.json")
    operator, _ = open_operator(folder, dataset)
    measured = times(operator, test)
    return {
        "parameters": float(report["parameters"]),
        "epochs": float(report["epochs"]),
        "epoch_seconds": report["fit_seconds"] / report["epochs"],
        **{f"milliseconds_{batch}": value for batch, value in measured.items()},
    }
