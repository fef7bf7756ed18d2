"""The files of an evaluation: evaluation.md, evaluation.json, worst.png, errors.png."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pipeline.operators.validation.axes import percent_axis
from pipeline.operators.validation.evaluate import Evaluation, MeshError, summary
from pipeline.operators.validation.pictures import DPI, Row, panel
from pipeline.operators.validation.report import norm_title
from pipeline.operators.zoo import TITLES, label
from storage.files import commit_bytes, commit_json, make_folder
from storage.pictures.triangles import drawing

__all__ = ["error_title", "mesh_line", "percent", "write_evaluation"]

WORST = 3
COLOURS = {"l2": "#0072B2", "graph": "#D55E00"}
DEFECTS = {
    "boundary": "boundary values of {}",
    "div": "divergence of {}",
    "curl": "curl of {}",
    "conservation": "conservation of {}, worst cell",
    "mean": "mean of {}",
}


def write_evaluation(found: Evaluation, folder: Path, mesh: MeshError | None = None) -> Path:
    """Write all files into a folder; returns it."""
    make_folder(folder)
    pictures = {"errors.png": _distribution(found)}
    worst = _worst(found)
    if worst is not None:
        pictures["worst.png"] = worst
    for name, data in pictures.items():
        commit_bytes(folder / name, data, replace=True)
    text = "\n".join(_lines(found, mesh, list(pictures))) + "\n"
    commit_bytes(folder / "evaluation.md", text.encode(), replace=True)
    facts = found.as_dict() | ({} if mesh is None else {"mesh_error": mesh.as_dict()})
    commit_json(folder / "evaluation.json", facts, replace=True, indent=2)
    return folder


def error_title(name: str, graph: str) -> str:
    """What an error is called in a table; `graph` is the title of the graph norm."""
    kind, _, output = name.partition("/")
    if kind in DEFECTS:
        return DEFECTS[kind].format(output)
    norm = {"l2": "L2", "graph": graph}[kind]
    return f"{norm} of {output}" if output else norm


def percent(value: float) -> str:
    """A share in per cent with three digits; round-off as a power of ten."""
    return f"{100 * value:.3g} %" if value == 0 or value >= 1e-5 else f"{value:.0e}"


def mesh_line(mesh: MeshError) -> str:
    """Network against mesh in one line."""
    if mesh.skipped:
        return f"not known: {mesh.skipped}"
    network, fe = (float(found["l2"].mean()) for found in (mesh.network, mesh.mesh))
    limit = "network" if network > fe else "mesh"
    return f"network {percent(network)}, mesh {percent(fe)} in L2: the {limit} is the limit"


def _lines(found: Evaluation, mesh: MeshError | None, pictures: list[str]) -> Iterator[str]:
    title, graph = TITLES[label(found.operator.config)], norm_title(found.operator)
    yield from (f"# {title} on {found.samples.path.name}: {found.which}", "")
    how = "moved here from another mesh, " if found.moved else ""
    yield f"{len(found.samples)} samples, {how}{found.operator.parameter_count:,} parameters."
    if found.seen:
        yield f"**{found.seen} of the samples were trained on: this is no test.**"
    yield from ("", "| relative error | mean | 95 % interval | median | largest |")
    yield "|---|---|---|---|---|"
    for name, values in found.errors.items():
        s = summary(values)
        low, high = s["low"], s["high"]
        interval = "–" if low is None or high is None else f"{percent(low)} to {percent(high)}"
        figures = (percent(float(s["mean"] or 0)), interval)
        ends = (percent(float(np.median(values))), percent(float(values.max())))
        yield f"| {error_title(name, graph)} | {' | '.join((*figures, *ends))} |"
    yield from ("", "Intervals: bootstrap (BCa) of the mean over the samples.")
    yield from (
        "Of defects see `pipeline/operators/validation/defects.py` for what is divided by.",
        "",
    )
    if mesh is not None:
        yield from (f"Against the solution on the once-refined mesh: {mesh_line(mesh)}.", "")
    batches = ", ".join(f"{ms:.3g} ms (batch {b})" for b, ms in found.milliseconds.items())
    yield from (f"Time of a prediction per sample: {batches}.", "")
    for name, bins in found.ranges.items():
        yield from (f"| {name} | samples | L2 | {graph} |", "|---|---|---|---|")
        for b in bins:
            errors = f"{percent(b.l2)} | {percent(b.graph)}"
            yield f"| {b.low:.4g} to {b.high:.4g} | {b.samples} | {errors} |"
        yield ""
    yield from ("| worst samples | L2 |", "|---|---|")
    for k in found.worst():
        yield f"| {found.samples.ids[k]} | {percent(found.errors['l2'][k])} |"
    for name in pictures:
        yield from ("", f"![{name.removesuffix('.png')}]({name})")


def _worst(found: Evaluation) -> bytes | None:
    """Input, truth, prediction and error of the worst samples; None if they can't be drawn."""
    operator, samples = found.operator, found.samples
    task = operator.task
    target = task.outputs[0]
    if "displacement" in samples.inputs:
        return None
    output = drawing(task.mesh, task.space(target))
    if output is None:
        return None
    first = task.inputs[0] if task.inputs else None
    rows = []
    for k in found.worst(WORST):
        given, truth = task.given(samples, [k]), task.truth(samples, [k])[target.name][0, -1]
        shown = truth if first is None else given[first.name][0]
        text = f"sample {samples.ids[k]}\nrelative L2 error {percent(found.errors['l2'][k])}"
        rows.append(Row(text, shown, truth, operator.predict(given)[target.name][0, -1]))
    how = None if first is None else drawing(task.mesh, task.space(first))
    names = ("" if first is None else first.name, target.name)
    return panel(rows, how, output, names, f"{TITLES[label(operator.config)]}: worst samples")


def _distribution(found: Evaluation) -> bytes:
    """Share of the samples whose error is below a bound."""
    figure = Figure(figsize=(6.0, 3.8), layout="constrained")
    axes = figure.add_subplot()
    share = np.arange(1, len(found.samples) + 1) / len(found.samples)
    titles = {"l2": "L2", "graph": norm_title(found.operator)}
    for name, title in titles.items():
        values = np.sort(found.errors[name])
        axes.step(values, share, where="post", color=COLOURS[name], label=title)
        axes.axvline(values.mean(), color=COLOURS[name], lw=0.8, ls=":")
    axes.set_xscale("log")
    percent_axis(axes, "x")
    axes.set(xlabel="relative error (dotted: mean)", ylabel="share of samples below it")
    axes.set(ylim=(0, 1.02), title=f"{TITLES[label(found.operator.config)]}: {found.which}")
    axes.grid(True, which="both", color="0.92", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
