"""Confidence intervals of mean errors by the bootstrap.

Over samples alone: bias-corrected and accelerated (BCa; B. Efron, J. Am. Stat. Assoc. 82 (1987)
171). Over samples and seeds, which are crossed: samples and seeds are drawn independently, with
replacement, and the interval is that of the percentiles (A. B. Owen, "The pigeonhole bootstrap",
Ann. Appl. Stat. 1 (2007) 386); it is rather too wide than too narrow.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap

__all__ = ["mean_interval"]

Array = NDArray[np.float64]
RESAMPLES = 2000
SEED = 20241124  # the same errors give the same interval


def mean_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the mean.

    Args:
        values: (N) errors of samples, or (S, N) of S seeds on the same samples.
        level: of confidence.

    Returns:
        Its ends; NaN where one sample says nothing about others.
    """
    table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if table.shape[1] < 2 or not np.isfinite(table).all():
        return float("nan"), float("nan")
    if np.ptp(table) == 0:
        return float(table[0, 0]), float(table[0, 0])
    return _crossed(table, level) if len(table) > 1 else _samples(table[0], level)


def _samples(values: Array, level: float) -> tuple[float, float]:
    """BCa, or percentiles where its correction is not defined."""
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scipy warns of what is looked for below
            found = bootstrap(
                (values,),
                np.mean,
                n_resamples=RESAMPLES,
                confidence_level=level,
                method=method,
                rng=np.random.default_rng(SEED),
            ).confidence_interval
        if np.isfinite([found.low, found.high]).all():
            break
    return float(found.low), float(found.high)


def _crossed(table: Array, level: float) -> tuple[float, float]:
    """Percentiles of Σ_sn w_s v_n x_sn, w and v the shares in which seeds and samples are drawn."""
    rng, (seeds, samples) = np.random.default_rng(SEED), table.shape
    w = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    v = rng.multinomial(samples, np.full(samples, 1 / samples), RESAMPLES) / samples
    means = ((w @ table) * v).sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
