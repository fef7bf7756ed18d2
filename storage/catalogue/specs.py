"""Specs as flat tables of dotted keys, to say how two differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["MISSING", "changes", "flatten"]

MISSING = "(not there)"
"""Stands for the value of a key that a spec doesn't have."""


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return dotted key → value of nested dicts; lists are values."""
    if not isinstance(value, Mapping):
        return {prefix.removesuffix("."): value}
    if not value:
        return {prefix.removesuffix("."): {}} if prefix else {}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= flatten(item, f"{prefix}{key}.")
    return found


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return key → [value before, value after] of the keys whose values differ."""
    keys = dict.fromkeys([*before, *after])
    pairs = {key: [before.get(key, MISSING), after.get(key, MISSING)] for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
