"""The files of a training run: metrics.csv, loss.png, panel.png, report.md, report.json."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.operators.training.checkpoint import versions
from pipeline.operators.validation.pictures import Row, loss_curve, panel
from storage import Dataset
from storage.files import commit_bytes, commit_json
from storage.triangles import drawing

if TYPE_CHECKING:
    from pipeline.operators.config import TrainConfig
    from pipeline.operators.spon import SPON
    from pipeline.operators.training.run import TrainReport

__all__ = ["write_report"]

TITLES = {
    "spon": "SPON",
    "mean": "mean of the training outputs",
    "nearest": "nearest training sample",
    "pod_ridge": "POD + ridge regression",
}
COLUMNS = ("epoch", "train_loss", "validation_l2", "validation_h1", "lr", "seconds")
QUANTILES = (0.1, 0.5, 1.0)


def write_report(
    report: TrainReport, operator: SPON, config: TrainConfig, test: Dataset
) -> TrainReport:
    """Write all files into the report's folder; returns the report with their names."""
    content = {
        "metrics.csv": _metrics(report),
        "loss.png": loss_curve(report.history, config.loss, f"{TITLES[report.operator]} training"),
    }
    picture = _panel(report, operator, test)
    if picture is not None:
        content["panel.png"] = picture
    names = (*report.files, *content, "report.md", "report.json")
    report = replace(report, files=names)
    content["report.md"] = _markdown(report, operator, config).encode()
    for name, data in content.items():
        commit_bytes(report.folder / name, data, replace=True)
    commit_json(report.folder / "report.json", _json(report, operator, config), replace=True)
    return report


def _metrics(report: TrainReport) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(report.history.rows)
    return text.getvalue().encode()


def _json(report: TrainReport, operator: SPON, config: TrainConfig) -> dict[str, Any]:
    return report.as_dict() | {
        "config": config.model_dump(mode="json"),
        "data_key": operator.task.data_key,
        "spaces_hash": operator.task.spaces_hash,
        "versions": versions(),
    }


def _panel(report: TrainReport, operator: SPON, test: Dataset) -> bytes | None:
    """Test samples at the 10 %, 50 % and 100 % quantile of the L2 error; None if not in 2-D."""
    task, errors = operator.task, report.scores[report.operator].l2
    output = drawing(task.mesh, task.space)
    if output is None:
        return None
    order = np.argsort(errors)
    picks = {q: int(order[round(q * (len(order) - 1))]) for q in QUANTILES}
    first = task.inputs[0]
    rows = []
    for q, k in picks.items():
        inputs = {field.name: test.read(field.name, [k]) for field in task.inputs}
        name = "worst" if q == 1 else "median" if q == 0.5 else f"{q:.0%} quantile"
        label = f"{name}: sample {test.ids[k]}\nrelative L2 error {errors[k]:.2%}"
        truth = test.read(task.output.name, k)
        rows.append(Row(label, inputs[first.name][0], truth, operator.predict(inputs)[0]))
    names = (_named(first), _named(task.output))
    given = drawing(task.mesh, task.spaces[first.space])
    return panel(rows, given, output, names, f"{TITLES[report.operator]} on test samples")


def _named(field: Any) -> str:
    return field.name if field.units in ("", "1") else f"{field.name} [{field.units}]"


def _markdown(report: TrainReport, operator: SPON, config: TrainConfig) -> str:
    task = operator.task
    sizes = ", ".join(f"{count} {name}" for name, count in report.samples.items())
    inputs = ", ".join(f"{f.name} ({f.space})" for f in task.inputs)
    logs = [name for name, scale in operator.normalisation.inputs.items() if scale.log]
    spec = config.operator
    lines = [
        f"# {TITLES[report.operator]}: {inputs} → {task.output.name} ({task.output.space})",
        "",
        f"Samples: {sizes}. Dofs of the output: {task.space['dim']}, "
        f"{len(task.constrained)} of them Dirichlet (exact).",
        "",
        *_table(report),
        "",
        "Errors are means over the test samples of ‖prediction − truth‖ / ‖truth‖ in the norms "
        "of the finite-element space (stored Gram matrices, float64); in brackets the largest. "
        "The test split was used for this table only.",
        "",
        f"- Network: {report.parameters:,} parameters; width {spec.width}, {spec.layers} layers, "
        f"{len(operator.processor.space)} modes.",
        f"- Training: {len(report.history.rows)} epochs in {report.fit_seconds:.1f} s, loss "
        f"{config.loss.upper()}, batch {config.batch_size}, peak learning rate {config.lr:g}, "
        f"seed {config.seed}; epoch {report.best_epoch} was best on validation.",
        f"- Logarithms of inputs: {', '.join(logs) or 'none'}.",
        *_picked(report),
        f"- Data key `{task.data_key}`, spaces `{task.spaces_hash[:10]}`.",
        "",
        "![loss](loss.png)",
    ]
    lines += ["", "![panel](panel.png)"] if "panel.png" in report.files else []
    return "\n".join(lines) + "\n"


def _table(report: TrainReport) -> list[str]:
    rows = ["| | L2 | H1 | L2 against SPON | seconds |", "|---|---|---|---|---|"]
    rows[0] = rows[0].replace("SPON", TITLES[report.operator])
    for name, score in report.scores.items():
        figures = [f"{e.mean():.3%} ({e.max():.2%})" for e in (score.l2, score.h1)]
        factor = "" if name == report.operator else f"{report.gain(name):.1f}×"
        title = f"**{TITLES[name]}**" if name == report.operator else TITLES[name]
        rows.append(f"| {title} | {' | '.join(figures)} | {factor} | {score.seconds:.1f} |")
    return rows


def _picked(report: TrainReport) -> list[str]:
    return [
        f"- {TITLES[name]}: " + ", ".join(f"{k} {v:.3g}" for k, v in score.settings.items()) + "."
        for name, score in report.scores.items()
        if score.settings
    ]
