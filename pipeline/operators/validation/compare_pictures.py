"""Pictures of a comparison, as PNG bytes: errors with intervals, and errors along a number."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from pipeline.operators.validation.axes import percent_axis
from pipeline.operators.validation.bootstrap import mean_interval
from pipeline.operators.validation.comparison import Comparison, Row
from pipeline.operators.validation.pictures import DPI

__all__ = ["curves", "intervals"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*"
NORMS = ("l2", "graph")
SHIFT = 1.015  # factor between curves, so that their intervals don't hide each other


def intervals(found: Comparison, graph: str) -> bytes:
    """Mean errors with their intervals, a line each; small points are the seeds."""
    count = len(found.rows)
    figure = Figure(figsize=(9.0, 1.3 + 0.36 * count), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for panel, norm, title in zip(axes, NORMS, ("L2", graph), strict=True):
        for y, (name, row) in enumerate(found.rows.items()):
            values, colour = row.errors[norm], "0.45" if name in found.config.controls else "C0"
            low, high = mean_interval(values)
            if np.isfinite([low, high]).all():
                panel.plot([low, high], [y, y], color=colour, lw=2, solid_capstyle="butt")
            panel.plot(values.mean(), y, "o", color=colour, ms=7)
            if len(values) > 1:
                seeds = values.mean(axis=1)
                panel.plot(seeds, np.full(len(seeds), y), "|", color="k", ms=7, mew=0.8)
        panel.set(xlabel=f"mean relative {title} error", xscale="log")
        percent_axis(panel, "x")
        panel.grid(True, axis="x", which="both", color="0.92", lw=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(count), [row.title for row in found.rows.values()])
    axes[0].invert_yaxis()
    figure.suptitle("Test errors: mean, 95 % interval, | seeds", fontsize=11)
    return _png(figure)


def curves(values: Mapping[str, Any], rows: Mapping[str, Row], what: str, graph: str) -> bytes:
    """Mean errors along a number, with intervals, both axes logarithmic."""
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    axes = figure.subplots(1, 2)
    for panel, norm, title in zip(axes, NORMS, ("L2", graph), strict=True):
        for k, (name, kinds) in enumerate(values.items()):
            x = np.array(sorted(kinds)) * SHIFT ** (k - (len(values) - 1) / 2)
            every = [kinds[key][norm] for key in sorted(kinds)]
            y = np.array([errors.mean() for errors in every])
            ends = np.abs(np.array([mean_interval(errors) for errors in every]).T - y)
            style: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "ms": 5, "capsize": 2}
            marker = MARKERS[k % len(MARKERS)]
            bars = np.nan_to_num(ends)  # none where one sample says nothing of others
            panel.errorbar(x, y, bars, marker=marker, label=rows[name].title, **style)
        panel.set(xlabel=what, ylabel=f"mean relative {title} error", xscale="log", yscale="log")
        keys = sorted({key for kinds in values.values() for key in kinds})
        panel.set_xticks(keys, [f"{key:g}" for key in keys])
        panel.xaxis.set_minor_locator(NullLocator())
        percent_axis(panel, "y")
        panel.grid(True, which="both", color="0.92", lw=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *axes[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=4
    )
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
