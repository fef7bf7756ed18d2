"""Statistics of fields over samples and dofs, one shard in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from storage.ids import pack_ids

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["Moments", "field_moments", "field_statistics", "stated"]


@dataclass
class Moments:
    """Count, mean and sum of squared deviations, merged as in Chan, Golub and LeVeque (1979).

    Attributes:
        count: number of values.
        mean: of the values.
        squares: Σ (x − mean)².
        low: smallest value.
        high: largest value.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    def add(self, values: npt.NDArray[Any]) -> None:
        """Merge a chunk of values of any shape."""
        if not values.size:
            return
        chunk = np.asarray(values, dtype=np.float64).ravel()
        mean = float(chunk.mean())
        deviations = chunk - mean
        squares, low, high = float(deviations @ deviations), float(chunk.min()), float(chunk.max())
        self.merge(Moments(chunk.size, mean, squares, low, high))

    def merge(self, part: Moments) -> None:
        """Merge the moments of further values."""
        if not part.count:
            return
        total, shift = self.count + part.count, part.mean - self.mean
        self.squares += part.squares
        self.squares += shift * shift * self.count * part.count / total
        self.mean += shift * part.count / total
        self.count = total
        self.low, self.high = min(self.low, part.low), max(self.high, part.high)

    def as_dict(self) -> dict[str, float | int]:
        """`mean`, `std` (population), `min`, `max` and `count`."""
        std = float(np.sqrt(self.squares / self.count)) if self.count else 0.0
        return {
            "mean": self.mean,
            "std": std,
            "min": self.low,
            "max": self.high,
            "count": self.count,
        }


def field_statistics(
    dataset: Dataset, names: Sequence[str] | None = None, workers: int = 1
) -> dict[str, Any]:
    """Statistics of every field of a data set (usually `open_dataset(…).split("train")`).

    Where times differ by sample, masked time steps are left out.

    Args:
        dataset: the samples.
        names: of fields; all by default, what is no field is left out.
        workers: number of processes that read shards.

    Returns:
        `ids`, the samples they come from (packed), and `fields`: name → mean, std, min, max
        over samples, times and dofs, and count.
    """
    work = partial(field_moments, names=names)
    empty = work(dataset.take([]))
    return stated(dataset, [empty, *dataset.each_shard(work, workers)])


def field_moments(dataset: Dataset, names: Sequence[str] | None = None) -> dict[str, Moments]:
    """Moments of every field, or of those named, over the samples of one shard."""
    fields = [*dataset.inputs, *dataset.outputs]
    moments = {name: Moments() for name in fields if names is None or name in names}
    mask = None
    if "times_mask" in dataset.columns:
        mask = dataset.read("times_mask").astype(bool)
    for name, moment in moments.items():
        values = dataset.read(name)
        timed = mask is not None and name in dataset.outputs and values.ndim > 2
        moment.add(values[mask] if timed else values)
    return moments


def stated(dataset: Dataset, parts: Iterable[dict[str, Moments]]) -> dict[str, Any]:
    """Return the moments of all shards of a data set as its manifest states them.

    They are merged in the order of the shards, whoever computed them.
    """
    total: dict[str, Moments] = {}
    for part in parts:
        for name, moments in part.items():
            total.setdefault(name, Moments()).merge(moments)
    found = {name: moments.as_dict() for name, moments in total.items()}
    return {"ids": pack_ids(dataset.ids), "fields": found}
