"""NumPy's `.npz`: coefficients and the tables that say what they are of, or values on a grid."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.exports.grid_samples import READ_BYTES, GridSamples
from storage.exports.options import ExportOptions, chosen_fields
from storage.exports.target import new_file, provenance
from storage.rows import blocks

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["export_npz"]


def export_npz(dataset: Dataset, out: Path, options: ExportOptions) -> list[Path]:
    """Write one uncompressed `.npz`, array after array, so that none has to fit in memory.

    `id` (N), `parameters/<name>`, `about` (JSON), and
    - without a resolution `inputs/<field>`, `outputs/<field>` as stored, `points`, `cells`,
      `times`, `times_mask`, and for each space `dofmaps/<space>`;
    - with one `inputs/<field>` (N, *shape, …), `outputs/<field>` (N[, T], *shape, …) in double
      precision, `axes/x`, …, and `inside` (N, *shape), or (*shape) where all samples share it.

    Args:
        dataset: the samples.
        out: the file.
        options: fields, resolution, value outside of the domain.
    """
    arrays = _coefficients if options.resolution is None else _on_grid
    with (
        new_file(out, options.force) as path,
        zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive,
    ):
        _put(archive, "id", dataset.ids)
        for name in dataset.parameters:
            _put(archive, f"parameters/{name}", dataset.read(f"parameters/{name}"))
        arrays(archive, dataset, options)
    return [out]


def _coefficients(archive: zipfile.ZipFile, dataset: Dataset, options: ExportOptions) -> None:
    inputs, outputs = chosen_fields(dataset, options)
    fields = dataset.fields
    mesh = dataset.mesh
    _put(archive, "points", np.asarray(mesh["points"]))
    _put(archive, "cells", np.asarray(mesh["cells"]))
    spaces = {name: fields[name].space for name in [*inputs, *outputs]}
    for space in sorted(set(spaces.values())):
        _put(archive, f"dofmaps/{space}", np.asarray(dataset.spaces[space]["dofmap"]))
    if dataset.times is not None:
        _put(archive, "times", dataset.times)
    names = [f"inputs/{name}" for name in inputs] + [f"outputs/{name}" for name in outputs]
    names += [name for name in ("times", "times_mask") if name in dataset.columns]
    about = provenance(dataset) | {"cell_type": str(mesh["cell_type"]), "spaces": spaces}
    _put(archive, "about", np.array(json.dumps(about)))
    for place, name in enumerate(names):
        kind = dataset.columns[name]
        last = place == len(names) - 1
        _stream(
            archive,
            name,
            kind["dtype"],
            (len(dataset), *kind["shape"]),
            _blocks(dataset, name, options, last),
        )


def _blocks(dataset: Dataset, name: str, options: ExportOptions, last: bool) -> Iterator[Any]:
    kind = dataset.columns[name]
    size = np.dtype(kind["dtype"]).itemsize * math.prod(kind["shape"])
    for rows in blocks(len(dataset), size, READ_BYTES):
        yield dataset.read(name, rows)
        if last:
            options.progress(rows.stop)


def _on_grid(archive: zipfile.ZipFile, dataset: Dataset, options: ExportOptions) -> None:
    samples = GridSamples(dataset, options)
    for name, axis in zip("xyz", samples.grid.axes, strict=False):
        _put(archive, f"axes/{name}", axis)
    _put(archive, "about", np.array(json.dumps(provenance(dataset))))
    if samples.has_outside and not samples.moving:
        _put(archive, "inside", next(iter(samples.only())).inside)
    longest = int(samples.lengths.max())
    for name in samples.inputs:
        shape = (len(samples), *samples.grid.shape, *samples.value_shape(name))
        values = (sample.inputs[name] for sample in samples.only(name))
        _stream(archive, f"inputs/{name}", "<f8", shape, values)
    if samples.moving:
        shape = (len(samples), *samples.grid.shape)
        _stream(archive, "inside", "|b1", shape, (sample.inside for sample in samples.only()))
    if samples.times(0) is not None:
        times = (_padded(np.asarray(samples.times(row)), longest) for row in range(len(samples)))
        _stream(archive, "times", "<f8", (len(samples), longest), times)
    for name in samples.outputs:
        steps = (longest,) if samples.in_time(name) else ()
        shape = (len(samples), *steps, *samples.grid.shape, *samples.value_shape(name))
        frames = _frames(samples.only(name), name, longest, bool(steps), options)
        _stream(archive, f"outputs/{name}", "<f8", shape, frames)


def _frames(
    samples: GridSamples, name: str, longest: int, in_time: bool, options: ExportOptions
) -> Iterator[NDArray[np.float64]]:
    for sample in samples:
        yield _padded(sample.outputs[name], longest) if in_time else sample.outputs[name][0]
        options.progress(sample.row + 1)


def _padded(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Frames up to the longest of all samples: NaN, as in the data set."""
    more = np.full((length - len(values), *values.shape[1:]), np.nan)
    return np.concatenate([values, more])


def _put(archive: zipfile.ZipFile, name: str, values: NDArray[Any]) -> None:
    _stream(archive, name, values.dtype, values.shape, [values])


def _stream(
    archive: zipfile.ZipFile,
    name: str,
    dtype: Any,
    shape: tuple[int, ...],
    blocks: Iterable[NDArray[Any]],
) -> None:
    """Write one array from consecutive blocks of it."""
    kind = np.dtype(dtype)
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    entry = zipfile.ZipInfo(f"{name}.npy")  # of a fixed date: equal data, equal file
    with archive.open(entry, "w", force_zip64=True) as file:
        np.lib.format.write_array_header_2_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype=kind).tobytes())
