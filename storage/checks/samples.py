"""Samples that are alike, and samples that are constant where others aren't.

Both can be meant (a law with few values, a source that is zero now and then), so they are
warnings; a full check tells a wrong sample by its equations.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from storage.checks.finding import Finding, warning
from storage.checks.values import Digests

__all__ = ["check_samples"]

_SOME = 5
_RARE = 0.5  # of the samples: what most of them are is no mistake


def check_samples(parts: Sequence[Digests]) -> Iterator[Finding]:
    """Compare all samples of a data set.

    Two samples with the same inputs, to the last bit, or with the same outputs though their
    inputs differ; and fields that are the same number everywhere, in fewer than half of the
    samples.
    """
    if not parts:
        return
    ids = [int(i) for part in parts for i in part.ids]
    inputs = [digest for part in parts for digest in part.inputs]
    outputs = [digest for part in parts for digest in part.outputs]
    flat = {name for part in parts for name in part.constant}
    constant = {name: [flag for part in parts for flag in _flags(part, name)] for name in flat}
    same = set()
    if len(inputs) == len(ids):
        for group in _groups(ids, inputs):
            same |= set(group)
        yield from _said("duplicate.inputs", _groups(ids, inputs), "the same inputs")
    if len(outputs) == len(ids) and len(inputs) == len(ids):
        trivial = {i for i, zero in zip(ids, _trivial(constant, parts), strict=True) if zero}
        groups = [g for g in _groups(ids, outputs) if not set(g) <= same and not set(g) <= trivial]
        yield from _said("duplicate.outputs", groups, "the same outputs, of other inputs")
    for name in sorted(constant):
        yield from _constant(name, ids, constant[name])


def _flags(part: Digests, name: str) -> list[bool]:
    """Which samples of a shard are constant; none where the shard lacks the field."""
    known = part.constant.get(name)
    return [False] * len(part.ids) if known is None else known.tolist()


def _groups(ids: list[int], digests: list[bytes]) -> list[list[int]]:
    """Ids of samples with one digest, two and more."""
    counts = Counter(digests)
    groups = defaultdict(list)
    for i, digest in zip(ids, digests, strict=True):
        if counts[digest] > 1:
            groups[digest].append(i)
    return [sorted(group) for group in groups.values()]


def _said(code: str, groups: list[list[int]], what: str) -> Iterator[Finding]:
    if groups:
        count = sum(len(group) for group in groups)
        shown = ", ".join(" = ".join(map(str, g[:_SOME])) for g in sorted(groups)[:_SOME])
        yield warning(code, "shards", f"{count} samples have {what}: {shown}")


def _trivial(constant: dict[str, list[bool]], parts: Sequence[Digests]) -> np.ndarray:
    """Whether every field of a sample that could vary is constant: such as u = 0 of no source."""
    outputs = {name for part in parts for name in part.named}
    flags = [constant[name] for name in constant if name in outputs]
    return np.all(flags, axis=0) if flags else np.zeros(sum(len(p.ids) for p in parts), bool)


def _constant(name: str, ids: list[int], flags: list[bool]) -> Iterator[Finding]:
    some = sorted(i for i, flag in zip(ids, flags, strict=True) if flag)
    if some and len(some) < _RARE * len(ids):
        text = f"{name} is constant in {len(some)} of {len(ids)} samples: {some[:_SOME]}"
        yield warning("samples.constant", "shards", text)
