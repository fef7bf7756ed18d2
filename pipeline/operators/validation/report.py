"""The files of a training run: metrics.csv, loss.png, panel.png, report.md, report.json."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.operators.fe.norms import graph_norm
from pipeline.operators.training.checkpoint import versions
from pipeline.operators.validation.pictures import Row, loss_curve, panel
from pipeline.operators.validation.scores import TrainReport
from pipeline.operators.zoo import TITLES
from storage import Dataset
from storage.files import commit_bytes, commit_json
from storage.pictures.triangles import drawing

if TYPE_CHECKING:
    from pipeline.operators.config import TrainConfig
    from pipeline.operators.operator import Operator

__all__ = ["write_report"]

QUANTILES = (0.1, 0.5, 1.0)


def write_report(
    report: TrainReport, operator: Operator, config: TrainConfig, test: Dataset
) -> TrainReport:
    """Write all files into the report's folder; returns the report with their names."""
    content = {
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


def _json(report: TrainReport, operator: Operator, config: TrainConfig) -> dict[str, Any]:
    return report.as_dict() | {
        "config": config.model_dump(mode="json"),
        "data_key": operator.task.data_key,
        "spaces_hash": operator.task.spaces_hash,
        "versions": versions(),
    }


def _panel(report: TrainReport, operator: Operator, test: Dataset) -> bytes | None:
    """Test samples at the 10 %, 50 % and 100 % quantile of the L2 error.

    None if not in 2-D, or if parameters are all that is given.
    """
    task, errors = operator.task, report.scores[report.operator].errors["l2"]
    if not task.inputs:
        return None
    target, first = task.outputs[0], task.inputs[0]
    output = drawing(task.mesh, task.space(target))
    if output is None:
        return None
    order = np.argsort(errors)
    picks = {q: int(order[round(q * (len(order) - 1))]) for q in QUANTILES}
    rows = []
    for q, k in picks.items():
        inputs, truth = task.given(test, [k]), task.truth(test, [k])[target.name][0, -1]
        name = "worst" if q == 1 else "median" if q == 0.5 else f"{q:.0%} quantile"
        label = f"{name}: sample {test.ids[k]}\nrelative L2 error {errors[k]:.2%}"
        predicted = operator.predict(inputs)[target.name][0, -1]
        rows.append(Row(label, inputs[first.name][0], truth, predicted))
    names = (_named(first), _named(target))
    given = drawing(task.mesh, task.space(first))
    return panel(rows, given, output, names, f"{TITLES[report.operator]} on test samples")


def _named(field: Any) -> str:
    return field.name if field.units in ("", "1") else f"{field.name} [{field.units}]"


def _markdown(report: TrainReport, operator: Operator, config: TrainConfig) -> str:
    task = operator.task
    sizes = ", ".join(f"{count} {name}" for name, count in report.samples.items())
    inputs = ", ".join([*(f"{f.name} ({f.space})" for f in task.inputs), *task.parameters])
    outputs = ", ".join(f"{f.name} ({f.space})" for f in task.outputs)
    logs = [name for name, scale in operator.normalisation.inputs.items() if scale.log]
    lines = [
        f"# {TITLES[report.operator]}: {inputs} → {outputs}",
        "",
        f"Samples: {sizes}. " + " ".join(_dofs(operator, field) for field in task.outputs),
        "",
        *_table(report, operator),
        "",
        "Errors are means over the test samples of ‖prediction − truth‖ / ‖truth‖ in the norms "
        "of the finite-element spaces (stored Gram matrices, float64); in brackets the largest. "
        "The test split was used for this table only.",
        "",
        f"- Network: {report.parameters:,} parameters; {_settings(config)}.",
        f"- Training: {len(report.history.rows)} epochs in {report.fit_seconds:.1f} s, loss "
        f"{config.loss}, batch {config.batch_size}, peak learning rate {config.peak_lr:g}, "
        f"seed {config.seed}; epoch {report.best_epoch} was best on validation.",
        f"- Logarithms of inputs: {', '.join(logs) or 'none'}.",
        *_picked(report),
        f"- Data key `{task.data_key}`, spaces `{task.spaces_hash[:10]}`.",
        "",
        "![loss](loss.png)",
    ]
    lines += ["", "![panel](panel.png)"] if "panel.png" in report.files else []
    return "\n".join(lines) + "\n"


def _dofs(operator: Operator, field: Any) -> str:
    constraint = operator.decoders[field.name].constraint  # type: ignore[union-attr]
    fixed = 0 if field.constrained is None else len(field.constrained)
    how = "exact" if constraint is not None else "not imposed"
    return f"{field.name}: {operator.task.space(field)['dim']} dofs, {fixed} fixed ({how})."


def _settings(config: TrainConfig) -> str:
    known = config.operator.model_dump(exclude={"kind"})
    return ", ".join(f"{key} {value}" for key, value in known.items())


def norm_title(operator: Operator) -> str:
    """Name of the outputs' graph norms, H1 or H(div) say."""
    titles = {"h1": "H1", "hdiv": "H(div)", "hcurl": "H(curl)", "l2": "L2"}
    kinds = [graph_norm(operator.task.space(field)) for field in operator.task.outputs]
    return " + ".join(dict.fromkeys(titles.get(kind, kind) for kind in kinds))


def _table(report: TrainReport, operator: Operator) -> list[str]:
    own = TITLES[report.operator]
    rows = [
        f"| | L2 | {norm_title(operator)} | L2 against {own} | seconds |",
        "|---|---|---|---|---|",
    ]
    for name, score in report.scores.items():
        errors = (score.errors["l2"], score.errors["graph"])
        figures = [f"{e.mean():.3%} ({e.max():.2%})" for e in errors]
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
