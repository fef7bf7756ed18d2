"""Numbers that describe each sample, and `scalars.h5`, which keeps them in one small file.

Plots, searches, tables and problem definitions need a few numbers of every sample; reading them
from a thousand shards takes seconds. Of the input fields they are

    mean(a) = ⨍ a,   std(a) = (⨍ (a − mean)²)^½   of scalar ones,   rms(a) = (⨍ |a|²)^½   of others,

by the stored mass matrices. The file is derived: it says which shards it was made from, and one
of other shards is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from storage import files
from storage.errors import DamagedFile, StorageError
from storage.folder import DataFolder
from storage.hdf5 import build_image, opened
from storage.volumes import volumes

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = [
    "Numbers",
    "commit_scalars",
    "description",
    "descriptions",
    "gathered",
    "names",
    "parameters",
    "scalars",
]

type Scalars = dict[str, npt.NDArray[Any]]

_SOLVE = ("iterations", "systems", "true_residual", "reason", "seconds")
_CHUNK = 64


def scalars(dataset: Dataset) -> Scalars:
    """Return what is known of each sample: name → (n), in the order of `dataset.ids`.

    `id`; `order`, the position in the order of solving; `iterations`, `systems`,
    `true_residual` (the largest of the time steps), `reason`, `seconds`; and `descriptions`.
    Read from `scalars.h5` where it is of the data set's shards, computed otherwise.

    Raises:
        DamagedShard: it had to be computed, and a shard is damaged.
    """
    table = _read(dataset)
    if table is None:
        return _compute(dataset)
    place = np.searchsorted(table["id"], dataset.ids)
    return {name: values[place] for name, values in table.items()}


def commit_scalars(dataset: Dataset, table: Scalars | None = None) -> Scalars:
    """Write `scalars.h5` of a whole data set, atomically; computed unless it is given."""
    table = _compute(dataset) if table is None else table

    def fill(file: h5py.File) -> None:
        file.attrs["digest"] = dataset.digest
        file.attrs["names"] = list(table)
        for place, values in enumerate(table.values()):
            file.create_dataset(f"{place:04d}", data=values, fletcher32=bool(len(values)))

    size = sum(values.nbytes for values in table.values())
    files.commit_bytes(_path(dataset), build_image(fill, size), replace=True)
    return table


def names(dataset: Dataset) -> list[str]:
    """Names of all scalars, in the order of `scalars.h5`."""
    columns = [("samples/order", "order"), *((f"solve/{name}", name) for name in _SOLVE)]
    known = [name for column, name in columns if column in dataset.columns]
    return ["id", *known, *descriptions(dataset)]


def descriptions(dataset: Dataset) -> list[str]:
    """Names of the numbers that describe a sample: parameters, then moments of input fields."""
    found = parameters(dataset)
    for field in dataset.inputs:
        found += _names(dataset, field)
    return found


def description(dataset: Dataset, name: str, stored: bool = True) -> npt.NDArray[np.float64]:
    """Return one of `descriptions` of each sample: (n); no other number is computed for it.

    From the shards alone, whatever `scalars.h5` says, if not `stored`.
    """
    table = _read(dataset) if stored else None
    if table is not None:
        return table[name][np.searchsorted(table["id"], dataset.ids)].astype(np.float64)
    if name in parameters(dataset):
        return dataset.read(f"parameters/{name}").astype(np.float64)
    work = _Moments(dataset, name.rstrip(")").split("(", 1)[1])
    return gathered(dataset, list(dataset.each_shard(work)) or [work(dataset)])[name]


def parameters(dataset: Dataset) -> list[str]:
    """Names of the parameters that are one number a sample."""
    shapes = {name: dataset.columns[f"parameters/{name}"]["shape"] for name in dataset.parameters}
    return [name for name, shape in shapes.items() if shape == []]


def _names(dataset: Dataset, field: str) -> list[str]:
    """Names of the moments of a field; none where the tables for them are not stored."""
    known = dataset.fields.get(field)
    space = dataset.spaces.get(known.space, {}) if known is not None else {}
    if "grams" not in space or len(dataset.columns[f"inputs/{field}"]["shape"]) != 1:
        return []
    is_scalar = "points" in space and int(space["block_size"]) == 1
    return [f"{kind}({field})" for kind in (("mean", "std") if is_scalar else ("rms",))]


def gathered(dataset: Dataset, parts: Sequence[Scalars]) -> Scalars:
    """Return the table of all samples from those of `Dataset.each_shard`, one a shard."""
    places = np.argsort(np.concatenate([*dataset.by_shard(), np.empty(0, np.int64)]))
    return {name: np.concatenate([part[name] for part in parts])[places] for name in parts[0]}


def _compute(dataset: Dataset) -> Scalars:
    numbers = Numbers(dataset)
    return gathered(dataset, list(dataset.each_shard(numbers)) or [numbers(dataset)])


class Numbers:
    """Computes the scalars of some samples of a data set; can be sent to another process."""

    def __init__(self, dataset: Dataset) -> None:
        self._moments = [_Moments(dataset, field) for field in dataset.inputs]

    def __call__(self, some: Dataset) -> Scalars:
        """Return name → (n) of the samples, all in memory at once but for their fields."""
        table: Scalars = {"id": some.ids}
        if "samples/order" in some.columns:
            table["order"] = some.read("samples/order")
        for name in _SOLVE:
            if f"solve/{name}" in some.columns:
                table[name] = _worst(some, f"solve/{name}")
        table |= {name: some.read(f"parameters/{name}") for name in parameters(some)}
        for moments in self._moments:
            table |= moments(some)
        return table


class _Moments:
    """Mean and standard deviation of a scalar field of each sample, or rms of another."""

    def __init__(self, dataset: Dataset, field: str) -> None:
        self._field, self._names = field, _names(dataset, field)
        if self._names:
            mass = dataset.spaces[dataset.fields[field].space]["grams"]["mass"]
            self._mass, self._weights = mass.tocsr(), np.asarray(mass.sum(axis=0)).ravel()
            self._volume = float(volumes(dataset.mesh).sum())

    def __call__(self, some: Dataset) -> Scalars:
        found = {name: np.empty(len(some)) for name in self._names}
        for start in range(0, len(some) if found else 0, _CHUNK):
            rows = slice(start, start + _CHUNK)
            # One by one, so that no bit depends on which samples are read together.
            for row, sample in enumerate(some.read(self._field, rows, np.float64), start=start):
                if len(found) == 2:
                    found[self._names[0]][row] = mean = self._weights @ sample / self._volume
                    sample -= mean
                square = np.maximum(sample @ (self._mass @ sample), 0.0)
                found[self._names[-1]][row] = np.sqrt(square / self._volume)
        return found


def _worst(dataset: Dataset, column: str) -> npt.NDArray[Any]:
    """The largest number of each sample, of the time steps that count: (n)."""
    values = dataset.read(column)
    if values.ndim > 1 and "times_mask" in dataset.columns:  # the others may be NaN
        values = np.where(dataset.read("times_mask"), values, -np.inf)
    return values.reshape(len(values), -1).max(axis=1) if values.size else values


def _path(dataset: Dataset) -> Any:
    return DataFolder(dataset.path).scalars


def _read(dataset: Dataset) -> Scalars | None:
    """The stored table, or None if there is none that can be used."""
    try:
        with opened(_path(dataset)) as file:
            if file.attrs["digest"] != dataset.digest:
                return None
            kept = [str(name) for name in file.attrs["names"]]
            table = {name: file[f"{place:04d}"][()] for place, name in enumerate(kept)}
            return table if set(names(dataset)) <= set(table) else None
    except (FileNotFoundError, DamagedFile, StorageError):
        return None
