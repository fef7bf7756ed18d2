"""Opening a long `manifest.json` without making a Python number of each id in it.

A million ids take most of the time that opening a data set would. So the lists of ids are cut out
of the text; those of the shards are read into one array, and the whole manifest is parsed for who
asks for it.
"""

from __future__ import annotations

import functools
import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from storage.folder import DataFolder
from storage.ids import IdArray
from storage.manifest import parse_manifest
from storage.splits import OOD

__all__ = ["Listed", "Whole", "listed"]

_LONG = 1 << 16  # characters; a shorter text is parsed as it is
_IDS = re.compile(r'"ids": (\[[\[\]0-9, ]*\])')  # a key: within a text its quotes have backslashes
_MARK = "\0"  # no list of ids is such a text


class Whole:
    """A manifest as text, parsed when it is asked for."""

    def __init__(self, folder: DataFolder, text: str) -> None:
        self._folder, self._text = folder, text

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_text": self._text}

    @functools.cached_property
    def value(self) -> dict[str, Any]:
        """The manifest; raises DamagedFile if it is malformed."""
        return parse_manifest(self._folder, self._text)


@dataclass(frozen=True)
class Listed:
    """A long manifest, opened.

    Attributes:
        manifest: with a mark in the place of each list of ids.
        ids: of all shards, in turn.
        sizes: how many each shard has.
        whole: the manifest as it is.
    """

    manifest: dict[str, Any]
    ids: IdArray
    sizes: IdArray
    whole: Whole


def listed(folder: DataFolder, text: str) -> Listed | None:
    """Open a manifest's text; None if it is short, or not as this package writes a list of ids.

    Raises:
        FormatMismatch: it has another format.
        DamagedFile: it is malformed.
    """
    if len(text) < _LONG:
        return None
    pieces = _IDS.split(text)
    rest, lists = pieces[::2], pieces[1::2]
    marked = [part for k, piece in enumerate(rest) for part in (piece, f'"ids": "\\u0000{k}"')]
    manifest = parse_manifest(folder, "".join(marked[:-1]))
    known = {f"{_MARK}{k}": ids for k, ids in enumerate(lists)}
    splits, marks = manifest.get("splits"), [shard["ids"] for shard in manifest["shards"]]
    if not all(type(mark) is str and mark in known for mark in marks):
        return None
    if isinstance(splits, dict) and OOD in splits:  # they hold ids, too
        return None
    found = _joined([known[mark] for mark in marks])
    return None if found is None else Listed(manifest, *found, Whole(folder, text))


def _joined(lists: list[str]) -> tuple[IdArray, IdArray] | None:
    """All ids of some lists, and how many each has; None if one has a pair or is damaged."""
    text = "".join(lists)
    if not lists or not text.count("[") == text.count("]") == text.count("][") + 1 == len(lists):
        return None
    text = text[1:-1].replace("][", ", ")
    sizes = np.array([each.count(",") + 1 for each in lists], dtype=np.int64)
    if not text.count(", ") == text.count(" ") == text.count(",") == sizes.sum() - 1:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # what NumPy says of a missing number
        try:
            ids = np.fromstring(text, dtype=np.int64, sep=",")
        except (DeprecationWarning, ValueError):
            return None
    return (ids, sizes) if len(ids) == sizes.sum() and ids.max() < 2**62 else None
