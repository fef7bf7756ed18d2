"""Pictures of samples on their mesh."""

import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray
from PIL import Image

from storage import Dataset
from storage.files import commit_bytes, make_folder
from storage.pictures.drawing import MAPS, arrows, colour_limits, draw, magnitude
from storage.pictures.triangles import Drawing, drawing, on_boundary, outline

__all__ = ["samples_picture"]

type Array = NDArray[np.float64]

_LONG = 2.0  # width to height from which samples are stacked, each field a column
_NUMBERS = 5  # of parameters that are told
_SMALL = 0.15  # of the common range: samples below it would be seen in one colour
_DPI = 100
_GREYS = 28
_PLAIN = Image.Dither.NONE


@dataclass(frozen=True, eq=False)
class _Shown:
    """A field of one sample as it is drawn: values (p, v) on a drawing, and their time."""

    how: Drawing
    values: Array
    time: float | None


def samples_picture(dataset: Dataset, rows: list[int], path: Path) -> Path | None:
    """Draw all fields of some samples and save the picture as PNG.

    A sample is a column, or a row where the domain is long. Of vectors the length is shown, with
    arrows; of a solution in time its last step; in three dimensions the plane through the middle.
    Samples with a geometry of their own are drawn on it.

    Args:
        dataset: An open data set.
        rows: Positions of the samples.
        path: Where the PNG goes.

    Returns:
        `path`, or None if no field can be drawn.
    """
    inputs = [name for name in dataset.inputs if name != "displacement"]
    names = [*inputs, *dataset.outputs]
    shown = {name: found for name in names if (found := _samples(dataset, name, rows))}
    if not shown:
        return None
    first = [found[0].how for found in shown.values()]
    width, height = (max(how.size[axis] for how in first) for axis in (0, 1))
    stacked = width > _LONG * height
    titles = [_title(dataset, row, _time(shown, place)) for place, row in enumerate(rows)]
    lines = max(text.count("\n") for text in titles) + 1
    figure, axes = _panels(len(shown), len(rows), width / height, lines, stacked)
    for line, (name, found) in zip(axes, shown.items(), strict=True):
        cmap, label = MAPS[dataset.fields[name].role], _label(dataset, name, found[0].how)
        _draw_line(figure, line, found, cmap, label, stacked)
    for ax, text in zip(axes[0], titles, strict=True):
        if stacked:
            ax.set_ylabel(text, fontsize=8, rotation=0, ha="right", va="center")
        else:
            ax.set_title(text, fontsize=9)
    make_folder(path.parent)
    commit_bytes(path, _png(figure), replace=True)
    return path


def _samples(dataset: Dataset, name: str, rows: list[int]) -> list[_Shown]:
    """The field in each sample; empty if it can't be drawn. A mesh at rest is cut once."""
    found: list[_Shown] = []
    how: Drawing | None = None
    for row in rows:
        function = dataset.function(name, row)
        if how is None or how.mesh is not function.mesh:
            how = drawing(function.mesh, function.space)
        if how is None:
            return []
        values = function.evaluate(how.cells, how.reference)
        found.append(_Shown(how, values, function.time))
    if not all(on_boundary(shown.how, shown.values) for shown in found):
        return found
    edges = [outline(shown.how.mesh, shown.how.space) for shown in found]
    functions = [dataset.function(name, row) for row in rows]
    return [
        _Shown(edge, function.evaluate(edge.cells, edge.reference), function.time)
        for edge, function in zip(edges, functions, strict=True)
    ]


def _panels(
    fields: int, samples: int, ratio: float, lines: int, stacked: bool
) -> tuple[Figure, Any]:
    """A figure, and its axes (fields, samples): a field is a row, or a column if `stacked`."""
    wide = min(3.8, 11.0 / fields) if stacked else 2.0 * min(1.0, max(ratio, 0.4))
    high = max(wide / ratio, 0.13 * lines) + 0.1 if stacked else wide / max(ratio, 0.4)
    rows, columns = (samples, fields) if stacked else (fields, samples)
    size = (wide * columns + 1.1, high * rows + (0.8 if stacked else 0.16 * lines + 0.2))
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes.T if stacked else axes


