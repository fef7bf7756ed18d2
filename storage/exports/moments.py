"""Means, standard deviations and rms of fields and of their changes in time, as data pass by."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments"]


class Moments:
    """Moments by field, over samples, frames and points; of a vector field by component."""

    def __init__(self) -> None:
        self._fields: dict[str, _Running] = defaultdict(_Running)
        self._changes: dict[str, _Running] = defaultdict(_Running)

    def add(self, name: str, values: NDArray[Any], in_time: bool, order: int) -> None:
        """Take the values of a sample.

        Args:
            name: of the field.
            values: its values, the frames first if it varies in time.
            in_time: whether it does.
            order: how many of the last axes are components.
        """
        self._fields[name].add(values, order)
        if in_time:  # a single frame doesn't change
            changes = np.diff(values.astype(np.float64), axis=0)
            self._changes[name].add(changes if len(values) > 1 else 0.0 * values, order)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """`mean`, `std`, `rms` and `mean_delta`, `std_delta`, `rms_delta` → field → value."""
        found: dict[str, dict[str, Any]] = {}
        for suffix, running in (("", self._fields), ("_delta", self._changes)):
            for kind in ("mean", "std", "rms"):
                found[kind + suffix] = {name: r.value(kind) for name, r in running.items()}
        return found


class _Running:
    """Count, mean and sum of squared differences from it, combined batch by batch."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, np.zeros(()), np.zeros(())

    def add(self, values: NDArray[Any], order: int) -> None:
        flat = values.astype(np.float64).reshape(-1, *values.shape[values.ndim - order :])
        flat = flat[np.isfinite(flat).reshape(len(flat), -1).all(axis=1)]  # not those outside
        if not len(flat):
            return
        mean, count = flat.mean(axis=0), self.count + len(flat)
        step = mean - self.mean
        self.squares = (
            self.squares
            + ((flat - mean) ** 2).sum(axis=0)
            + step**2 * (self.count * len(flat) / count)
        )
        self.mean = self.mean + step * (len(flat) / count)
        self.count = count

    def value(self, kind: str) -> Any:
        variance = self.squares / max(1, self.count)
        found = {
            "mean": self.mean,
            "std": np.sqrt(variance),
            "rms": np.sqrt(variance + self.mean**2),
        }[kind]
        return found.tolist()
