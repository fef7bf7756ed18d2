"""Samples of a data set on a regular grid, one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import BadSelection
from storage.exports.options import DISPLACEMENT, ExportOptions, chosen_fields, is_moving
from storage.exports.sampling import Evaluation, Grid, regular_grid
from storage.exports.steps import Steps
from storage.function import moved_mesh
from storage.rows import blocks

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["GridSample", "GridSamples"]

type Array = NDArray[np.float64]

READ_BYTES = 32 * 2**20


@dataclass(frozen=True, eq=False)
class GridSample:
    """One sample on the grid.

    Attributes:
        row: its position in the data set.
        inputs: field → (*shape, *value shape).
        outputs: field → (T, *shape, *value shape), T = 1 without a time axis.
        inside: (*shape) which points are in the domain; the others hold the value for outside.
    """

    row: int
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    inside: NDArray[np.bool_]


class GridSamples:
    """The samples of a data set on a regular grid, made one at a time.

    The displacement of a moving mesh is no field here: it is in what is inside.

    Attributes:
        dataset: the samples.
        grid: the points.
        inputs, outputs: names of the fields.
        moving: every sample has a mesh of its own.
        has_outside: the domain does not fill the grid, for some sample.
        start: output → the input it starts from in time, which is put before its first step.
    """

    def __init__(self, dataset: Dataset, options: ExportOptions) -> None:
        """Prepare; the cells of the points are found here unless the mesh moves.

        Raises:
            BadSelection: no such fields, no sample, or a resolution of another dimension.
        """
        self.dataset, self._outside = dataset, options.outside
        inputs, self.outputs = chosen_fields(dataset, options)
        self.inputs = [name for name in inputs if name != DISPLACEMENT]
        if not self.inputs + self.outputs:
            raise BadSelection(f"{dataset.path}: there is no field to put on a grid")
        self.grid: Grid = regular_grid(dataset, options.resolution)
        self.moving = is_moving(dataset)
        self._fields, self._spaces = dataset.fields, dataset.spaces
        self._fixed = None if self.moving else self._evaluation(dataset.mesh)
        self.has_outside = self._fixed is None or not bool(self._fixed.inside.all())
        self.start = _starts(dataset, self.outputs)
        self._steps = Steps(dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def select(self, ids: NDArray[np.int64]) -> GridSamples:
        """Return the view of some ids; cells and matrices are shared."""
        view = copy(self)
        view.dataset = self.dataset.select(ids)
        view._steps = Steps(view.dataset)
        return view

    def only(self, *fields: str) -> GridSamples:
        """Return the view with these fields alone, for a format that is written by field."""
        view = copy(self)
        view.inputs = [name for name in self.inputs if name in fields]
        view.outputs = [name for name in self.outputs if name in fields]
        return view

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n) how many frames the outputs of each sample have."""
        if not any(self.in_time(name) for name in self.outputs):
            return np.ones(len(self), dtype=np.int64)
        return self._steps.counts(len(self)) + len(self.start)

    def value_shape(self, name: str) -> tuple[int, ...]:
        """Value shape of a field: () of a scalar one."""
        shape: Any = self._spaces[self._fields[name].space]["value_shape"]
        return tuple(int(n) for n in np.atleast_1d(shape))

    def in_time(self, name: str) -> bool:
        """Whether an output has a time axis."""
        return len(self.dataset.columns[f"outputs/{name}"]["shape"]) == 2

    def times(self, row: int) -> Array | None:
        """(T) times of a sample's frames, those that count; None without a time axis."""
        if not any(self.in_time(name) for name in self.outputs):
            return None
        times = self._steps.times(row)
        return np.concatenate([[0.0], times]) if self.start else times

    def __iter__(self) -> Iterator[GridSample]:
        names = [*self.inputs, *self.outputs] + [DISPLACEMENT] * self.moving
        size = sum(self.dataset.read(name, slice(0, 1)).nbytes for name in names)
        for rows in blocks(len(self.dataset), size, READ_BYTES):
            read = {name: self.dataset.read(name, rows) for name in names}
            for k in range(rows.stop - rows.start):
                sample = {name: values[k] for name, values in read.items()}
                yield self._sample(rows.start + k, sample)

    def _sample(self, row: int, read: dict[str, Array]) -> GridSample:
        evaluation = self._fixed
        if evaluation is None:
            space = self._spaces[self._fields[DISPLACEMENT].space]
            evaluation = self._evaluation(moved_mesh(self.dataset.mesh, space, read[DISPLACEMENT]))
        inputs = {n: self._values(evaluation, n, read[n][None])[0] for n in self.inputs}
        outputs = {}
        for name in self.outputs:
            frames = read[name][self._steps.kept(row)] if self.in_time(name) else read[name][None]
            outputs[name] = self._values(evaluation, name, frames)
            if name in self.start:
                first = inputs.get(self.start[name])
                if first is None:
                    start = self.dataset.read(self.start[name], row)[None]
                    first = self._values(evaluation, self.start[name], start)[0]
                outputs[name] = np.concatenate([first[None], outputs[name]])
        return GridSample(row, inputs, outputs, evaluation.inside.reshape(self.grid.shape))

    def _values(self, evaluation: Evaluation, name: str, frames: Array) -> Array:
        """(T, *shape, *value shape) of coefficients (T, dim)."""
        space, shape = self._fields[name].space, self.value_shape(name)
        found = np.stack([evaluation(space, np.asarray(u, dtype=np.float64)) for u in frames])
        if self.has_outside:
            found[:, ~evaluation.inside] = self._outside
        return found.reshape(len(frames), *self.grid.shape, *shape)

    def _evaluation(self, mesh: Any) -> Evaluation:
        names = {self._fields[name].space for name in [*self.inputs, *self.outputs]}
        names |= {self._fields[name].space for name in self.dataset.inputs if name != DISPLACEMENT}
        return Evaluation(mesh, {n: self._spaces[n] for n in sorted(names)}, self.grid.points)


def _starts(dataset: Dataset, outputs: list[str]) -> dict[str, str]:
    """Output → the input field it starts from, where the problem says so.

    Only for a single output: the texts of `problem.initial` are those of its components.
    """
    texts = (dataset.manifest.get("problem") or {}).get("initial") or []
    if len(dataset.outputs) != 1 or len(texts) != 1 or not outputs:
        return {}
    found = re.fullmatch(r"(\w+)\((\w+(, \w+)*)\)", texts[0])
    known = found is not None and found[1] in dataset.inputs
    return {outputs[0]: found[1]} if found is not None and known else {}
