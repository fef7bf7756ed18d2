"""The small picture by which a data set is known in lists: `previews/thumbnail.png`."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from storage.dataset import Dataset
from storage.files import commit_bytes, make_folder
from storage.function import StoredFunction
from storage.pictures.drawing import MAPS, colour_limits, draw, magnitude
from storage.pictures.triangles import Drawing, drawing

__all__ = ["NAME", "commit_thumbnail", "thumbnail"]

type Array = NDArray[np.float64]

NAME = "thumbnail.png"
_WIDTH, _HEIGHT = 248, 120  # pixels: two squares and a gap
_GAP = 8
_LONG = 2.0  # width to height from which one is above the other


def commit_thumbnail(dataset: Dataset) -> Path | None:
    """Write `previews/thumbnail.png`; returns its path, None if nothing can be drawn."""
    picture = thumbnail(dataset) if len(dataset) else None
    if picture is None:
        return None
    path = dataset.path / "previews" / NAME
    make_folder(path.parent)
    commit_bytes(path, picture, replace=True)
    return path


def thumbnail(dataset: Dataset) -> bytes | None:
    """Draw an input and an output of the first sample side by side: PNG, transparent.

    Without an input field the output alone; None if nothing can be drawn.
    """
    given = [name for name in dataset.inputs if name != "displacement"]
    shown = [(name, MAPS["input"]) for name in given[:1]]
    shown += [(name, MAPS["output"]) for name in _most_telling(dataset)[:1]]
    found = [(*it, cmap) for name, cmap in shown if (it := _drawn(dataset, name)) is not None]
    if not found:
        return None
    return _png(_figure(found))


def _figure(found: list[tuple[Drawing, Array, str]]) -> Figure:
    """The pictures side by side, or one above the other where the domain is long."""
    wide, high = np.max([how.size for how, _, _ in found], axis=0)
    columns = 1 if wide > _LONG * high else len(found)
    figure = Figure(figsize=(_WIDTH / 100, _HEIGHT / 100), dpi=100)
    figure.patch.set_alpha(0.0)
    for place, (how, values, cmap) in enumerate(found):
        column, row = (place, 0) if columns > 1 else (0, place)
        width = (_WIDTH - (columns - 1) * _GAP) / columns / _WIDTH
        height = columns / len(found)
        left, low = column * (width + _GAP / _WIDTH), 1.0 - (row + 1) * height
        axes = figure.add_axes((left, low, width, 0.96 * height), facecolor="none")
        draw(axes, how, values, cmap, colour_limits(values)[0])
        axes.set_axis_off()
    return figure


def _most_telling(dataset: Dataset) -> list[str]:
    """Outputs, those with most dofs first: the velocity before the pressure."""
    return sorted(
        dataset.outputs, key=lambda name: -dataset.columns[f"outputs/{name}"]["shape"][-1]
    )


def _drawn(dataset: Dataset, name: str) -> tuple[Drawing, Array] | None:
    function: StoredFunction = dataset.function(name, 0)
    how = drawing(function.mesh, function.space)
    if how is None or not len(how.triangles):
        return None
    values = magnitude(function.evaluate(how.cells, how.reference))
    return (how, values) if np.isfinite(values).all() else None


def _png(figure: Figure) -> bytes:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    out = BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).save(out, "png", optimize=True)
    return out.getvalue()
