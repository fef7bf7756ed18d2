"""How far a data set is solved, and at what cost, from `order.h5` and `scalars.h5`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from storage.common import digest
from storage.errors import DamagedFile
from storage.folder import DataFolder
from storage.hdf5 import opened

__all__ = ["solve_figures", "unsolved"]

_MOST = 10**8


def unsolved(folder: DataFolder, asked: range | None, done: int) -> int:
    """Return how many samples are asked for and neither stored nor given up.

    Args:
        folder: the data set.
        asked: ids that its spec asks for; None: all of `order.h5`.
        done: samples that are stored or failed; used only where `order.h5` is missing.

    Raises:
        DamagedFile: `order.h5` is damaged.
    """
    if not folder.order.exists():
        return max(0, len(asked) - done) if asked is not None else 0
    committed = folder.committed()
    with opened(folder.order) as file:
        groups = dict(file["segments"].items()) if "segments" in file else {}
        return sum(_open_ids(int(s), group, committed, asked) for s, group in groups.items())


def _open_ids(
    segment: int, group: h5py.Group, committed: set[tuple[int, int]], asked: range | None
) -> int:
    """Ids of a segment in batches without a record, of those that are asked for."""
    if "offsets" not in group:
        return _counted(_values(group["ids"]), asked)
    offsets = _values(group["offsets"])
    sizes = np.diff(offsets)
    batches = [b for b in np.flatnonzero(sizes) if (segment, int(b)) not in committed]
    if not batches:
        return 0
    order = _values(group["ids"])[_values(group["path"])]
    return sum(_counted(order[offsets[b] : offsets[b + 1]], asked) for b in batches)


def _counted(ids: Any, asked: range | None) -> int:
    if asked is None:
        return len(ids)
    return int(np.sum((ids >= asked.start) & (ids < asked.stop)))


def solve_figures(
    folder: DataFolder, manifest: Mapping[str, Any]
) -> tuple[float | None, float | None]:
    """Return mean iterations and the worst true residual, from `scalars.h5`.

    None for both where the file is missing, damaged or of other shards.
    """
    try:
        with opened(folder.scalars) as file:
            names = [str(name) for name in file.attrs["names"]]
            if file.attrs["digest"] != digest(manifest):
                return None, None
            mean = _reduced(file, names, "iterations", np.mean)
            return mean, _reduced(file, names, "true_residual", np.max)
    except (FileNotFoundError, DamagedFile, KeyError):
        return None, None


def _reduced(file: h5py.File, names: list[str], name: str, what: Any) -> float | None:
    values = _values(file[f"{names.index(name):04d}"]) if name in names else np.empty(0)
    value = float(what(values)) if len(values) else np.nan
    return value if np.isfinite(value) else None


def _values(item: h5py.Dataset) -> Any:
    """All values, of no more than a data set can have: a header may claim anything."""
    if item.size is None or item.size > _MOST:
        raise ValueError(f"{item.name} claims {item.size} numbers")
    return item[()]
