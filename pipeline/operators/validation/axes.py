"""Axes of pictures of errors."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

__all__ = ["percent_axis"]

STEPS: tuple[tuple[float, ...], ...] = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8))
FEWEST, MOST = 3, 8


def percent_axis(axes: Axes, which: str) -> None:
    """Label a logarithmic axis, "x" or "y", in per cent, at 3 to 8 round numbers or so."""
    low, high = sorted(axes.get_xlim() if which == "x" else axes.get_ylim())
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: list[float] = []
    for steps in STEPS:
        ticks = [s * 10.0**p for p in powers for s in steps if low <= s * 10.0**p <= high]
        if len(ticks) >= FEWEST:
            break
    if len(ticks) < FEWEST:
        ticks = [t for t in MaxNLocator(4).tick_values(low, high) if low <= t <= high]
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(ticks[:: -(-len(ticks) // MOST)])
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.3g} %"))
    axis.set_minor_locator(NullLocator())
