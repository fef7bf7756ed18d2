"""Which axes and arrays of a file are what: samples, channels, time, space; inputs and outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from storage.errors import StorageError
from storage.importing.coordinates import box, step_times
from storage.importing.parts import Part, Role, with_axes
from storage.importing.sources import SourceFile

__all__ = ["Layout", "read_layout"]

_PAIRS = (("a", "u"), ("x", "y"), ("inputs", "outputs"), ("input", "output"), ("coeff", "sol"))
_RENAMED = {key: name for pair in _PAIRS for key, name in zip(pair, ("a", "u"), strict=True)}


@dataclass(frozen=True)
class Layout:
    """What a file holds.

    Attributes:
        format: how it was recognised, for people.
        parts: its arrays; the inputs first.
        samples: how many there are.
        shape: points of the grid along each axis.
        low: of the box, the place of the first points.
        high: of the box, the place of the last points.
        times: of the time steps of the outputs; None without a time axis.
        dtype: in which all fields are stored.
    """

    format: str
    parts: tuple[Part, ...]
    samples: int
    shape: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    times: tuple[float, ...] | None
    dtype: str

    def fields(self, role: Role) -> list[str]:
        """Names of the input fields, parameters or output fields."""
        return [name for part in self.parts if part.role == role for name in part.fields]


def read_layout(
    source: SourceFile,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    axes: Sequence[str] = (),
    domain: Sequence[float] | None = None,
) -> Layout:
    """Find out what a file holds; what isn't said is recognised, or asked for.

    Args:
        source: the open file.
        inputs: keys of arrays, or `key=name1,name2` with names of the fields.
        outputs: the same of the outputs.
        axes: letters of all arrays, `ncxy`, or of one, `key=ntxy`.
        domain: low and high of each axis; default: coordinates in the file, or the unit box.

    Raises:
        StorageError: arrays are missing, don't fit each other, or can be read in several ways.
    """
    found, name = _parts(source, list(inputs), list(outputs))
    dim = None if domain is None else len(domain) // 2
    parts = with_axes(source, found, axes, dim)
    sizes = _sizes(source, parts)
    space = tuple(sizes[axis] for axis in "xyz" if axis in sizes)
    if domain is not None and len(domain) != 2 * len(space):
        raise StorageError(
            f"--domain: {len(domain)} numbers for {len(space)} axes of space; expected "
            "low and high of each, such as 0,1,0,1"
        )
    parts = [_named(source, part) for part in parts]
    _check_names([field for part in parts for field in part.fields])
    low, high = box(source, space, domain)
    kinds = [source.dtypes[part.key] for part in parts if part.role != "parameter"]
    single = all(kind.kind == "f" and kind.itemsize <= 4 for kind in kinds)
    dtype = "float32" if single else "float64"
    times = _times(source, parts, sizes)
    return Layout(name, tuple(parts), sizes["n"], space, low, high, times, dtype)


def _parts(source: SourceFile, inputs: list[str], outputs: list[str]) -> tuple[list[Part], str]:
    """Arrays and roles, axes where the format tells them."""
    keys = source.shapes
    for key, what in (("samples/id", "is a shard of a data set"), ("cells", "holds coefficients")):
        if key in keys:
            raise StorageError(
                f"{source.path}: {what} on a mesh of its own, not values on a regular grid; "
                "`rekrylov export --to npz --resolution 64` evaluates them on one"
            )
    if not inputs and not outputs:
        if (known := _pdebench(source)) is not None:
            return known
        pair = next((pair for pair in _PAIRS if set(pair) <= set(keys)), None)
        if pair is not None:
            inputs, outputs = [pair[0]], [pair[1]]
        else:  # groups of fields, as in our shards
            inputs = [key for key in keys if key.startswith(("inputs/", "parameters/"))]
            outputs = [key for key in keys if key.startswith("outputs/")]
    if not inputs or not outputs:
        raise StorageError(
            f"{source.path}: which arrays are inputs and which outputs? It holds {source.said()}; "
            "name them with --inputs KEY and --outputs KEY"
        )
    roles: list[tuple[Role, str]] = [("input", text) for text in inputs]
    roles += [("output", text) for text in outputs]
    return [_part(source, role, text) for role, text in roles], source.kind


def _part(source: SourceFile, role: Role, text: str) -> Part:
    key, _, names = text.partition("=")
    if key not in source.shapes:
        raise StorageError(f"{source.path}: has no array {key!r}; it holds {source.said()}")
    if role == "input" and (key.startswith("parameters/") or len(source.shapes[key]) == 1):
        role = "parameter"
    return Part(key, role, "", tuple(name.strip() for name in names.split(",") if name.strip()))


def _pdebench(source: SourceFile) -> tuple[list[Part], str] | None:
    """The two layouts of one file of arrays: Darcy flow, and solutions in time.

    Of the latter the first step is the input, the others are the output.
    """
    shapes = source.shapes
    if "tensor" in shapes and "nu" in shapes and len(shapes["tensor"]) == len(shapes["nu"]) + 1:
        space = "xyz"[: len(shapes["nu"]) - 1]
        solution = Part("tensor", "output", f"nc{space}", ("u",))
        return [Part("nu", "input", f"n{space}", ("a",)), solution], "PDEBench, steady"
    if "tensor" in shapes and "t-coordinate" in shapes and len(shapes["tensor"]) > 2:
        shape = shapes["tensor"]
        axes = "nt" + "xyz"[: len(shape) - 2]
        start = Part("tensor", "input", axes, ("a",), (0, 1))
        return [start, Part("tensor", "output", axes, ("u",), (1, shape[1]))], "PDEBench, in time"
    if any(re.fullmatch(r"\d+/data", key) for key in shapes):
        raise StorageError(
            f"{source.path}: has a group for each sample, as some files of PDEBench; that layout "
            "isn't read: stack the samples to arrays (N, …) first"
        )
    return None


def _sizes(source: SourceFile, parts: Sequence[Part]) -> dict[str, int]:
    """Length of each axis; n, x, y, z and t have to agree."""
    sizes: dict[str, int] = {}
    for part in parts:
        shape = source.shapes[part.key]
        if len(shape) != len(part.axes):
            raise StorageError(
                f"{source.path}: {part.key} has shape {shape}, axes {part.axes!r} are "
                f"{len(part.axes)}; say with --axes {part.key}=… what they are"
            )
        for axis, size in zip(part.axes, shape, strict=True):
            if axis != "c" and sizes.setdefault(axis, size) != size:
                raise StorageError(
                    f"{source.path}: {part.key} {shape} has {size} along {axis}, another array "
                    f"{sizes[axis]}; inputs and outputs need one grid and the same samples"
                )
        if "t" in part.axes and part.role == "input" and part.steps is None:
            raise StorageError(
                f"{source.path}: the input {part.key} has a time axis; only outputs can have one: "
                "write c for it, and each time step becomes a field"
            )
        if part.role == "parameter":
            continue
        missing = {axis for p in parts for axis in p.axes if axis in "xyz"} - set(part.axes)
        missing = missing if set(part.axes) & set("xyz") else {"x"}
        if missing:
            raise StorageError(f"{source.path}: {part.key} lacks the axes {sorted(missing)}")
    if not sizes["n"] or any(sizes[axis] < 2 for axis in "xyz" if axis in sizes):
        raise StorageError(
            f"{source.path}: holds {source.said()}; expected at least one sample, and two points "
            "along each axis of space"
        )
    return sizes


def _named(source: SourceFile, part: Part) -> Part:
    """The part with one name a channel."""
    count = source.shapes[part.key][part.axes.index("c")] if "c" in part.axes else 1
    count = 1 if part.role == "parameter" else count
    if len(part.fields) == count:
        return part
    if len(part.fields) > 1:
        raise StorageError(f"{part.key}: {count} channels, but {len(part.fields)} names for them")
    last = part.key.rpartition("/")[2]
    base = part.fields[0] if part.fields else re.sub(r"\W", "_", _RENAMED.get(last, last))
    names = (base,) if count == 1 else tuple(f"{base}{channel}" for channel in range(count))
    return replace(part, fields=names)


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if not re.fullmatch(r"[A-Za-z_]\w{0,63}", name, re.ASCII) or name == "displacement":
            raise StorageError(
                f"{name!r} can't be the name of a field; give another one, such as --inputs KEY=a"
            )
        if names.count(name) > 1:
            raise StorageError(f"two fields are called {name!r}; give names: --inputs KEY=name")


def _times(
    source: SourceFile, parts: Sequence[Part], sizes: Mapping[str, int]
) -> tuple[float, ...] | None:
    """Times of the stored steps: those of the file, or the numbers 0, 1, …."""
    timed = [part for part in parts if "t" in part.axes and part.role == "output"]
    if not timed:
        return None
    count = sizes["t"]
    times = step_times(source, count)
    if times is None:
        times = np.arange(count, dtype=np.float64)
    first, end = timed[0].steps or (0, count)
    kept = times[first:end]
    if not len(kept) or not np.isfinite(kept).all() or (np.diff(kept) <= 0).any():
        raise StorageError(f"{source.path}: times {kept[:5]} … aren't finite and ascending")
    return tuple(kept.tolist())
