"""Training, validation and test: a sample's split depends on (seed, id) alone.

u(id) = mix(mix(seed) + id) / 2⁶⁴ with the finaliser `mix` of SplitMix64 (Steele, Lea and Flood,
OOPSLA 2014, fig. 17), compared with fixed thresholds. More samples never move an old one, and
neither do order, batches or failures. A split by position would be biased: shards are sorted.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.errors import FormatMismatch, StorageError
from storage.ids import IdArray, unpack_ids

__all__ = [
    "DEFAULT_FRACTIONS",
    "OOD",
    "RULE",
    "divided",
    "members_of",
    "split_ids",
    "split_names",
    "split_values",
]

RULE = "splitmix64"
OOD = "ood"

DEFAULT_FRACTIONS: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def split_values(ids: npt.ArrayLike, seed: int) -> npt.NDArray[np.float64]:
    """Return u ∈ [0, 1) of every id (shape of `ids`), uniform and independent of the others."""
    start = _mix(np.asarray(seed % 2**64, dtype=np.uint64))
    z = _mix(start + np.asarray(ids, dtype=np.int64).astype(np.uint64))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def split_ids(
    ids: npt.ArrayLike, seed: int, fractions: Mapping[str, float] = DEFAULT_FRACTIONS
) -> dict[str, IdArray]:
    """Divide ids among the splits by their hash.

    Args:
        ids: sample ids, each once, in any order.
        seed: of the splits.
        fractions: split → expected fraction, in the order of the thresholds; the ids above
            the last threshold (if the sum is below 1) are in no split.

    Returns:
        split → its ids, ascending. The sizes are binomial; for an exact size take the first n.

    Raises:
        ValueError: a fraction is negative or they add up to more than 1.
    """
    sizes = list(fractions.values())
    if min(sizes, default=0.0) < 0 or sum(sizes) > 1 + 1e-9:
        raise ValueError(f"split fractions must be ≥ 0 and add up to at most 1, got {sizes}")
    edges = [0.0, *np.cumsum(sizes).tolist()]
    if abs(edges[-1] - 1) < 1e-9:
        edges[-1] = 1.0
    array = np.sort(np.asarray(ids, dtype=np.int64).ravel())
    u = split_values(array, seed)
    bounds = zip(fractions, pairwise(edges), strict=True)
    return {name: array[(low <= u) & (u < high)] for name, (low, high) in bounds}


def divided(ids: npt.ArrayLike, rule: Mapping[str, Any]) -> dict[str, IdArray]:
    """Divide ids by the `splits` of a manifest or of a definition: split → its ids, ascending.

    With a condition, the ids it picked (as listed) are the split "ood", and only the others are
    divided by the hash: no id is in two splits.
    """
    array = np.asarray(ids, dtype=np.int64).ravel()
    if OOD not in rule:
        return split_ids(array, rule["seed"], rule["fractions"])
    outside = np.isin(array, unpack_ids(rule[OOD]["ids"]))
    members = split_ids(array[~outside], rule["seed"], rule["fractions"])
    return members | {OOD: np.sort(array[outside])}


def split_names(ids: IdArray, rule: Mapping[str, Any]) -> npt.NDArray[np.object_]:
    """Return the name of the split that each id is in: (n), the empty text for none."""
    names = np.full(len(ids), "", dtype=object)
    for name, members in divided(ids, rule).items():
        names[np.isin(ids, members)] = name
    return names


def members_of(
    name: str, n: int | None, ids: IdArray, rule: Mapping[str, Any] | None, path: Path
) -> IdArray:
    """Return the ids of one split by the rule of a manifest, or exactly the first `n` of them.

    Args:
        name: of the split.
        n: how many; None for all.
        ids: of the samples that are stored.
        rule: `splits` of the manifest, None if it has none.
        path: of the data set, for messages.

    Raises:
        StorageError: there is no rule.
        FormatMismatch: it is a rule that this version doesn't know.
        KeyError: there is no such split.
        ValueError: the split has fewer than `n` samples.
    """
    if rule is None:
        raise StorageError(f"{path}: has no splits; run `rekrylov finalise`")
    if rule["rule"] != RULE:
        raise FormatMismatch(
            f"{path}: is split by {rule['rule']!r}, this package knows {RULE!r}; "
            "use the version that wrote it"
        )
    splits = divided(ids, rule)
    if name not in splits:
        raise KeyError(f"split {name!r} is not one of {list(splits)}")
    members = splits[name]
    if n is not None and n > len(members):
        raise ValueError(f"split {name!r} has {len(members)} samples, {n} were asked for")
    return members[:n]


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = z + _GAMMA
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
