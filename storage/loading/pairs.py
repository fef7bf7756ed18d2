"""Batches `{"x", "y"}` on a regular grid, as neuraloperator takes them. Loads PyTorch.

Fields are evaluated by the matrices that `spaces.h5` keeps for its grid. On a moving mesh that is
the grid of the reference mesh, and the displacement is one of the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from torch.utils.data import Dataset as TorchDataset

from storage.errors import StorageError
from storage.loading.normalisation import Scale, field_scale

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["Pairs", "TimeAs", "make_pairs"]

type Array = npt.NDArray[np.float64]
type TimeAs = Literal["channels", "axis"]


class Pairs(TorchDataset[dict[str, torch.Tensor]]):
    """Map-style data set of `{"x": (channels, *shape), "y": (channels, *shape)}`, float32.

    Attributes:
        dataset: the samples.
        shape: of the grid, first direction slowest.
        inside: (*shape) which points are in the mesh; fields are zero at the others.
        in_channels: channels of x.
        out_channels: channels of y.
    """

    def __init__(
        self,
        dataset: Dataset,
        x: list[_Channels],
        y: list[_Channels],
        inside: npt.NDArray[np.bool_],
        mask: bool,
    ) -> None:
        self.dataset, self.inside, self.shape = dataset, inside, inside.shape
        self._x, self._y, self._mask = x, y, mask
        self.in_channels = sum(part.count for part in x) + mask
        self.out_channels = sum(part.count for part in y)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, torch.Tensor]]:
        """Read and evaluate a batch at once."""
        rows = np.asarray(indices, dtype=np.int64)
        x, y = ([p.read(self.dataset, rows) for p in parts] for parts in (self._x, self._y))
        if self._mask:
            x.append(np.broadcast_to(self.inside, (len(rows), 1, *self.shape)).astype("f4"))
        batch = [torch.from_numpy(np.concatenate(parts, axis=1)) for parts in (x, y)]
        return [{"x": a, "y": b} for a, b in zip(*batch, strict=True)]

    def denormalise(self, y: Any) -> Any:
        """Return y, or predictions of it, (…, out_channels, *grid) in the data set's units."""
        axis = -len(self.shape) - 1 - self._y[0].has_axis
        std, mean = (np.zeros(self.out_channels, "f4") for _ in range(2))
        ends = np.cumsum([0, *(part.count for part in self._y)])
        for part, start, end in zip(self._y, ends, ends[1:], strict=False):
            std[start:end], mean[start:end] = part.scale.std, part.scale.mean
        wide = (self.out_channels, *(1,) * (-axis - 1))
        s, m, inside = std.reshape(wide), mean.reshape(wide), self.inside.astype("f4")
        if isinstance(y, torch.Tensor):
            return y * torch.from_numpy(s).to(y) + torch.from_numpy(m * inside).to(y)
        return y * s + m * inside


