"""Pictures of a training run, as PNG bytes: loss curve and panel of test samples.

No pyplot: figures are made without a global state or a display.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from storage.pictures.drawing import draw, magnitude
from storage.pictures.triangles import Drawing

if TYPE_CHECKING:
    from pipeline.operators.training.loop import History

__all__ = ["Row", "loss_curve", "panel"]

Array = NDArray[np.float64]
VALUES, COEFFICIENT, ERROR = "viridis", "cividis", "magma"
DPI = 130


@dataclass(frozen=True, eq=False)
class Row:
    """A test sample: coefficients of what is drawn, and the text beside it."""

    label: str
    given: Array
    truth: Array
    predicted: Array


def loss_curve(history: History, loss: str, title: str) -> bytes:
    """Training loss and validation errors by epoch, logarithmic; the best epoch marked."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    epochs = [row["epoch"] for row in history.rows]
    curves = {
        "train_loss": (f"training, {loss}", "0.45", "--"),
        "validation_l2": ("validation, L2", "#0072B2", "-"),
        "validation_graph": ("validation, graph norm", "#D55E00", "-"),
    }
    for name, (label, colour, style) in curves.items():
        values = [row.get(name, np.nan) for row in history.rows]
        axes.semilogy(epochs, values, style, color=colour, label=label, marker=".", ms=4)
    best = history.best_epoch
    axes.axvline(best, color="0.75", lw=1, zorder=0, label=f"best epoch ({best})")
    axes.set(xlabel="epoch", ylabel="mean relative error", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True, which="both", color="0.92", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return _png(figure)


def panel(
    rows: Sequence[Row], given: Drawing | None, output: Drawing, names: tuple[str, str], title: str
) -> bytes:
    """Input, truth, prediction and error of some samples, a row each.

    Truth and prediction share the colours of their row; all errors share one scale, and all
    inputs one.

    Args:
        rows: the samples.
        given: how to draw the input; None leaves its column out.
        output: how to draw the output.
        names: of input and output, for the titles.
        title: of the figure.
    """
    columns = [] if given is None else [f"input {names[0]}"]
    columns += [f"truth {names[1]}", f"prediction {names[1]}", "|prediction − truth|"]
    figure = Figure(figsize=(2.95 * len(columns), 2.65 * len(rows) + 0.5), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    wrong = [np.abs(magnitude(output.values(row.predicted - row.truth))) for row in rows]
    errors = Normalize(0, max(float(error.max()) for error in wrong) or 1.0)
    if given is not None:
        shown = [magnitude(given.values(row.given)) for row in rows]
        inputs = _limits(shown)
        for axes, data in zip(grid[:, 0], shown, strict=True):
            draw(axes, given, data, COEFFICIENT, inputs)
        _bar(figure, grid[:, 0], COEFFICIENT, inputs)
    for row, error, line in zip(rows, wrong, grid, strict=True):
        line[0].set_ylabel(row.label)
        pair = [magnitude(output.values(data)) for data in (row.truth, row.predicted)]
        values = _limits(pair)
        for axes, data in zip(line[-3:-1], pair, strict=True):
            draw(axes, output, data, VALUES, values)
        draw(line[-1], output, error, ERROR, errors)
        _bar(figure, line[-3:-1], VALUES, values)
    _bar(figure, grid[:, -1], ERROR, errors)
    for axes, text in zip(grid[0], columns, strict=True):
        axes.set_title(text, fontsize=10)
    return _png(figure)


def _bar(figure: Figure, axes: Any, cmap: str, limits: Normalize) -> None:
    ticks = ScalarFormatter()
    ticks.set_powerlimits((-2, 3))
    rows = len({round(a.get_position().y0, 6) for a in axes})
    bar = figure.colorbar(
        ScalarMappable(limits, cmap), ax=list(axes), pad=0.02, aspect=22 * rows, format=ticks
    )
    bar.ax.tick_params(labelsize=8)


def _limits(arrays: Sequence[Array]) -> Normalize:
    low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    return Normalize(low, high if high > low else low + 1.0)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
