"""Pictures of one field of one sample, and of the mesh that lies over it."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from storage.errors import DamagedFile
from storage.function import StoredFunction
from storage.pictures.drawing import MAPS, arrows, colour_limits, draw, magnitude
from storage.pictures.mesh_edges import mesh_edges
from storage.pictures.triangles import Drawing, Plane, drawing, on_boundary, outline
from storage.web.opened import OpenDataset
from storage.web.themes import EDGES, INK, ticks

__all__ = ["field_picture", "mesh_picture"]

_DPI = 100
_WIDEST, _HIGHEST = 640, 560  # pixels of what is drawn
_BAR = 58  # pixels of the colour bar below it, its numbers, and their power of ten
_MARGIN = 26  # pixels beside it, for the numbers at its ends


@dataclass(frozen=True, eq=False)
class _Frame:
    """A figure with a picture above and a colour bar below; the same for all of one shape."""

    figure: Figure
    axes: Axes
    bar: Axes


def field_picture(
    opened: OpenDataset, row: int, field: str, step: int, plane: Plane | None, theme: str
) -> bytes:
    """Draw a field of one sample as PNG with a colour bar; in one dimension as a graph.

    Of vectors the length is shown, with arrows; in three dimensions a slice.

    Args:
        opened: the data set.
        row: position of the sample.
        field: its name.
        step: of a solution in time.
        plane: of the slice, by default the one through the middle.
        theme: "light" or "dark", for numbers and axes; the ground is transparent.

    Raises:
        NotThere: there is no such field, sample or step.
        DamagedFile: it can't be drawn.
    """
    function = opened.function(field, row, step)
    how = _drawing(opened, field, function, plane)
    values = function.evaluate(how.cells, how.reference)
    if on_boundary(how, values):
        how = outline(how.mesh, how.space)
        values = function.evaluate(how.cells, how.reference)
    if not np.isfinite(values).all():
        raise DamagedFile(f"{field} of this sample holds NaN or infinities")
    role = opened.data.fields[field].role or "output"
    return _picture(how, values, MAPS[role], theme)


def mesh_picture(opened: OpenDataset, row: int | None, plane: Plane | None) -> bytes:
    """Draw the edges of a mesh, to lie over `field_picture`'s: PNG, for both themes.

    Args:
        opened: the data set.
        row: position of a sample whose geometry is its own; None: the mesh at rest.
        plane: of the slice.
    """
    data = opened.data
    mesh = data.mesh
    if row is not None and "displacement" in data.inputs:
        mesh = opened.function(next(iter(data.outputs)), row, -1).mesh
    ends = mesh_edges(mesh, plane)
    if not len(ends):
        return _png(Image.new("RGBA", (1, 1)))
    flat = ends.reshape(-1, 2)
    frame = _frame(flat)
    width = float(np.clip(60.0 / np.sqrt(len(ends)), 0.15, 0.8))
    lines = LineCollection(list(ends), colors=EDGES, linewidths=width, alpha=0.7)
    frame.axes.add_collection(lines)
    _fit(frame.axes, flat)
    frame.bar.set_axis_off()
    return _drawn(frame.figure, "LA")


def _drawing(
    opened: OpenDataset, field: str, function: StoredFunction, plane: Plane | None
) -> Drawing:
    """How to draw a field, kept for the mesh at rest."""

    def make() -> Drawing:
        how = drawing(function.mesh, function.space, plane)
        if how is None or not len(how.triangles):
            raise DamagedFile(f"{field}: surfaces, curves and empty slices are not drawn")
        return how

    if function.mesh is not opened.data.mesh:
        return make()
    return opened.keep(("drawing", opened.data.fields[field].space, plane), make)


def _picture(how: Drawing, values: Any, cmap: str, theme: str) -> bytes:
    data = magnitude(values)
    limits, extend = colour_limits(data)
    if len(how.axes) == 1:
        return _graph(how, data, limits, theme)
    frame = _frame(how.points)
    draw(frame.axes, how, data, cmap, limits)
    _fit(frame.axes, how.points)
    arrows(frame.axes, how, values, float(data.max()))
    bar = frame.figure.colorbar(
        ScalarMappable(limits, cmap),
        cax=frame.bar,
        orientation="horizontal",
        extend=extend,
        ticks=MaxNLocator(4),
        format=ticks(),
    )
    bar.outline.set_visible(False)  # type: ignore[operator]
    frame.bar.tick_params(labelsize=10, colors=INK[theme], length=3)
    frame.bar.xaxis.get_offset_text().set(fontsize=9, color=INK[theme])
    return _drawn(frame.figure)


def _graph(how: Drawing, data: Any, limits: Any, theme: str) -> bytes:
    figure = Figure(figsize=(6.4, 4.0), dpi=_DPI)
    figure.patch.set_alpha(0.0)
    axes = figure.add_axes((0.11, 0.1, 0.86, 0.86), facecolor="none")
    draw(axes, how, data, "", limits)
    axes.tick_params(labelsize=10, colors=INK[theme])
    for spine in axes.spines.values():
        spine.set_color(INK[theme])
    return _drawn(figure)


def _frame(points: Any) -> _Frame:
    """A figure around points, as large as allowed, with room for a colour bar."""
    extent = np.maximum(np.ptp(points, axis=0), 1e-300)
    ratio = float(np.clip(extent[0] / extent[1], 0.2, 8.0))
    width = min(_WIDEST, _HIGHEST * ratio)
    high = width / ratio
    wide = max(width, 240.0)
    whole = (wide + 2 * _MARGIN, high + _BAR)
    figure = Figure(figsize=(whole[0] / _DPI, whole[1] / _DPI), dpi=_DPI)
    figure.patch.set_alpha(0.0)
    left = (whole[0] - width) / 2
    bottom = whole[1] - high
    axes = figure.add_axes(
        (left / whole[0], bottom / whole[1], width / whole[0], high / whole[1]), facecolor="none"
    )
    box = (_MARGIN / whole[0], (_BAR - 18) / whole[1], wide / whole[0], 10 / whole[1])
    return _Frame(figure, axes, figure.add_axes(box))


def _fit(axes: Axes, points: Any) -> None:
    """Limits that fill the axes, with a hair's breadth to spare for lines on the boundary."""
    low, high = points.min(axis=0), points.max(axis=0)
    pad = 0.004 * float((high - low).max())
    axes.set(xlim=(low[0] - pad, high[0] + pad), ylim=(low[1] - pad, high[1] + pad))
    axes.set_aspect("equal")
    axes.set_axis_off()


def _drawn(figure: Figure, mode: str = "RGBA") -> bytes:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return _png(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert(mode))


def _png(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "png", compress_level=1)
    return out.getvalue()
