"""Plots of a data set's scalars: histograms, and figures of the solves in the order of solving."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from storage.catalogue.figures import is_logarithmic
from storage.errors import DamagedFile
from storage.web.themes import ACCENT, BAND, GRID, INK, WARN, ticks

__all__ = ["histogram", "series"]

type Array = NDArray[np.float64]

_BINS = 40
_POINTS = 1500  # of a series that are drawn one by one; more are drawn as a band
_STRETCHES = 300
_SVG: Any = {"svg.fonttype": "none", "svg.hashsalt": "rekrylov", "font.family": "sans-serif"}


def histogram(values: NDArray[Any], title: str, theme: str) -> bytes:
    """Draw how often values come, as SVG; by their logarithm where that shows more.

    Args:
        values: (n), those that aren't finite left out.
        title: what they are.
        theme: "light" or "dark".

    Raises:
        DamagedFile: none is finite.
    """
    data = _finite(values, title)
    figure, axes = _figure((3.4, 2.2), theme)
    log = is_logarithmic(data)
    axes.hist(data, bins=_edges(data, log), color=ACCENT[theme])  # type: ignore[arg-type]
    if log:
        axes.set_xscale("log")
        _powers(axes.xaxis)
    else:
        axes.xaxis.set_major_formatter(ticks())
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=_whole(data), min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.set_xlabel(_plain(title), fontsize=10, color=INK[theme])
    return _svg(figure)


def series(
    order: NDArray[Any], values: NDArray[Any], title: str, theme: str, limit: float | None = None
) -> bytes:
    """Draw a number of each sample along the order of solving, as SVG.

    Where there are many samples, the median of stretches of the order and their range are drawn.

    Args:
        order: (n) positions in the order of solving.
        values: (n).
        title: what they are.
        theme: "light" or "dark".
        limit: a value that they were to stay below, drawn as a line.

    Raises:
        DamagedFile: none is finite.
    """
    finite = _finite(values, title)
    path = np.argsort(order, kind="stable")
    data = np.asarray(values, dtype=np.float64)[path]
    figure, axes = _figure((6.7, 2.4), theme)
    if is_logarithmic(finite) or (limit is not None and (finite > 0).all()):
        axes.set_yscale("log")
        _powers(axes.yaxis)
    if len(data) <= _POINTS:
        size = 3.0 if len(data) > 200 else 5.0
        axes.plot(np.arange(len(data)), data, ".", ms=size, color=ACCENT[theme])
    else:
        _band(axes, data, theme)
    if _whole(finite) and axes.get_yscale() != "log":
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    if limit is not None:
        axes.axhline(limit, color=WARN[theme], lw=1, ls="--")
        axes.annotate(
            f"rtol {_power(limit)}", (1, limit), xycoords=("axes fraction", "data"), ha="right",
            va="bottom", fontsize=9, color=WARN[theme],
        )  # fmt: skip
    axes.set_xlim(-0.01 * len(data), 1.01 * len(data))
    axes.set_xlabel("order of solving", fontsize=10, color=INK[theme])
    axes.set_ylabel(_plain(title), fontsize=10, color=INK[theme])
    return _svg(figure)


def _band(axes: Axes, data: Array, theme: str) -> None:
    parts = np.array_split(data, _STRETCHES)
    ends = np.cumsum([0, *map(len, parts)])
    middle = (ends[1:] + ends[:-1]) / 2
    low, median, high = np.array([np.nanquantile(part, [0.0, 0.5, 1.0]) for part in parts]).T
    axes.fill_between(middle, low, high, color=BAND[theme], lw=0)
    axes.plot(middle, median, color=ACCENT[theme], lw=1.2)


def _finite(values: NDArray[Any], title: str) -> Array:
    data = np.asarray(values, dtype=np.float64).ravel()
    data = data[np.isfinite(data)]
    if not len(data):
        raise DamagedFile(f"{title}: has no finite value")
    return data


def _edges(data: Array, log: bool) -> Array:
    low, high = float(data.min()), float(data.max())
    if _whole(data) and high - low < _BINS:
        return np.arange(low - 0.5, high + 1.5)
    if log:
        return np.geomspace(low, high, _BINS + 1)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        half = 0.1 * abs(high) or 1.0
        return np.linspace(low - half, high + half, 4)
    return np.linspace(low, high, min(_BINS, max(8, int(2 * len(data) ** 0.5))) + 1)


def _whole(data: Array) -> bool:
    return bool(np.equal(np.mod(data, 1), 0).all())


def _powers(axis: Any) -> None:
    """A few powers of ten, as plain text: Matplotlib's own take most of a plot's time."""
    axis.set_major_locator(LogLocator(numticks=5))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))


def _power(value: float) -> str:
    """0.01, 100, 1e−8."""
    return f"{value:g}" if 1e-3 < value < 1e4 else f"1e{round(np.log10(value))}".replace("-", "−")


def _plain(title: str) -> str:
    """A text that Matplotlib doesn't take for mathematics."""
    return title.replace("\\", "\\\\").replace("$", r"\$")[:80]


def _figure(size: tuple[float, float], theme: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size)  # no layout engine: it would take most of the time
    figure.patch.set_alpha(0.0)
    left, low = 0.72 / size[0], 0.5 / size[1]
    box = (left, low, 1.0 - left - 0.12 / size[0], 1.0 - low - 0.12 / size[1])
    axes = figure.add_axes(box, facecolor="none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID[theme])
    axes.tick_params(labelsize=9, colors=INK[theme], color=GRID[theme])
    axes.grid(True, axis="y", color=GRID[theme], lw=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> bytes:
    out = BytesIO()
    with rc_context(_SVG):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
