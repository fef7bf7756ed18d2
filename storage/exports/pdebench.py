"""PDEBench's layouts on a regular grid.

- Steady, in the plane, one scalar input and one scalar output (its Darcy flow):
  `tensor (N, 1, X, Y)`, `nu (N, X, Y)`, `x-coordinate`, `y-coordinate`.
- In time, on an interval: `tensor (N, T, X)`, `x-coordinate`, `t-coordinate`.
- In time, in the plane or in space: for each sample a group `<id>` with `data (T, X, …, C)`,
  `grid/x`, …, `grid/t`, and a YAML text `config`.

Beside these there are, where they apply, `inside`, `sample-ids`, `parameters/…` and `inputs/…`,
which its loaders leave alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from storage.errors import BadSelection
from storage.exports.grid_samples import GridSample, GridSamples
from storage.exports.laid_out import Put, laid_out
from storage.exports.options import ExportOptions
from storage.exports.target import file_stem, new_file, provenance

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["export_pdebench"]

type _Tables = dict[str, tuple[tuple[int, ...], str]]

_AXES = ("x", "y", "z")
_ENDS = (("x_left", "x_right"), ("y_bottom", "y_top"), ("z_bottom", "z_top"))


def export_pdebench(dataset: Dataset, out: Path, options: ExportOptions) -> list[Path]:
    """Write one HDF5 file in the layout of PDEBench that fits; single precision.

    Args:
        dataset: the samples.
        out: the file. PDEBench's loader of Darcy flow wants the suffix `.hdf5`, that of samples
            in groups `.h5`.
        options: fields, resolution, value outside of the domain.

    Raises:
        BadSelection: PDEBench has no layout for such fields.
    """
    samples = GridSamples(dataset, options)
    layout = _layout(samples)
    tables = layout.tables()

    def describe(file: h5py.File) -> None:
        for name, text in provenance(dataset).items():
            file.attrs[f"rekrylov_{name}"] = text
        layout.describe(file)

    with new_file(out, options.force) as path, laid_out(path, tables, describe) as put:
        for sample in samples:
            layout.put(put, sample)
            options.progress(sample.row + 1)
    return [out]


def _layout(samples: GridSamples) -> _Layout:
    """The layout that fits."""
    dim, outputs = len(samples.grid.shape), samples.outputs
    scalar = [name for name in outputs if samples.value_shape(name) == ()]
    if outputs and any(samples.in_time(name) for name in outputs):
        if dim > 1:
            return _Groups(samples)
        if len(outputs) == len(scalar) == 1 and len(np.unique(samples.lengths)) == 1:
            return _Interval(samples)
        raise BadSelection(
            f"outputs {outputs}: PDEBench's files on an interval hold one scalar with the same "
            "times for all samples; choose it with --fields"
        )
    given = [name for name in samples.inputs if samples.value_shape(name) == ()]
    if dim == 2 and len(given) == len(samples.inputs) == 1 and len(scalar) == len(outputs) == 1:
        return _Darcy(samples)
    raise BadSelection(
        f"inputs {samples.inputs} and outputs {outputs} in {dim} dimensions: PDEBench's steady "
        "files hold one scalar input and one scalar output in the plane; choose them with --fields"
    )


class _Layout:
    """What all layouts have: coordinates, ids, parameters, and what is inside."""

    def __init__(self, samples: GridSamples) -> None:
        self.samples, self.shape = samples, samples.grid.shape

    def tables(self) -> _Tables:
        """The large tables: name → shape and type."""
        lead = (len(self.samples),) if self.samples.moving else ()
        return {"inside": ((*lead, *self.shape), "|b1")} if self.samples.has_outside else {}

    def describe(self, file: h5py.File) -> None:
        """Write what is small."""
        dataset = self.samples.dataset
        for name, axis in zip(_AXES, self.samples.grid.axes, strict=False):
            file[f"{name}-coordinate"] = axis.astype(np.float32)
        file["sample-ids"] = dataset.ids
        for name in dataset.parameters:
            file[f"parameters/{name}"] = dataset.read(f"parameters/{name}")

    def put(self, put: Put, sample: GridSample) -> None:
        """Write the values of a sample."""
        if self.samples.has_outside and (self.samples.moving or sample.row == 0):
            put("inside", sample.inside, sample.row if self.samples.moving else None)


class _Darcy(_Layout):
    """Steady, in the plane."""

    def tables(self) -> _Tables:
        n = len(self.samples)
        nu, tensor = (n, *self.shape), (n, 1, *self.shape)
        return super().tables() | {"nu": (nu, "<f4"), "tensor": (tensor, "<f4")}

    def describe(self, file: h5py.File) -> None:
        super().describe(file)
        file["nu"].attrs["field"] = self.samples.inputs[0]
        file["tensor"].attrs["field"] = self.samples.outputs[0]

    def put(self, put: Put, sample: GridSample) -> None:
        super().put(put, sample)
        put("nu", sample.inputs[self.samples.inputs[0]], sample.row)
        put("tensor", sample.outputs[self.samples.outputs[0]], sample.row)


class _Interval(_Layout):
    """In time, on an interval."""

    def tables(self) -> _Tables:
        n, samples = len(self.samples), self.samples
        found = super().tables()
        found["tensor"] = ((n, int(samples.lengths[0]), *self.shape), "<f4")
        for name in samples.inputs:
            found[f"inputs/{name}"] = ((n, *self.shape, *samples.value_shape(name)), "<f4")
        return found

    def describe(self, file: h5py.File) -> None:
        super().describe(file)
        file["t-coordinate"] = np.asarray(self.samples.times(0), dtype=np.float32)
        file["tensor"].attrs["field"] = self.samples.outputs[0]

    def put(self, put: Put, sample: GridSample) -> None:
        super().put(put, sample)
        put("tensor", sample.outputs[self.samples.outputs[0]], sample.row)
        for name, values in sample.inputs.items():
            put(f"inputs/{name}", values, sample.row)


class _Groups(_Layout):
    """In time, in the plane or in space: a group a sample, and nothing beside the groups."""

    def tables(self) -> _Tables:
        samples, found = self.samples, {}
        sizes = [int(np.prod(samples.value_shape(name))) for name in samples.outputs]
        for row in range(len(samples)):
            group, length = self._group(row), int(samples.lengths[row])
            found[f"{group}/data"] = ((length, *self.shape, sum(sizes)), "<f4")
            for name in samples.inputs:
                shape = (*self.shape, *samples.value_shape(name))
                found[f"{group}/inputs/{name}"] = (shape, "<f4")
            if samples.has_outside:
                found[f"{group}/inside"] = (self.shape, "|b1")
        return found

    def describe(self, file: h5py.File) -> None:
        samples = self.samples
        parameters = {
            n: samples.dataset.read(f"parameters/{n}") for n in samples.dataset.parameters
        }
        for row in range(len(samples)):
            group, times = file[self._group(row)], np.asarray(samples.times(row))
            group.attrs["outputs"] = samples.outputs
            group.attrs["config"] = _config(samples, int(samples.dataset.ids[row]), times)
            for name, axis in zip(_AXES, samples.grid.axes, strict=False):
                group[f"grid/{name}"] = axis.astype(np.float32)
            group["grid/t"] = times.astype(np.float32)
            for name, values in parameters.items():
                group.attrs[name] = values[row]

    def put(self, put: Put, sample: GridSample) -> None:
        group, length = self._group(sample.row), int(self.samples.lengths[sample.row])
        channels = [
            np.broadcast_to(u, (length, *u.shape[1:])).reshape(length, *self.shape, -1)
            for u in sample.outputs.values()
        ]
        put(f"{group}/data", np.concatenate(channels, axis=-1), None)
        for name, values in sample.inputs.items():
            put(f"{group}/inputs/{name}", values, None)
        if self.samples.has_outside:
            put(f"{group}/inside", sample.inside, None)

    def _group(self, row: int) -> str:
        return f"{int(self.samples.dataset.ids[row]):04d}"


def _config(samples: GridSamples, sample_id: int, times: Any) -> str:
    """The keys of PDEBench's own `config` that its readers use."""
    import yaml

    sim: dict[str, Any] = {"seed": sample_id, "t": float(times[-1]), "tdim": len(times)}
    for name, ends, axis in zip(_AXES, _ENDS, samples.grid.axes, strict=False):
        sim |= {ends[0]: float(axis[0]), ends[1]: float(axis[-1]), f"{name}dim": len(axis)}
    return yaml.safe_dump({"name": file_stem(samples.dataset), "sim": sim})
