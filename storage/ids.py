"""Sample ids as JSON: a list in which a run of consecutive ids is a pair [first, end)."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["IdArray", "ascending", "pack_ids", "unpack_ids", "unpack_many"]

type IdArray = npt.NDArray[np.int64]

_MOST = 10**8


def pack_ids(ids: npt.ArrayLike) -> list[Any]:
    """Pack ids, keeping their order: runs of three or more become [first, end)."""
    array = np.asarray(ids, dtype=np.int64).ravel()
    cuts = np.flatnonzero(np.diff(array) != 1) + 1
    packed: list[Any] = []
    for start, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(array)], strict=True):
        if end - start > 2:
            packed.append([int(array[start]), int(array[start]) + end - start])
        else:
            packed.extend(array[start:end].tolist())
    return packed


def unpack_ids(packed: Iterable[Any], most: int = _MOST) -> IdArray:
    """Unpack what `pack_ids` made; a plain list of ids is fine.

    Args:
        packed: the list.
        most: ids that it may stand for.

    Raises:
        ValueError: an item is neither an id nor a pair [first, end), or they are more than any
            data set has (a few damaged bytes must not fill the memory).
    """
    try:
        items = [
            range(*item) if isinstance(item, list) else (operator.index(item),) for item in packed
        ]
        if sum(map(len, items)) > most:
            raise ValueError(f"more than {most} ids")
        return np.fromiter(chain.from_iterable(items), dtype=np.int64)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"ids must be integers or pairs [first, end) ({error})") from error


def unpack_many(parts: Sequence[list[Any]]) -> tuple[IdArray, IdArray]:
    """Unpack many lists at once: all ids in one array, and how many each list held.

    Raises:
        ValueError: see `unpack_ids`.
    """
    try:
        ids = np.fromiter(chain.from_iterable(parts), dtype=np.int64)
        sizes = [len(part) for part in parts]
    except (TypeError, ValueError):  # some are packed in pairs
        arrays, left = [np.empty(0, np.int64)], _MOST
        for part in parts:
            arrays.append(_unpacked(part, left))
            left -= len(arrays[-1])
        ids, sizes = np.concatenate(arrays), [len(array) for array in arrays[1:]]
    return ids, np.array(sizes, dtype=np.int64)


def _unpacked(part: list[Any], most: int) -> IdArray:
    """One list, quickly if it has no pair."""
    try:
        return np.fromiter(part, dtype=np.int64)
    except (TypeError, ValueError):
        return unpack_ids(part, most)


def ascending(ids: IdArray) -> IdArray:
    """Return the positions of ids ≥ 0 in ascending order: (n).

    Ids have few gaps as a rule. Then each goes to its place, and nothing needs to be sorted.
    """
    if not len(ids) or ids.min() < 0 or ids.max() > 8 * len(ids):
        return np.argsort(ids)
    place = np.full(ids.max() + 1, -1)
    place[ids] = np.arange(len(ids))
    found = place[place >= 0]
    return found if len(found) == len(ids) else np.argsort(ids)  # some are there twice
