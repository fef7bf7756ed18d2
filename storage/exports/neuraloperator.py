"""neuraloperator's `.pt` files: `<name>_{train,test}_<resolution>.pt`, a dict of `x` and `y`.

One channel in and one out: (N, X, Y), as in that project's Darcy files (`channels_squeezed=True`
of `PTDataset`, its default); otherwise channels have an axis, (N, C, X, Y). In time y has T before
X: (N, T, X, Y) or (N, C, T, X, Y).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import BadSelection, StorageError
from storage.exports.grid_samples import GridSample, GridSamples
from storage.exports.options import ExportOptions
from storage.exports.target import check_space, file_stem, files_below, new_folder, provenance
from storage.scalars import parameters
from storage.splits import divided

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["export_neuraloperator"]

type Single = NDArray[np.float32]


def export_neuraloperator(dataset: Dataset, out: Path, options: ExportOptions) -> list[Path]:
    """Write a folder of `.pt` files, one a split, in single precision. Loads PyTorch.

    x has the input fields by component, then the parameters as constant channels, then `inside`
    (1 or 0) where the domain does not fill the grid. Such a file is made in memory.

    Args:
        dataset: the samples; without splits all are for training.
        out: the folder to make.
        options: fields, resolution, value outside of the domain.

    Raises:
        BadSelection: the samples have different numbers of time steps, or nothing to learn from.
        StorageError: a split needs more memory than there is.
    """
    samples = GridSamples(dataset, options)
    if not samples.outputs or len(np.unique(samples.lengths)) > 1:
        raise BadSelection(
            f"{dataset.path}: a .pt file needs an output, and as many time steps of each sample"
        )
    about = provenance(dataset) | {"format": "neuraloperator", "samples": str(len(dataset))}
    rule, done = dataset.manifest.get("splits"), 0
    splits = divided(dataset.ids, rule) if rule else {"train": dataset.ids}
    _check_memory(samples, max(len(ids) for ids in splits.values()))
    shape = samples.grid.shape
    size = str(shape[0]) if len(set(shape)) == 1 else "x".join(map(str, shape))
    name = file_stem(dataset)
    with new_folder(out, options.force, about) as folder:
        for split, ids in splits.items():
            if len(ids):
                part = samples.select(ids)
                tensors = _tensors(part, options, done)
                _save(folder / f"{name}_{split}_{size}.pt", tensors, about)
                done += len(part)
    return files_below(out)


def _tensors(samples: GridSamples, options: ExportOptions, done: int) -> dict[str, Any]:
    first = next(iter(samples))
    x_names, y_names = _names(samples, samples.inputs), _names(samples, samples.outputs)
    given = parameters(samples.dataset) if options.fields is None else []
    values = [samples.dataset.read(f"parameters/{name}") for name in given]
    x_names += given + ["inside"] * samples.has_outside
    if not x_names:
        raise BadSelection(f"{samples.dataset.path}: a .pt file needs an input")
    squeezed = len(x_names) == len(y_names) == 1
    x = np.empty((len(samples), *_x(samples, first, [v[0] for v in values]).shape), np.float32)
    y = np.empty((len(samples), *_y(samples, first).shape), np.float32)
    for sample in samples:
        x[sample.row] = _x(samples, sample, [v[sample.row] for v in values])
        y[sample.row] = _y(samples, sample)
        options.progress(done + sample.row + 1)
    pair = (x[:, 0], y[:, 0]) if squeezed else (x, y)
    return {"x": pair[0], "y": pair[1], "ids": samples.dataset.ids} | {
        "channels": {"x": x_names, "y": y_names},
        "axes": [axis.astype(np.float32) for axis in samples.grid.axes],
        "times": samples.times(0),
    }


def _x(samples: GridSamples, sample: GridSample, numbers: Sequence[float]) -> Single:
    """(C, *shape) of a sample."""
    shape = samples.grid.shape
    channels = [_first(values.reshape(*shape, -1)) for values in sample.inputs.values()]
    channels += [np.full((1, *shape), number) for number in numbers]
    if samples.has_outside:
        channels.append(sample.inside[None])
    return np.concatenate(channels).astype(np.float32)


def _y(samples: GridSamples, sample: GridSample) -> Single:
    """(C, *shape), or (C, T, *shape) in time."""
    shape, length = samples.grid.shape, max(len(u) for u in sample.outputs.values())
    channels = [
        _first(np.broadcast_to(u, (length, *u.shape[1:])).reshape(length, *shape, -1))
        for u in sample.outputs.values()
    ]
    y = np.concatenate(channels).astype(np.float32)
    return y if samples.times(0) is not None else y[:, 0]


def _first(values: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(values, -1, 0)


def _names(samples: GridSamples, fields: Sequence[str]) -> list[str]:
    found = []
    for name in fields:
        size = int(np.prod(samples.value_shape(name)))
        found += [name] if size == 1 else [f"{name}_{k}" for k in range(size)]
    return found


def _check_memory(samples: GridSamples, count: int) -> None:
    """Refuse what can't be held; a .pt file can't be written piece by piece."""
    import psutil

    channels = len(_names(samples, samples.inputs)) + len(samples.dataset.parameters) + 1
    channels += len(_names(samples, samples.outputs)) * int(samples.lengths.max())
    needed = 4 * count * channels * int(np.prod(samples.grid.shape))
    free = psutil.virtual_memory().available
    if needed > 0.9 * free:
        raise StorageError(
            f"a .pt file of {count} samples needs {needed / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free; choose a coarser --resolution or fewer --ids, or "
            "another format"
        )


def _save(path: Path, tensors: dict[str, Any], about: dict[str, str]) -> None:
    import torch

    found = {
        key: torch.from_numpy(np.ascontiguousarray(value))
        if isinstance(value, np.ndarray)
        else value
        for key, value in tensors.items()
    }
    sizes = [value.nbytes for value in tensors.values() if isinstance(value, np.ndarray)]
    check_space(path.parent, sum(sizes) + 2**16)
    found["axes"] = [torch.from_numpy(axis) for axis in tensors["axes"]]
    torch.save(found | {"about": about}, path)
