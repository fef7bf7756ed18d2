"""Pictures of samples on their mesh."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from storage import Dataset

__all__ = ["draw_field", "samples_picture"]

_MAPS = {"input": "viridis", "output": "magma"}


def samples_picture(dataset: Dataset, rows: list[int], path: Path) -> Path:
    """Draw the fields of some samples, a column each, and save the picture as PNG.

    Args:
        dataset: An open data set on triangles.
        rows: Positions of the samples.
        path: Where the PNG goes.
    """
    names = [*dataset.inputs, *dataset.outputs]
    figure = Figure(figsize=(2.4 * len(rows) + 0.6, 2.3 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), len(rows), squeeze=False)
    samples = dataset[rows]
    for line, name in zip(axes, names, strict=True):
        values = samples[name]
        low, high = float(values.min()), float(values.max())
        for ax, value in zip(line, values, strict=True):
            drawn = draw_field(ax, dataset, name, value, low, high)
        figure.colorbar(drawn, ax=list(line), label=dataset.fields[name].description)
    for ax, row in zip(axes[0], rows, strict=True):
        ax.set_title(f"sample {int(dataset.ids[row])}", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def draw_field(
    ax: Axes, dataset: Dataset, name: str, values: NDArray, low: float, high: float
) -> Any:
    """Draw one scalar field on the data set's triangles: flat cells, or smooth vertex values."""
    points, cells = np.asarray(dataset.mesh["points"]), np.asarray(dataset.mesh["cells"])
    field = dataset.fields[name]
    dofmap = np.asarray(dataset.spaces[field.space]["dofmap"])
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    options: dict[str, Any] = {
        "cmap": _MAPS[field.role],
        "vmin": low,
        "vmax": high,
        "rasterized": True,
    }
    if dofmap.shape[1] < cells.shape[1]:
        triangles = Triangulation(points[:, 0], points[:, 1], cells)
        return ax.tripcolor(triangles, facecolors=values[dofmap[:, 0]], **options)
    # Corner values cell by cell, so that discontinuous spaces keep their jumps.
    corners = points[cells].reshape(-1, points.shape[1])
    triangles = Triangulation(
        corners[:, 0], corners[:, 1], np.arange(len(corners)).reshape(cells.shape)
    )
    vertex_values = values[dofmap[:, : cells.shape[1]]].ravel()
    return ax.tripcolor(triangles, vertex_values, shading="gouraud", **options)
