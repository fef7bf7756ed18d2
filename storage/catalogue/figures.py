"""Figures of a data set: statistics of its fields, and of the numbers that describe samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from storage.dataset import Dataset

__all__ = ["figures", "is_logarithmic"]

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BINS = 20
_LARGEST = 1e300
_NO_FIGURES = ("id", "order", "reason")  # names, not amounts


def figures(dataset: Dataset) -> dict[str, Any]:
    """Return statistics of fields and of scalars, as plain data.

    Returns:
        `samples`, `failed`; `fields`: name → mean, std, min, max of the training split;
        `scalars`: name → `min`, `mean`, `max`, `total`, quantiles `q05` … `q95`, and a
        `histogram` of `edges` and `counts`, on a logarithmic scale if `log`.

    Raises:
        DamagedShard: the scalars are not stored, and a shard is damaged.
    """
    scalars = dataset.scalars if len(dataset) else {}
    return {
        "samples": len(dataset),
        "failed": len(dataset.manifest.get("failures", [])),
        "fields": (dataset.statistics or {}).get("fields", {}),
        "scalars": {
            name: _figures(values.astype(np.float64))
            for name, values in scalars.items()
            if name not in _NO_FIGURES
        },
    }


def _figures(values: npt.NDArray[np.float64]) -> dict[str, Any]:
    finite = values[np.abs(values) < _LARGEST]  # NaN and infinities are not
    found: dict[str, Any] = {"count": len(finite)}
    if not len(finite):
        return found
    found |= {"min": float(finite.min()), "mean": float(finite.mean()), "max": float(finite.max())}
    found["total"] = float(finite.sum())
    quantiles = np.quantile(finite, _QUANTILES)
    found |= {
        f"q{round(100 * q):02d}": float(v) for q, v in zip(_QUANTILES, quantiles, strict=True)
    }
    return found | {"histogram": _histogram(finite)}


def _histogram(values: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Counts in bins of equal width, or of equal ratio where that shows more."""
    low, high = float(values.min()), float(values.max())
    if high == low:
        return {"edges": [low, high], "counts": [len(values)], "log": False}
    log = is_logarithmic(values)
    whole = bool(np.all(values == np.round(values))) and high - low < _BINS
    if log:
        edges = np.geomspace(low, high, _BINS + 1)
        edges[0], edges[-1] = low, high
    elif whole:
        edges = np.arange(low - 0.5, high + 1.0)
    else:
        edges = np.linspace(low, high, _BINS + 1)
    counts, edges = np.histogram(values, edges)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "log": log}


def is_logarithmic(values: npt.NDArray[np.float64]) -> bool:
    """Whether values (n, finite) are better shown on a logarithmic scale.

    They are positive, span two decades, and their median is nearer to the middle there: numbers
    drawn uniformly from 0 to 100 span decades too, by a few of them near 0.
    """
    ends = np.array([values.min(), np.median(values), values.max()])
    if ends[0] <= 0.0 or ends[2] < 100.0 * ends[0]:
        return False
    off = [abs((x[1] - x[0]) / (x[2] - x[0]) - 0.5) for x in (ends, np.log(ends))]
    return bool(off[1] < off[0])
