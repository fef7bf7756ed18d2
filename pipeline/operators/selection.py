"""Numbers that describe a sample, and conditions on them: `mu > 0.01 and std(a) <= 2`.

A sample has its parameters, and of its input fields

    mean(a) = ⨍ a,   std(a) = (⨍ (a − mean)²)^½   of scalar ones,   rms(a) = (⨍ |a|²)^½   of others.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.evaluation import volumes
from pipeline.operators.fe.normalisation import positions
from pipeline.operators.fe.norms import norm
from storage import Dataset

__all__ = ["describe", "descriptions", "holds", "parse_ids"]

Array = NDArray[np.float64]
_CONDITION = re.compile(r"\s*([^\s<>=]+)\s*(<=|>=|<|>)\s*(\S+)\s*")
_COMPARE: dict[str, Callable[..., NDArray[np.bool_]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def descriptions(dataset: Dataset) -> list[str]:
    """Names of all numbers that describe a sample: parameters, then those of input fields."""
    names = [n for n in dataset.parameters if dataset.columns[f"parameters/{n}"]["shape"] == []]
    for field in dataset.inputs:
        kinds = ("mean", "std") if _is_scalar(dataset, field) else ("rms",)
        names += [f"{kind}({field})" for kind in kinds]
    return names


def describe(dataset: Dataset, name: str) -> Array:
    """Return one of `descriptions` of all samples: (n).

    Raises:
        TrainingError: there is no such number.
    """
    known = descriptions(dataset)
    if name not in known:
        raise TrainingError(f"{name!r}: samples of {dataset.path.name} are described by {known}")
    if name in dataset.parameters:
        return dataset.read(name).astype(np.float64)
    kind, field = name.rstrip(")").split("(")
    space = dataset.spaces[dataset.fields[field].space]
    mass, volume = csr_matrix(space["grams"]["mass"]), float(volumes(dataset.mesh).sum())
    weights = np.asarray(mass.sum(axis=0)).ravel()
    found = np.empty(len(dataset))
    for rows in positions(dataset):
        values = dataset.read(field, rows).astype(np.float64).reshape(len(rows), -1)
        mean = values @ weights / volume
        if kind == "std":
            values = values - mean[:, None]
        found[rows] = mean if kind == "mean" else norm(mass, values) / np.sqrt(volume)
    return found


def holds(dataset: Dataset, condition: str) -> NDArray[np.bool_]:
    """Return for which samples a condition holds: (n).

    Args:
        dataset: with the samples.
        condition: comparisons of `descriptions` with numbers, joined by `and`.

    Raises:
        TrainingError: it isn't of that form.
    """
    kept = np.ones(len(dataset), dtype=bool)
    for part in condition.split(" and "):
        found = _CONDITION.fullmatch(part)
        try:
            name, sign, number = found.groups() if found else ("", "", "nan")
            bound = float(number)
        except ValueError:
            bound = float("nan")
        if not np.isfinite(bound):
            raise TrainingError(
                f"condition {part.strip()!r}: expected NAME < NUMBER (or <=, >, >=), several "
                "joined by `and`"
            )
        kept &= _COMPARE[sign](describe(dataset, name), bound)
    return kept


def parse_ids(text: str) -> NDArray[np.int64]:
    """Return the ids of a text `3,5,10-20`, ends included.

    Raises:
        TrainingError: it isn't of that form.
    """
    found: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if ends is None:
            raise TrainingError(f"ids {text!r}: expected numbers and ranges, such as 3,5,10-20")
        found += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    return np.unique(np.array(found, dtype=np.int64))


def _is_scalar(dataset: Dataset, field: str) -> bool:
    space = dataset.spaces[dataset.fields[field].space]
    return "points" in space and int(space["block_size"]) == 1
