"""What may be chosen of an export, and which fields it is of."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.errors import BadSelection

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = [
    "DISPLACEMENT",
    "ExportOptions",
    "chosen_fields",
    "is_moving",
    "parse_resolution",
    "silent",
]

DISPLACEMENT = "displacement"
"""The input that moves the mesh of each sample."""


def silent(done: int) -> None:
    """Say nothing about progress."""


@dataclass(frozen=True)
class ExportOptions:
    """What may be chosen of an export.

    Attributes:
        fields: names of fields; None for all.
        resolution: points of the regular grid in each direction, or one number for all; None for
            that of the data set (of coefficients, where a format can hold them).
        outside: the value at grid points outside of the domain, 0 or NaN.
        zero_frame: The Well: a frame of zeros before a steady solution.
        force: replace an older export of the same name.
        progress: is told how many samples are done.
    """

    fields: tuple[str, ...] | None = None
    resolution: tuple[int, ...] | None = None
    outside: float = 0.0
    zero_frame: bool = False
    force: bool = False
    progress: Callable[[int], None] = silent


def chosen_fields(dataset: Dataset, options: ExportOptions) -> tuple[list[str], list[str]]:
    """Return the names of the input and output fields of an export.

    Raises:
        BadSelection: the data set has no such field, or there is nothing to export.
    """
    known = [*dataset.inputs, *dataset.outputs]
    if not len(dataset):
        raise BadSelection(f"{dataset.path}: no sample is chosen; choose other ids or a split")
    for name in options.fields or ():
        if name not in known:
            raise BadSelection(f"field {name!r}: {dataset.path.name} has {known}")

    def wanted(names: Sequence[str]) -> list[str]:
        return [name for name in names if options.fields is None or name in options.fields]

    return wanted(dataset.inputs), wanted(dataset.outputs)


def is_moving(dataset: Dataset) -> bool:
    """Whether every sample has a mesh of its own, moved by its displacement."""
    return DISPLACEMENT in dataset.inputs


def parse_resolution(text: str) -> tuple[int, ...]:
    """Return the numbers of a text `64` or `64x32`.

    Raises:
        BadSelection: it isn't of that form, or a number is below 2.
    """
    if not re.fullmatch(r"\d+(x\d+){0,2}", text) or min(map(int, text.split("x"))) < 2:
        raise BadSelection(f"resolution {text!r}: expected points per direction ≥ 2: 64 or 64x32")
    return tuple(map(int, text.split("x")))
