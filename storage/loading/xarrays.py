"""A data set as xarray's: named dimensions, coordinates, units; values are lazy. Loads xarray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from storage.loading.dask_arrays import dask_array
from storage.splits import split_names

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["xarray_dataset"]

_ABOUT = ("name", "data_key", "rtol", "licence", "citation", "definition")


def xarray_dataset(dataset: Dataset) -> xr.Dataset:
    """Return all fields, parameters and columns of the solver, by sample.

    Dimensions are `sample`, `dof_<space>` and, where there is time, `time`; coordinates the
    samples' `id` and `split` and the times. Fields carry `role`, `space`, `units` and
    `description`. Nothing is read before it is computed, ids and splits excepted.
    """
    columns = [name for name in dataset.columns if name not in ("samples/id", "times")]
    variables = {
        name: (_dims(dataset, column), dask_array(dataset, column), _attrs(dataset, column))
        for name, column in _names(columns).items()
    }
    coordinates: dict[str, Any] = {"id": ("sample", dataset.ids)}
    if (rule := dataset.manifest.get("splits")) is not None:
        coordinates["split"] = ("sample", split_names(dataset.ids, rule).astype(str))
    if "times" in dataset.columns:
        coordinates["times"] = (("sample", "time"), dask_array(dataset, "times"))
    elif dataset.times is not None:
        coordinates["time"] = ("time", dataset.times)
    manifest = dataset.manifest
    about = {key: manifest[key] for key in _ABOUT if isinstance(manifest.get(key), str | float)}
    return xr.Dataset(variables, coordinates, about)


def _names(columns: list[str]) -> dict[str, str]:
    """`iterations` of `solve/iterations`, but the whole name where two are alike."""
    short = [column.split("/")[-1] for column in columns]
    alike = {name for name in short if short.count(name) > 1}
    names = [full if name in alike else name for full, name in zip(columns, short, strict=True)]
    return dict(zip(names, columns, strict=True))


def _dims(dataset: Dataset, column: str) -> tuple[str, ...]:
    role, _, name = column.rpartition("/")
    rest = len(dataset.columns[column]["shape"])
    if role in ("inputs", "outputs"):
        dofs = f"dof_{dataset.fields[name].space or name}"
        return ("sample", "time", dofs) if rest == 2 else ("sample", dofs)
    if role == "parameters":
        return ("sample", *(f"{name}_{axis}" for axis in range(rest)))
    return ("sample", "time")[: rest + 1]


def _attrs(dataset: Dataset, column: str) -> dict[str, str]:
    role, _, name = column.rpartition("/")
    if role not in ("inputs", "outputs"):
        return {"column": column}
    field = dataset.fields[name]
    told = {"role": field.role, "space": field.space, "units": field.units}
    return {"column": column, **told, "description": field.description}
