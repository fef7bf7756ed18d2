"""The files of a comparison: comparison.md, comparison.json and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.operators.fe.norms import graph_norm
from pipeline.operators.validation import compare_pictures as pictures
from pipeline.operators.validation.bootstrap import mean_interval
from pipeline.operators.validation.comparison import Comparison, Errors
from pipeline.operators.validation.evaluation_report import error_title, percent
from storage import open_dataset
from storage.files import commit_bytes, commit_json, make_folder

__all__ = ["as_dict", "write_comparison"]

FACTS = {
    "parameters": ("parameters", "{:,.0f}"),
    "epochs": ("epochs", "{:.0f}"),
    "epoch_seconds": ("s/epoch", "{:.2g}"),
    "milliseconds_1": ("ms (batch 1)", "{:.2g}"),
    "milliseconds_32": ("ms (batch 32)", "{:.2g}"),
}
MAIN = ("l2", "graph")


def write_comparison(found: Comparison, folder: Path) -> Path:
    """Write all files into a folder; returns it."""
    make_folder(folder)
    graph = _graph_title(found)
    drawn = {"errors.png": pictures.intervals(found, graph)}
    if found.config.samples:
        drawn["samples.png"] = pictures.curves(found.samples, found.rows, "training samples", graph)
    if found.config.tolerances:
        drawn["tolerances.png"] = pictures.curves(
            found.tolerances, found.rows, "rtol of the labels", graph
        )
    for name, data in drawn.items():
        commit_bytes(folder / name, data, replace=True)
    text = "\n".join(_lines(found, graph, list(drawn))) + "\n"
    commit_bytes(folder / "comparison.md", text.encode(), replace=True)
    commit_json(folder / "comparison.json", as_dict(found), replace=True, indent=2)
    return folder


def as_dict(found: Comparison) -> dict[str, Any]:
    """All of it as plain data; of errors the mean, spread over seeds and interval."""
    return {
        "data_set": str(found.data_set),
        "config": found.config.model_dump(mode="json"),
        "samples": found.sizes,
        "table": {
            name: {"title": row.title, "errors": _summaries(row.errors), **row.facts}
            for name, row in found.rows.items()
        },
        "error_against_samples": _nested(found.samples),
        "error_against_tolerance": _nested(found.tolerances),
        "out_of_distribution": _nested(found.out),
        "transfer": _nested(found.transfer),
    }


def _nested(found: Any) -> dict[str, Any]:
    return {
        name: {
            str(key): errors if isinstance(errors, str) else _summaries(errors)
            for key, errors in kinds.items()
        }
        for name, kinds in found.items()
        if kinds
    }


def _summaries(errors: Errors) -> dict[str, dict[str, float | None]]:
    return {name: _summary(values) for name, values in errors.items()}


def _summary(values: Any) -> dict[str, float | None]:
    """Mean over seeds and samples, standard deviation of the seeds' means, interval."""
    low, high = mean_interval(values)
    there, seeds = np.isfinite([low, high]).all(), values.mean(axis=1)
    return {
        "mean": float(values.mean()),
        "spread": float(seeds.std(ddof=1)) if len(seeds) > 1 else None,
        "low": low if there else None,
        "high": high if there else None,
    }


def _graph_title(found: Comparison) -> str:
    dataset = open_dataset(found.data_set)
    titles = {"h1": "H1", "hdiv": "H(div)", "hcurl": "H(curl)", "l2": "L2"}
    kinds = [graph_norm(dataset.spaces[dataset.fields[name].space]) for name in dataset.outputs]
    return " + ".join(dict.fromkeys(titles.get(kind, kind) for kind in kinds))


def _cell(values: Any) -> str:
    """`1.2 % ± 0.1 % [1.0 %, 1.5 %]`."""
    s = _summary(values)
    text = percent(float(s["mean"] or 0.0))
    if s["spread"] is not None:
        text += f" ± {percent(s['spread'])}"
    if s["low"] is not None and s["high"] is not None:
        text += f" [{percent(s['low'])}, {percent(s['high'])}]"
    return text


def _lines(found: Comparison, graph: str, drawn: list[str]) -> Iterator[str]:
    sizes = ", ".join(f"{count} {name}" for name, count in found.sizes.items())
    budget = found.config.budget_seconds
    given = "equal epochs" if budget is None else f"{budget:g} s of training each"
    yield from (f"# Operators on {found.data_set.name}", "")
    yield f"Samples: {sizes}. Seeds {', '.join(map(str, found.config.seeds))}; {given}."
    yield from ("", *_main_table(found, graph), "")
    yield (
        "Mean relative test error over seeds and samples ± standard deviation of the seeds' means "
        "[95 % bootstrap interval over samples × seeds]. Controls have no seed."
    )
    defects = [n for n in _names(found) if n not in MAIN]
    if defects:
        yield from ("", "## By output, and what is preserved", "")
        yield from _table(
            ["", *(error_title(name, graph) for name in defects)],
            [
                [row.title, *(percent(float(row.errors[n].mean())) for n in defects)]
                for row in found.rows.values()
            ],
        )
    yield from _curve(found, found.samples, "training samples", graph)
    yield from _curve(found, found.tolerances, "rtol of the labels", graph)
    yield from _out_table(found, graph)
    yield from _transfer_table(found, graph)
    for name in drawn:
        yield from ("", f"![{name.removesuffix('.png')}]({name})")


def _names(found: Comparison) -> list[str]:
    return list(next(iter(found.rows.values())).errors)


def _main_table(found: Comparison, graph: str) -> list[str]:
    head = ["", "L2", graph, *(title for title, _ in FACTS.values())]
    rows = []
    for row in found.rows.values():
        facts = [
            text.format(row.facts[key]) if key in row.facts else ""
            for key, (_, text) in FACTS.items()
        ]
        rows.append([row.title, *(_cell(row.errors[name]) for name in MAIN), *facts])
    return _table(head, rows)


def _curve(found: Comparison, values: Any, what: str, graph: str) -> Iterator[str]:
    keys = sorted({key for kinds in values.values() for key in kinds})
    if not keys:
        return
    yield from ("", f"## Error against {what}", "")
    for norm, title in zip(MAIN, ("L2", graph), strict=True):
        rows = [
            [found.rows[name].title, *(_cell(kinds[key][norm]) for key in keys)]
            for name, kinds in values.items()
        ]
        yield from (*_table([title, *(f"{key:g}" for key in keys)], rows), "")


def _out_table(found: Comparison, graph: str) -> Iterator[str]:
    out = found.config.out_of_distribution
    if out is None:
        return
    yield from ("", "## Out of distribution", "")
    yield (
        f"Outside: the test split of `{out.folder}`."
        if out.folder
        else f"Trained on samples with {out.inside}; outside: the other test samples."
    )
    head = ["", "L2 inside", "L2 outside", f"{graph} inside", f"{graph} outside"]
    rows = []
    for name, sides in found.out.items():
        cells = [_cell(sides[side][n]) for n in MAIN for side in ("inside", "outside")]
        rows.append([found.rows[name].title, *cells])
    yield from ("", *_table(head, rows))


def _transfer_table(found: Comparison, graph: str) -> Iterator[str]:
    if not found.config.transfer:
        return
    yield from ("", "## On other meshes, without training", "")
    rows = []
    for name, folders in found.transfer.items():
        for path, errors in folders.items():
            cells = ["–", errors] if isinstance(errors, str) else [_cell(errors[n]) for n in MAIN]
            rows.append([found.rows[name].title, Path(path).name, *cells])
    yield from _table(["", "data set", "L2", graph], rows)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
