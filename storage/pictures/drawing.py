"""One function, drawn into axes of Matplotlib."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from storage.pictures.triangles import Drawing

__all__ = ["MAPS", "arrows", "colour_limits", "draw", "magnitude"]

Array = NDArray[np.float64]

MAPS = {"input": "viridis", "output": "magma"}
"""Role of a field → colour map."""
_ARROWS = 11  # along the longer side


def magnitude(values: Array) -> Array:
    """Return (p) what a colour shows of values (p, v): the scalar, or the length of the vector."""
    return values[:, 0] if values.shape[1] == 1 else np.linalg.norm(values, axis=1)


def draw(axes: Axes, how: Drawing, data: Array, cmap: str, limits: Normalize) -> None:
    """Show a function by colours, on the boundary alone as a line; in one dimension by its graph.

    Args:
        axes: where; their ticks are taken away.
        how: on what.
        data: (p) at the points of `how`.
        cmap: colour map.
        limits: of the values.
    """
    if len(how.axes) == 1:
        _graph(axes, how, data, limits)
        return
    x, y = how.points.T
    pad = 0.0
    if how.triangles.shape[1] == 2:
        pad = 0.02 * max(how.size)
        lines = LineCollection(
            list(how.points[how.triangles]), cmap=cmap, norm=limits, linewidths=4
        )
        lines.set_array(data[how.triangles].mean(axis=1))
        axes.add_collection(lines)
    else:
        triangles = Triangulation(x, y, how.triangles)
        axes.tripcolor(triangles, data, shading="gouraud", cmap=cmap, norm=limits, rasterized=True)
    axes.set_aspect("equal")
    axes.set(xticks=[], yticks=[])
    axes.set(xlim=(x.min() - pad, x.max() + pad), ylim=(y.min() - pad, y.max() + pad))
    for spine in axes.spines.values():
        spine.set_visible(False)


def _graph(axes: Axes, how: Drawing, data: Array, limits: Normalize) -> None:
    x = how.points[:, 0]
    lines = np.stack([x, data], axis=1)[how.triangles]
    axes.add_collection(LineCollection(list(lines), colors="#0072B2", linewidths=1.2))
    low, high = float(limits.vmin or 0.0), float(limits.vmax or 0.0)
    pad = 0.05 * (high - low)
    axes.set(xlim=(x.min(), x.max()), ylim=(low - pad, high + pad))
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def colour_limits(values: Array) -> tuple[Normalize, str]:
    """Return the limits of the colours, and at which ends values lie beyond them.

    Rare values don't set the scale. The second is "neither", "min", "max" or "both", as
    Matplotlib's colour bars call it.
    """
    ends = float(values.min()), float(values.max())
    most = [float(q) for q in np.quantile(values, [0.005, 0.995])]
    margin = 0.5 * (most[1] - most[0])
    below, above = ends[0] < most[0] - margin, ends[1] > most[1] + margin
    low, high = most[0] if below else ends[0], most[1] if above else ends[1]
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # constant, or nearly
        half = 0.1 * abs(high) or 1.0
        low, high = low - half, high + half
    sides = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    return Normalize(low, high), sides.get((below, above), "both")


def arrows(ax: Axes, how: Drawing, values: Array, longest: float) -> None:
    """Show directions of a vector near the points of a coarse grid; length as the root of its own.

    Args:
        ax: where; nothing is drawn for what has no two components, or a strip too thin for them.
        how: on what.
        values: (p, v) at the points of `how`.
        longest: length that an arrow of full size means.
    """
    if len(how.axes) != 2 or values.shape[1] not in (2, 3) or longest <= 0.0:
        return
    step = max(how.size) / _ARROWS
    if min(how.size) < 1.5 * step:
        return
    counts = np.round(np.array(how.size) / step).astype(np.int64)
    place = (how.points - how.points.min(axis=0)) / (np.array(how.size) / counts)
    box = np.minimum(place.astype(np.int64), counts - 1)
    off = np.linalg.norm(place - box - 0.5, axis=1)
    order = np.lexsort((off, box[:, 1], box[:, 0]))
    picked = order[np.unique(box[order], axis=0, return_index=True)[1]]
    vectors = values[picked][:, list(how.axes)]
    lengths = np.linalg.norm(vectors, axis=1)
    clear = lengths > 0.01 * longest
    roots = 0.9 * step / np.sqrt(lengths[clear] * longest)
    ax.quiver(
        *how.points[picked[clear]].T,
        *(vectors[clear].T * roots),
        angles="xy",
        scale_units="xy",
        scale=1.0,
        units="inches",
        width=0.016,
        headlength=4,
        headaxislength=3.5,
        color="white",
        edgecolor="black",
        linewidth=0.3,
        pivot="middle",
    )
