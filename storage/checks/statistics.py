"""Checks of stored statistics against moments gathered shard by shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from storage.checks.finding import Finding, error, one_line
from storage.files import plain
from storage.ids import IdArray, unpack_ids
from storage.statistics import Moments

__all__ = ["check_statistics", "merged"]

_CODE = "manifest.statistics"
_ROUNDING = 1e-9


def merged(parts: Sequence[dict[str, Moments]]) -> dict[str, Moments]:
    """Moments of all shards together: field → moments."""
    total: dict[str, Moments] = {}
    for part in parts:
        for name, moments in part.items():
            total.setdefault(name, Moments()).merge(moments)
    return total


def check_statistics(
    stated: Any, found: dict[str, Moments], training: IdArray, place: str
) -> Iterator[Finding]:
    """Compare stated statistics with those of the data.

    Args:
        stated: `statistics` of a manifest or of a problem definition.
        found: field → moments of the training samples.
        training: ids of these samples.
        place: what they are of, for messages.
    """
    try:
        if not np.array_equal(np.sort(unpack_ids(stated["ids"])), training):
            yield error(_CODE, "manifest.json", f"{place}not from the ids of the training split")
        for name, field in stated["fields"].items():
            values = plain(found[name].as_dict()) if name in found else None
            if values is None:
                yield error(_CODE, "manifest.json", f"{place}{name} is not a field of the shards")
            elif values["count"] or field["count"]:
                yield from _compare(name, field, values, place)
        if lost := sorted(set(found) - set(stated["fields"])) if not place else []:
            yield error(_CODE, "manifest.json", f"lacks those of {lost}")
    except Exception as problem:
        text = f"{place}statistics are missing or malformed ({problem!r})"
        yield error(_CODE, "manifest.json", one_line(text))


def _compare(
    name: str, stated: dict[str, Any], values: dict[str, Any], place: str
) -> Iterator[Finding]:
    scale = max(values["max"] - values["min"], abs(values["mean"]), 1e-300)
    for key, value in values.items():
        if not abs(value - stated[key]) <= _ROUNDING * scale:
            text = f"{place}{key} of {name} is {stated[key]}, the data give {value}"
            yield error(_CODE, "manifest.json", text)
