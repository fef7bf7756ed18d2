"""Arrays of a file and what their axes are: samples, channels, time, space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from storage.errors import StorageError
from storage.importing.coordinates import step_times
from storage.importing.sources import SourceFile

__all__ = ["Part", "Role", "with_axes"]

type Role = Literal["input", "parameter", "output"]

_FEW = 8  # more are hardly channels, and fewer hardly points of a grid


@dataclass(frozen=True)
class Part:
    """An array of the file and the fields it gives.

    Attributes:
        key: of the array.
        role: of its fields.
        axes: what each axis is: n samples, c channels, t time, x, y, z space; `n` and `nc` are
            numbers of each sample, a parameter.
        fields: their names, one a channel.
        steps: which time steps are taken; an input takes one, without a time axis.
    """

    key: str
    role: Role
    axes: str
    fields: tuple[str, ...]
    steps: tuple[int, int] | None = None

    def columns(self, block: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """Return the columns of a block of samples: field → (n, points) or (n, T, points)."""
        if self.role == "parameter":
            return {self.fields[0]: np.moveaxis(block, self.axes.index("n"), 0)}
        order = [axis for axis in "cntxyz" if axis in self.axes]
        values = block.transpose([self.axes.index(axis) for axis in order])
        values = values if "c" in self.axes else values[None]
        if "t" not in self.axes:
            values = values.reshape(*values.shape[:2], -1)
            return dict(zip(self.fields, values, strict=True))
        first, end = self.steps or (0, values.shape[2])
        values = values[:, :, first:end].reshape(*values.shape[:2], end - first, -1)
        values = values[:, :, 0] if self.role == "input" else values
        return dict(zip(self.fields, values, strict=True))


def with_axes(
    source: SourceFile, parts: Sequence[Part], axes: Sequence[str], dim: int | None
) -> list[Part]:
    """Return the parts with the axes that are said, or that the shapes leave no doubt about.

    Args:
        source: the open file.
        parts: some may have axes already.
        axes: letters of all arrays, or `key=letters`.
        dim: axes of space, if they are known.

    Raises:
        StorageError: letters that are none, an unknown key, or shapes of several meanings.
    """
    given = dict(_split(text) for text in axes)
    keys = [part.key for part in parts]
    for key in set(given) - {"", *keys}:
        raise StorageError(f"--axes {key}=…: is none of {keys}")
    found = [_said(source, part, given) for part in parts]
    if dim is None:
        said = max((len(set(letters) & set("xyz")) for letters in given.values()), default=0)
        dim = said or _told_by_shapes(source, [p for p in found if not p.axes])
    return [part if part.axes else replace(part, axes=_likely(source, part, dim)) for part in found]


def _said(source: SourceFile, part: Part, given: Mapping[str, str]) -> Part:
    """The part with the axes that are said; without axes of space it is a parameter."""
    if part.axes:
        return part
    said = given.get(part.key) or ("" if part.role == "parameter" else given.get("", ""))
    if part.role == "parameter" and not said:
        said = "nc" if len(source.shapes[part.key]) == 2 else "n"
    if part.role == "input" and said and not set(said) & set("xyz"):
        return replace(part, axes=said, role="parameter")
    return replace(part, axes=said)


def _split(text: str) -> tuple[str, str]:
    """Key ("" for all arrays) and letters of `key=ncxy`."""
    key, equals, letters = text.rpartition("=")
    letters = letters.strip().lower()
    space = "".join(sorted(set(letters) & set("xyz")))
    doubled = len(set(letters)) != len(letters)
    numbers = set(letters) in ({"n"}, {"n", "c"})
    if doubled or set(letters) - set("nctxyz") or not (numbers or space in ("x", "xy", "xyz")):
        raise StorageError(
            f"--axes {text}: expected each of n (samples), c (channels), t (time), x, y, z at "
            "most once, in the order of the array, such as ncxy"
        )
    if "n" not in letters:
        raise StorageError(f"--axes {text}: lacks n, the axis of the samples")
    return (key if equals else ""), letters


def _told_by_shapes(source: SourceFile, parts: Sequence[Part]) -> int | None:
    """Axes of space of arrays (N, [C,] X[, Y[, Z]]), as far as the shapes tell."""
    shapes = [source.shapes[part.key] for part in parts]
    if not shapes or any(len(s) > 2 and s[-1] <= _FEW < min(s[1:-1]) for s in shapes):
        return None  # a short axis behind long ones: channels as well as a flat grid
    least = min(len(shape) for shape in shapes)
    alike = all(len(shape) == least for shape in shapes)
    if alike and least > 2 and all(s[1] <= _FEW < min(s[2:]) for s in shapes):
        return least - 2  # a short axis in front of long ones: channels
    return least - 1


def _likely(source: SourceFile, part: Part, dim: int | None) -> str:
    """Axes of an array of `dim` axes of space, and perhaps one of channels or time."""
    shape = source.shapes[part.key]
    space = "xyz"[: dim or 0]
    if dim is not None and 1 <= dim <= 3 and len(shape) == dim + 1:
        return f"n{space}"
    if dim is not None and 1 <= dim <= 3 and len(shape) == dim + 2:
        if part.role == "output" and step_times(source, shape[1]) is not None:
            return f"nt{space}"
        if shape[1] <= _FEW:
            return f"nc{space}"
    example = "nxyc" if shape[-1] <= _FEW else "ncxy"
    raise StorageError(
        f"{source.path}: what are the axes of {part.key} {shape}? Say so with --axes "
        f"{part.key}={example} or the like: n samples, c channels, t time, x, y, z space"
    )
