"""Numbers that describe each sample, and `scalars.h5`, which keeps them in one small file.

Plots, searches, tables and problem definitions need a few numbers of every sample; reading them
from a thousand shards takes seconds. Of the input fields they are

    mean(a) = ⨍ a,   std(a) = (⨍ (a − mean)²)^½   of scalar ones,   rms(a) = (⨍ |a|²)^½   of others,

by the stored mass matrices. The file is derived: it says which shards it was made from, and one
of other shards is not used.
"""

from __future__ import annotations

from collections.abc import Iterator
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

__all__ = ["commit_scalars", "description", "descriptions", "names", "parameters", "scalars"]

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


def commit_scalars(dataset: Dataset) -> Scalars:
    """Compute the scalars of a whole data set and write `scalars.h5`, atomically."""
    table = _compute(dataset)

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
    return _moments(dataset, name.rstrip(")").split("(", 1)[1])[name]


def parameters(dataset: Dataset) -> list[str]:
    """Names of the parameters that are one number a sample."""
    shapes = {name: dataset.columns[f"parameters/{name}"]["shape"] for name in dataset.parameters}
    return [name for name, shape in shapes.items() if shape == []]


def _moments(dataset: Dataset, field: str) -> Scalars:
    """Mean and standard deviation of a scalar field of each sample, or rms of another."""
    from scipy.sparse import csr_matrix

    kept = _names(dataset, field)
    if not kept:
        return {}
    mass = csr_matrix(dataset.spaces[dataset.fields[field].space]["grams"]["mass"])
    volume, weights = float(volumes(dataset.mesh).sum()), np.asarray(mass.sum(axis=0)).ravel()
    found = {name: np.empty(len(dataset)) for name in kept}
    for rows in _rows(dataset):
        values = dataset.read(field, rows).astype(np.float64)
        if len(kept) == 2:
            mean = values @ weights / volume
            found[kept[0]][rows] = mean
            values = values - mean[:, None]
        squares = np.einsum("ij,ji->i", values, mass @ values.T)
        found[kept[-1]][rows] = np.sqrt(np.maximum(squares, 0.0) / volume)
    return found


def _names(dataset: Dataset, field: str) -> list[str]:
    """Names of the moments of a field; none where the tables for them are not stored."""
    known = dataset.fields.get(field)
    space = dataset.spaces.get(known.space, {}) if known is not None else {}
    if "grams" not in space or len(dataset.columns[f"inputs/{field}"]["shape"]) != 1:
        return []
    is_scalar = "points" in space and int(space["block_size"]) == 1
    return [f"{kind}({field})" for kind in (("mean", "std") if is_scalar else ("rms",))]


def _compute(dataset: Dataset) -> Scalars:
    table: Scalars = {"id": dataset.ids}
    if "samples/order" in dataset.columns:
        table["order"] = dataset.read("samples/order")
    for name in _SOLVE:
        if f"solve/{name}" in dataset.columns:
            table[name] = _worst(dataset, f"solve/{name}")
    table |= {name: dataset.read(f"parameters/{name}") for name in parameters(dataset)}
    for field in dataset.inputs:
        table |= _moments(dataset, field)
    return table


def _worst(dataset: Dataset, column: str) -> npt.NDArray[Any]:
    """The largest number of each sample, of the time steps that count: (n)."""
    values = dataset.read(column)
    if values.ndim > 1 and "times_mask" in dataset.columns:  # the others may be NaN
        values = np.where(dataset.read("times_mask"), values, -np.inf)
    return values.reshape(len(values), -1).max(axis=1) if values.size else values


def _rows(dataset: Dataset) -> Iterator[npt.NDArray[np.int64]]:
    """Positions of all samples, shard by shard, a few at a time."""
    for rows in dataset.by_shard():
        yield from np.array_split(rows, -(-len(rows) // _CHUNK))


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
