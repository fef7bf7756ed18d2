"""Colours and numbers of pictures and plots; those of the pages are in `static/style.css`."""

from __future__ import annotations

from matplotlib.ticker import ScalarFormatter

__all__ = ["ACCENT", "BAND", "EDGES", "GRID", "INK", "WARN", "ticks"]

INK = {"light": "#3b4252", "dark": "#c8cfdb"}
GRID = {"light": "#dfe3ea", "dark": "#333b49"}
ACCENT = {"light": "#2f6fb3", "dark": "#6cb0f0"}
BAND = {"light": "#a9c8e8", "dark": "#2d5078"}
WARN = {"light": "#c2571a", "dark": "#f0a060"}
EDGES = "#8d96a6"


def ticks() -> ScalarFormatter:
    """Return how numbers along an axis are written, very small and large ones by a power of ten."""
    found = ScalarFormatter(useMathText=False)
    found.set_powerlimits((-3, 4))
    return found
