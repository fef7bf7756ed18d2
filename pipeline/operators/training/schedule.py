"""The one-cycle learning rate as a function of the position in the run, not of its past.

A resumed run needs no state of it, and a run with a budget of time can be at any position.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Rates", "one_cycle"]

RISE = 0.2
START, END = 1 / 25, 1 / 250_000
BETA_HIGH, BETA_LOW = 0.95, 0.85


class Rates(NamedTuple):
    """Learning rate and the first moment's decay β₁ of AdamW."""

    lr: float
    beta: float


def one_cycle(step: float, steps: int, peak: float) -> Rates:
    """Cosine from peak/25 to the peak in a fifth of the steps, then down to peak/250000.

    β₁ runs the other way, between 0.95 and 0.85. The values are those of PyTorch's `OneCycleLR`
    with `pct_start=0.2` (Smith and Topin, arXiv 1708.07120).

    Args:
        step: from 0 to steps − 1; needn't be an integer.
        steps: of the whole run, at least 2.
        peak: largest learning rate.
    """
    top, last = RISE * steps - 1, steps - 1
    if step < top:
        part = step / top
        return Rates(_cosine(START * peak, peak, part), _cosine(BETA_HIGH, BETA_LOW, part))
    part = min(1.0, (step - top) / (last - top))
    return Rates(_cosine(peak, END * peak, part), _cosine(BETA_LOW, BETA_HIGH, part))


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))
