"""Which stored time steps of each sample count, and when they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["Steps"]


class Steps:
    """The time steps of the samples of a data set.

    Attributes:
        stored: how many steps the outputs have on disk, 0 without a time axis.
    """

    def __init__(self, dataset: Dataset) -> None:
        columns = dataset.columns
        self._mask = dataset.column("times_mask") if "times_mask" in columns else None
        self._times = dataset.column("times") if "times" in columns else dataset.times
        shapes = [columns[f"outputs/{name}"]["shape"] for name in dataset.outputs]
        self.stored = next((int(shape[0]) for shape in shapes if len(shape) == 2), 0)

    def kept(self, row: int) -> NDArray[np.int64]:
        """Positions of the steps of a sample that count."""
        return np.arange(self.stored) if self._mask is None else np.flatnonzero(self._mask[row])

    def counts(self, samples: int) -> NDArray[np.int64]:
        """(samples) how many count."""
        if self._mask is None:
            return np.full(samples, self.stored)
        return self._mask.sum(axis=1).astype(np.int64)

    def times(self, row: int) -> NDArray[np.float64]:
        """Their times; 1, 2, … where none are stored."""
        kept = self.kept(row)
        if self._times is None:
            return kept.astype(np.float64) + 1.0
        times = self._times[row] if self._times.ndim == 2 else self._times
        return np.asarray(times, dtype=np.float64)[kept]
