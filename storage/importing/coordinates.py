"""Places of a grid's points and times of its steps, as a file tells them or as they are given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from storage.errors import StorageError
from storage.importing.sources import SourceFile

__all__ = ["box", "step_times"]

_TIMES = ("times", "time", "t", "t-coordinate")


def box(
    source: SourceFile, shape: tuple[int, ...], domain: Sequence[float] | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the corners of the box of the points.

    Args:
        source: the open file, where coordinates are looked for.
        shape: points along each axis.
        domain: low and high of each axis, instead.

    Raises:
        StorageError: the points aren't equally spaced, or the domain is none.
    """
    low, high = [0.0] * len(shape), [1.0] * len(shape)
    for axis, size in enumerate(shape):
        keys = [f"{'xyz'[axis]}-coordinate", f"axes/{'xyz'[axis]}"]
        key = next((key for key in keys if source.shapes.get(key) == (size,)), None)
        if domain is not None:
            low[axis], high[axis] = float(domain[2 * axis]), float(domain[2 * axis + 1])
        elif key is not None:
            low[axis], high[axis] = _ends(source, key)
        if not np.isfinite([low[axis], high[axis]]).all() or not low[axis] < high[axis]:
            raise StorageError(
                f"the domain is from {low[axis]} to {high[axis]} along {'xyz'[axis]}; expected "
                "finite ascending numbers, such as --domain 0,1,0,1"
            )
    return tuple(low), tuple(high)


def _ends(source: SourceFile, key: str) -> tuple[float, float]:
    places = source.whole(key).astype(np.float64)
    first, last = float(places[0]), float(places[-1])
    even = np.linspace(first, last, len(places))
    if not np.abs(places - even).max() <= 1e-5 * abs(last - first):
        raise StorageError(
            f"{source.path}: {key} isn't equally spaced; only regular grids are imported"
        )
    return first, last


def step_times(source: SourceFile, count: int) -> npt.NDArray[np.float64] | None:
    """Return the times of `count` steps in the file, None if it has none.

    Some files have the end of the last step, too.

    Raises:
        StorageError: times differ by sample.
    """
    for key in _TIMES:
        shape = source.shapes.get(key, ())
        if len(shape) not in (1, 2) or not count <= shape[-1] <= count + 1 or not shape[0]:
            continue
        times = np.atleast_2d(source.whole(key).astype(np.float64))[:, :count]
        if not np.array_equal(times, np.broadcast_to(times[0], times.shape)):
            raise StorageError(
                f"{source.path}: {key} differ by sample; only common times are imported"
            )
        return times[0]
    return None
