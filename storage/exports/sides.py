"""The sides of the bounding box, and which fields are fixed on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["Side", "sides"]


@dataclass(frozen=True)
class Side:
    """One side of the bounding box of the mesh.

    Attributes:
        axis: the direction that it bounds.
        end: 0 for the lower, 1 for the upper end.
        kind: "wall" if a field is fixed all over it, "open" if none is.
        fixed: those fields.
    """

    axis: int
    end: int
    kind: str
    fixed: tuple[str, ...]


def sides(dataset: Dataset, outputs: Sequence[str]) -> list[Side]:
    """Return the sides; a field is fixed on one if all its dofs there carry Dirichlet data."""
    points = np.asarray(dataset.mesh["points"])
    low, high = points.min(axis=0), points.max(axis=0)
    close = 1e-9 * (high - low).max()
    found = []
    for axis in range(points.shape[1]):
        for end, place in enumerate((low[axis], high[axis])):
            fixed = tuple(n for n in outputs if _fixed(dataset, n, axis, place, close))
            found.append(Side(axis, end, "wall" if fixed else "open", fixed))
    return found


def _fixed(dataset: Dataset, name: str, axis: int, place: float, close: float) -> bool:
    field = dataset.fields[name]
    space = dataset.spaces[field.space]
    if field.constrained is None or "points" not in space:
        return False
    nodes = np.flatnonzero(np.abs(np.asarray(space["points"])[:, axis] - place) < close)
    block = int(space["block_size"])
    dofs = (nodes[:, None] * block + np.arange(block)).ravel()
    return len(dofs) > 0 and bool(np.isin(dofs, field.constrained).all())
