"""Pictures of samples on their mesh."""

from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from storage import Dataset
from storage.files import commit_bytes, make_folder
from storage.triangles import Drawing, drawing

__all__ = ["samples_picture"]

_MAPS = {"input": "viridis", "output": "magma"}


def samples_picture(dataset: Dataset, rows: list[int], path: Path) -> Path | None:
    """Draw the fields of some samples, a column each, and save the picture as PNG.

    Args:
        dataset: An open data set.
        rows: Positions of the samples.
        path: Where the PNG goes.

    Returns:
        `path`, or None if no field can be drawn in the plane.
    """
    drawings = {
        name: drawing(dataset.mesh, dataset.spaces[dataset.fields[name].space])
        for name in (*dataset.inputs, *dataset.outputs)
    }
    shown = {name: found for name, found in drawings.items() if found is not None}
    if not shown:
        return None
    figure = Figure(figsize=(2.3 * len(rows) + 0.8, 2.3 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(shown), len(rows), squeeze=False)
    samples = dataset[rows]
    for line, (name, found) in zip(axes, shown.items(), strict=True):
        field, values = dataset.fields[name], samples[name]
        limits = {"vmin": float(values.min()), "vmax": float(values.max())}
        for ax, value in zip(line, values, strict=True):
            drawn = _draw(ax, found, value, cmap=_MAPS[field.role], **limits)
        units = "" if field.units == "1" else f" [{field.units}]"
        figure.colorbar(drawn, ax=list(line), label=f"{field.description}{units}")
    for ax, row in zip(axes[0], rows, strict=True):
        ax.set_title(f"sample {int(dataset.ids[row])}", fontsize=9)
    image = BytesIO()
    figure.savefig(image, dpi=110)
    make_folder(path.parent)
    commit_bytes(path, image.getbuffer(), replace=True)
    return path


def _draw(ax: Axes, found: Drawing, values: NDArray, **options: Any) -> Any:
    """Draw one scalar function: flat cells, or linear between its dofs."""
    ax.set_aspect("equal")
    ax.set_axis_off()
    x, y = found.points.T
    shown = values[found.dofs]
    if found.flat:
        return ax.tripcolor(x, y, found.triangles, facecolors=shown, rasterized=True, **options)
    return ax.tripcolor(
        x, y, shown, triangles=found.triangles, shading="gouraud", rasterized=True, **options
    )