def _draw_line(
    figure: Figure, line: Any, found: list[_Shown], cmap: str, label: str, stacked: bool
) -> None:
    """Draw a field of all samples: with one scale, or each with its own where some are small."""
    data = [magnitude(shown.values) for shown in found]
    ranges = [float(np.ptp(values)) for values in data]
    own = not stacked and min(ranges) < _SMALL * float(np.ptp(np.concatenate(data)))
    graphs = len(found[0].how.axes) == 1
    groups = [[place] for place in range(len(line))] if own else [list(range(len(line)))]
    for group in groups:
        limits, extend = colour_limits(np.concatenate([data[place] for place in group]))
        longest = max(float(data[place].max()) for place in group)
        for place in group:
            draw(line[place], found[place].how, data[place], cmap, limits)
            arrows(line[place], found[place].how, found[place].values, longest)
        if not graphs:
            text = label if group is groups[-1] else ""
            _bar(figure, [line[place] for place in group], (limits, cmap, extend), text, stacked)
    if graphs:
        line[0].set_ylabel(fill(label, 26), fontsize=8)


def _bar(
    figure: Figure, axes: list[Axes], scale: tuple[Normalize, str, str], label: str, stacked: bool
) -> None:
    limits, cmap, extend = scale
    ticks = ScalarFormatter()
    ticks.set_powerlimits((-2, 3))
    bar = figure.colorbar(
        ScalarMappable(limits, cmap),
        ax=axes,
        location="bottom" if stacked else "right",
        extend=extend,
        format=ticks,
        ticks=MaxNLocator(4),
        pad=0.02,
        aspect=30 if stacked else 18,
    )
    bar.set_label(fill(label, 40 if stacked else 26), fontsize=8)
    bar.ax.tick_params(labelsize=7)
    for axis in (bar.ax.xaxis, bar.ax.yaxis):
        axis.get_offset_text().set_fontsize(7)


def _label(dataset: Dataset, name: str, how: Drawing) -> str:
    field = dataset.fields[name]
    units = "" if field.units in ("", "1") else f" [{field.units}]"
    if int(how.mesh["gdim"]) == 3:
        units += f", middle {'–'.join('xyz'[axis] for axis in how.axes)} plane"
    return re.sub(r"\^(-?\d+)", _raised, f"{field.description or name}{units}")


def _raised(found: re.Match[str]) -> str:
    return found[1].translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _time(shown: dict[str, list[_Shown]], place: int) -> float | None:
    """The time at which a sample is drawn: that of its last field in time."""
    times = [found[place].time for found in shown.values()]
    return next((time for time in reversed(times) if time is not None), None)


def _title(dataset: Dataset, row: int, time: float | None) -> str:
    """The sample's id, the time, and its parameters if they are few numbers."""
    lines = [f"sample {int(dataset.ids[row])}"]
    lines += [] if time is None else [f"t = {time:.3g}"]
    told = {name: dataset.read(f"parameters/{name}", row) for name in dataset.parameters}
    single = {name: value.item() for name, value in told.items() if np.size(value) == 1}
    if len(single) <= _NUMBERS:
        lines += [f"{name} = {value:.3g}" for name, value in single.items()]
    return "\n".join(lines)


def _png(figure: Figure) -> bytes:
    """The figure as PNG in the colours of the two maps and grey: a quarter of the bytes."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # the first layout knows no titles of axes of fixed aspect
    picture, packed = BytesIO(), BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI)
    colours = Image.open(picture).convert("RGB").quantize(palette=_palette(), dither=_PLAIN)
    colours.save(packed, format="png", optimize=True)
    return packed.getvalue()


def _palette() -> Image.Image:
    count = (256 - _GREYS) // len(MAPS)
    ramps = [colormaps[cmap](np.linspace(0.0, 1.0, count))[:, :3] for cmap in MAPS.values()]
    greys = np.repeat(np.linspace(0.0, 1.0, _GREYS)[:, None], 3, axis=1)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.round(255 * np.concatenate([*ramps, greys])).astype(np.uint8).tobytes())
    return palette