class _Channels:
    """One field or parameter as channels."""

    def __init__(self, name: str, count: int, scale: Scale) -> None:
        self.name, self.count, self.scale, self.has_axis = name, count, scale, False

    def read(self, dataset: Dataset, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(samples, channels, *shape), or (samples, channels, T, *shape)."""
        raise NotImplementedError


class _Parameter(_Channels):
    """A constant channel for each number."""

    def __init__(self, name: str, shape: Sequence[int], inside: npt.NDArray[np.bool_]) -> None:
        super().__init__(name, math.prod(shape), Scale())
        self.inside = inside.astype("f4")

    def read(self, dataset: Dataset, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """As `_Channels.read`."""
        values = dataset.read(self.name, rows, "f4").reshape(len(rows), self.count)
        return values.reshape(*values.shape, *(1,) * self.inside.ndim) * self.inside


class _Field(_Channels):
    """The values of a field at the grid's points, components and time steps as channels."""

    def __init__(
        self, name: str, grid: _Grid, steps: int | None, time: TimeAs, scale: Scale
    ) -> None:
        axis = steps is not None and time == "axis"
        super().__init__(name, grid.values * (1 if axis else steps or 1), scale)
        self.grid, self.has_axis = grid, axis

    def read(self, dataset: Dataset, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """As `_Channels.read`; time steps that don't count are zero."""
        coefficients = dataset.read(self.name, rows, "f8")
        used = np.isfinite(coefficients).all(axis=-1)
        values = self.grid.evaluate(np.nan_to_num(coefficients, copy=False))
        values = self.scale.normalise(values) * self.grid.inside.ravel()
        values[~used] = 0.0
        if self.has_axis:
            values = np.swapaxes(values, 1, 2)  # (samples, components, T, points)
            shape = values.shape[:3]
        else:
            shape = (len(rows), self.count)
        return values.reshape(*shape, *self.grid.inside.shape).astype("f4")


class _Grid:
    """Evaluation of a space on its stored grid."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        shape = tuple(int(n) for n in np.asarray(table["shape"]))
        points = math.prod(shape)
        inside = table.get("inside", np.ones(points, dtype=bool))
        self.inside = np.asarray(inside, dtype=bool).reshape(shape)
        self.matrix = csr_matrix(table["matrix"])
        self.values = self.matrix.shape[0] // points

    def evaluate(self, coefficients: Array) -> Array:
        """Values (…, components, points) of coefficients (…, dim)."""
        flat = coefficients.reshape(-1, coefficients.shape[-1])
        found = (self.matrix @ flat.T).T.reshape(len(flat), -1, self.values)
        shape = (*coefficients.shape[:-1], self.values, found.shape[1])
        return np.ascontiguousarray(np.swapaxes(found, 1, 2)).reshape(shape)


def make_pairs(
    dataset: Dataset,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    *,
    normalised: bool = False,
    mask: bool = False,
    time: TimeAs = "channels",
) -> Pairs:
    """Make pairs of some inputs and outputs on the stored grid.

    Args:
        dataset: the samples, for example a split.
        inputs: fields and parameters in x; all by default. A parameter is a constant channel.
        outputs: fields in y; all by default.
        normalised: normalise fields by the statistics of the training split.
        mask: add a last channel to x, 1 at points of the mesh and 0 outside.
        time: whether the steps of a solution in time are channels, (T·components, *shape) with
            the steps slowest, or an axis, (components, T, *shape).

    Raises:
        KeyError: there is no such field or parameter.
        StorageError: a space has no grid, grids differ, or there are no statistics.
    """
    names = [*dataset.inputs, *dataset.parameters] if inputs is None else list(inputs)
    asked = list(dataset.outputs if outputs is None else outputs)
    grids = _grids(dataset, [name for name in [*names, *asked] if name in dataset.fields])
    if not grids:
        raise StorageError(f"{dataset.path}: pairs need a field; got x {names}, y {asked}")
    inside = next(iter(grids.values())).inside
    x, y = (
        [_channels(dataset, name, grids, inside, time, normalised) for name in part]
        for part in (names, asked)
    )
    return Pairs(dataset, x, y, inside, mask)


def _channels(
    dataset: Dataset,
    name: str,
    grids: dict[str, _Grid],
    inside: npt.NDArray[np.bool_],
    time: TimeAs,
    normalised: bool,
) -> _Channels:
    shape = dataset.read(name, slice(0, 0)).shape[1:]
    if name not in grids:
        return _Parameter(name, shape, inside)
    scale = field_scale(dataset, name) if normalised else Scale()
    return _Field(name, grids[name], shape[0] if len(shape) == 2 else None, time, scale)


def _grids(dataset: Dataset, names: Sequence[str]) -> dict[str, _Grid]:
    found: dict[str, _Grid] = {}
    spaces: dict[str, _Grid] = {}
    for name in names:
        space = dataset.fields[name].space
        if "grid" not in dataset.spaces.get(space, {}):
            raise StorageError(
                f"{dataset.path}: space {space!r} of field {name!r} has no evaluation matrix to a "
                "grid in spaces.h5; take coefficients (`Dataset.torch`), or evaluate on a grid of "
                "your own with `rekrylov export --to neuraloperator --resolution …`"
            )
        if space not in spaces:
            spaces[space] = _Grid(dataset.spaces[space]["grid"])
        found[name] = spaces[space]
    shapes = {name: grid.inside.shape for name, grid in found.items()}
    if len(set(shapes.values())) > 1:
        raise StorageError(f"{dataset.path}: grids differ ({shapes}); choose fields of one grid")
    return found
