"""Conditions on samples, `mu > 0.01 and std(a) <= 2`, and lists of ids, `3,5,10-20`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from storage.errors import BadSelection
from storage.scalars import description, descriptions

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["describe", "holds", "parse_condition", "parse_ids"]

Array = NDArray[np.float64]
_CONDITION = re.compile(r"\s*([^\s<>=]+)\s*(<=|>=|<|>)\s*(\S+)\s*")
_MOST_IDS = 10**7  # of one range: a slip of the finger takes no memory
_COMPARE: dict[str, Callable[..., NDArray[np.bool_]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def describe(dataset: Dataset, name: str, stored: bool = True) -> Array:
    """Return one of `storage.scalars.descriptions` of all samples: (n).

    From the shards alone, whatever `scalars.h5` says, if not `stored`.

    Raises:
        BadSelection: there is no such number.
    """
    known = descriptions(dataset)
    if name not in known:
        raise BadSelection(f"{name!r}: samples of {dataset.path.name} are described by {known}")
    return description(dataset, name, stored)


def holds(dataset: Dataset, condition: str, stored: bool = True) -> NDArray[np.bool_]:
    """Return for which samples a condition holds: (n).

    Args:
        dataset: with the samples.
        condition: comparisons of descriptions with numbers, joined by `and`.
        stored: use `scalars.h5`; otherwise the shards alone.

    Raises:
        BadSelection: it isn't of that form, or samples aren't described by such a number.
    """
    kept = np.ones(len(dataset), dtype=bool)
    for name, sign, bound in parse_condition(condition):
        kept &= _COMPARE[sign](describe(dataset, name, stored), bound)
    return kept


def parse_condition(condition: str) -> list[tuple[str, str, float]]:
    """Return the comparisons (name, sign, number) of a condition; all must hold.

    Raises:
        BadSelection: it isn't of that form.
    """
    parts = []
    for part in condition.split(" and "):
        found = _CONDITION.fullmatch(part)
        try:
            name, sign, number = found.groups() if found else ("", "", "nan")
            bound = float(number)
        except ValueError:
            bound = float("nan")
        if not np.isfinite(bound):
            raise BadSelection(
                f"condition {part.strip()!r}: expected NAME < NUMBER (or <=, >, >=), several "
                "joined by `and`"
            )
        parts.append((name, sign, bound))
    return parts


def parse_ids(text: str) -> NDArray[np.int64]:
    """Return the ids of a text `3,5,10-20`, ends included.

    Raises:
        BadSelection: it isn't of that form.
    """
    found: list[NDArray[np.int64]] = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (0, -1)
        if first > last:
            raise BadSelection(
                f"ids {_start(text)!r}: expected numbers and ranges, such as 3,5,10-20"
            )
        if last - first >= _MOST_IDS:
            raise BadSelection(f"ids {_start(text)!r}: {part.strip()} are more than {_MOST_IDS:,}")
        found.append(np.arange(first, last + 1, dtype=np.int64))
    return np.unique(np.concatenate(found))


def _start(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
