"""Checks of the values of one shard, read once, some rows at a time."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from storage.checks.finding import Finding, error
from storage.rows import blocks
from storage.statistics import Moments

__all__ = ["Digests", "check_values"]

type Array = npt.NDArray[Any]

_BLOCK = 1 << 22
_SOME = 5
_DIGEST = 16


@dataclass
class Digests:
    """Whether samples are alike, without their values.

    Attributes:
        ids: (n) of the samples.
        inputs: (n) digests of all their inputs and parameters; empty if they have none.
        outputs: (n) digests of all their outputs.
        constant: field → (n) whether it is the same number everywhere.
        named: output fields.
    """

    ids: npt.NDArray[np.int64]
    inputs: list[bytes]
    outputs: list[bytes]
    constant: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    named: frozenset[str] = frozenset()


class _Hashes:
    """One hash a sample."""

    def __init__(self, count: int) -> None:
        self._hashes = [hashlib.blake2b(digest_size=_DIGEST) for _ in range(count)]
        self._used = False

    def add(self, first: int, values: Array) -> None:
        self._used = True
        for row, sample in enumerate(values, start=first):
            self._hashes[row].update(np.ascontiguousarray(sample).data)

    def digests(self) -> list[bytes]:
        return [each.digest() for each in self._hashes] if self._used else []


def check_values(
    file: h5py.File,
    ids: npt.NDArray[np.int64],
    boundary: Mapping[str, tuple[Any, Any]],
    training: Mapping[str, npt.NDArray[np.int64]],
    findings: list[Finding],
    location: str,
) -> tuple[Digests, dict[str, dict[str, Moments]]]:
    """Look for NaN, Inf and lacking boundary values, and gather what all shards tell together.

    Args:
        file: an open shard.
        ids: (n) its samples.
        boundary: output field → (constrained dofs, their values).
        training: name → ids of the samples that statistics are of, ascending.
        findings: what is found is appended.
        location: of the shard.

    Returns:
        Digests of the samples; and name → field → moments of those of `training`.
    """
    mask = file["times_mask"][()].astype(bool) if "times_mask" in file else None
    fitted = {name: _among(ids, some) for name, some in training.items()}
    moments: dict[str, dict[str, Moments]] = {name: {} for name in training}
    inputs, outputs = _Hashes(len(ids)), _Hashes(len(ids))
    digests = Digests(ids, [], [])
    for kind, name in _columns(file):
        timed = kind == "outputs" and file[f"{kind}/{name}"].ndim > 2
        used = mask if timed else None
        finite, lacking = np.ones(len(ids), bool), np.zeros(len(ids), bool)
        constant = np.zeros(len(ids), bool)
        for first, values in _blocks(file[f"{kind}/{name}"]):
            rows = slice(first, first + len(values))
            (outputs if kind == "outputs" else inputs).add(first, values)
            seen = _seen(values, None if used is None else used[rows])
            finite[rows], constant[rows] = _finite(seen), _constant(seen)
            if kind == "outputs" and name in boundary:
                lacking[rows] = _lack(seen, *boundary[name], values.dtype)
            if kind != "parameters":
                for key, chosen in fitted.items():
                    moment = moments[key].setdefault(name, Moments())
                    for part in _parts(seen, chosen[rows] & finite[rows]):
                        moment.add(part)
        if kind != "parameters":
            digests.constant[name] = constant
        _say(findings, location, f"{kind}/{name}", ids, finite, lacking)
    digests.inputs, digests.outputs = inputs.digests(), outputs.digests()
    digests.named = frozenset(name for kind, name in _columns(file) if kind == "outputs")
    return digests, moments


def _among(ids: npt.NDArray[np.int64], some: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which ids are among some, ascending ones: `some` may be a million, `ids` are a few."""
    if not len(some):
        return np.zeros(len(ids), bool)
    place = np.minimum(np.searchsorted(some, ids), len(some) - 1)
    return some[place] == ids


def _columns(file: h5py.File) -> list[tuple[str, str]]:
    kinds = [kind for kind in ("inputs", "outputs", "parameters") if kind in file]
    return [(kind, name) for kind in kinds for name in file[kind]]


def _blocks(dataset: h5py.Dataset) -> Iterator[tuple[int, Array]]:
    row = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    for rows in blocks(len(dataset), row, _BLOCK):
        yield rows.start, dataset[rows]


def _seen(values: Array, mask: Array | None) -> Any:
    """The values of each sample that count: without masked time steps."""
    if mask is None or mask.shape[1] != values.shape[1]:
        return values
    return [sample[used] for sample, used in zip(values, mask, strict=True)]


def _finite(seen: Any) -> Any:
    if isinstance(seen, np.ndarray):
        return np.isfinite(seen).reshape(len(seen), -1).all(axis=1)
    return [bool(np.isfinite(sample).all()) for sample in seen]


def _constant(seen: Any) -> Any:
    if isinstance(seen, np.ndarray):
        flat = seen.reshape(len(seen), -1)
        return (flat == flat[:, :1]).all(axis=1) & (flat.shape[1] > 1)
    return [sample.size > 1 and bool((sample == sample.flat[0]).all()) for sample in seen]


def _parts(seen: Any, chosen: npt.NDArray[np.bool_]) -> Iterator[Array]:
    if isinstance(seen, np.ndarray):
        yield seen[chosen]
    else:
        yield from (seen[row] for row in np.flatnonzero(chosen))


def _lack(seen: Any, dofs: Array, values: Array, dtype: np.dtype[Any]) -> list[bool]:
    tolerance = 16 * np.finfo(dtype).eps * max(1.0, float(np.abs(values).max(initial=0)))
    return [bool(np.any(~(np.abs(sample[..., dofs] - values) <= tolerance))) for sample in seen]


def _say(
    findings: list[Finding],
    location: str,
    column: str,
    ids: npt.NDArray[np.int64],
    finite: npt.NDArray[np.bool_],
    lacking: npt.NDArray[np.bool_],
) -> None:
    if not finite.all():
        text = f"{column} holds NaN or Inf in samples {ids[~finite][:_SOME].tolist()}"
        findings.append(error("values.nonfinite", location, text))
    if (lacking & finite).any():
        some = ids[lacking & finite][:_SOME].tolist()
        text = f"{column} of samples {some} lacks its values on constrained dofs"
        findings.append(error("values.boundary", location, text))
