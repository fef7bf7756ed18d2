"""The Well's layout: `data/{train,valid,test}/*.hdf5` on a regular grid, with `stats.yaml`.

A trajectory is a sample, its frames are the time steps, inputs are fields that don't vary in
time. A file holds trajectories of one length, so there is no padding.
(Format: https://polymathic-ai.org/the_well/data_format/.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from storage.exports.grid_samples import GridSample, GridSamples
from storage.exports.laid_out import laid_out
from storage.exports.moments import Moments
from storage.exports.options import ExportOptions
from storage.exports.sides import Side, sides
from storage.exports.target import file_stem, files_below, new_folder, provenance
from storage.files import commit_bytes
from storage.splits import divided

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["export_well"]

_NAMES = {"train": "train", "validation": "valid", "test": "test"}
_AXES = ("x", "y", "z")
_INSIDE = "inside"
_TEXT = h5py.string_dtype()


def export_well(dataset: Dataset, out: Path, options: ExportOptions) -> list[Path]:
    """Write a folder in the layout of The Well; `out/data/<split>` is what its loader opens.

    Args:
        dataset: the samples; those of each split go to its folder. Without splits all are
            for training.
        out: the folder to make.
        options: fields, resolution, value outside of the domain, a frame of zeros.

    Returns:
        The files written.
    """
    about = provenance(dataset) | {"format": "The Well", "samples": str(len(dataset))}
    samples = GridSamples(dataset, options)  # refuses what can't be done before a folder is made
    rule = dataset.manifest.get("splits")
    splits = divided(dataset.ids, rule) if rule else {"train": dataset.ids}
    done, moments = 0, Moments()
    with new_folder(out, options.force, about) as folder:
        for split, ids in splits.items():
            if not len(ids):
                continue
            place = folder / "data" / _NAMES.get(split, split)
            place.mkdir(parents=True)
            part = samples.select(ids)
            lengths = part.lengths
            for length in np.unique(lengths):
                suffix = "" if (lengths == length).all() else f"-{length}-steps"
                path = place / f"{file_stem(dataset)}{suffix}.hdf5"
                writer = _Writer(part.select(ids[lengths == length]), int(length), options)
                done = writer.write(path, moments if split == "train" else None, done)
        commit_bytes(folder / "stats.yaml", _yaml(moments.as_dict()), replace=False)
    return files_below(out)


def _yaml(value: dict[str, Any]) -> bytes:
    import yaml

    return yaml.safe_dump(value).encode()


class _Writer:
    """Writes one file: trajectories of one length."""

    def __init__(self, samples: GridSamples, length: int, options: ExportOptions) -> None:
        self.samples, self.options = samples, options
        self.lead = int(options.zero_frame and length == 1)
        self.length = length + self.lead
        self.axes = _AXES[: len(samples.grid.shape)]

    def write(self, path: Path, moments: Moments | None, done: int) -> int:
        """Write the file; returns how many samples are done in all."""
        first = self._parts(next(iter(self.samples)))
        tables = {part.table: (self._shape(part), "<f4") for part in first}

        def describe(file: h5py.File) -> None:
            self._describe(file)
            self._dimensions(file)
            self._scalars(file)
            self._sides(file)
            self._fields(file, first)

        with laid_out(path, tables, describe) as put:
            for place, sample in enumerate(self.samples):
                for part in self._parts(sample):
                    if self._by_sample(part):
                        put(part.table, part.values, place)
                    elif place == 0:
                        put(part.table, part.values, None)
                    if moments is not None:
                        moments.add(part.name, part.values, part.in_time, part.order)
                done += 1
                self.options.progress(done)
        return done

    def _describe(self, file: h5py.File) -> None:
        dataset = self.samples.dataset
        file.attrs["dataset_name"] = file_stem(dataset)
        file.attrs["grid_type"] = "cartesian"
        file.attrs["n_spatial_dims"] = len(self.axes)
        file.attrs["n_trajectories"] = len(self.samples)
        constants = _constants(dataset)
        file.attrs.create("simulation_parameters", list(constants), dtype=_TEXT)
        for name, value in constants.items():
            file.attrs[name] = value
        for name, text in provenance(dataset).items():
            file.attrs[f"rekrylov_{name}"] = text
        file["sample_ids"] = dataset.ids

    def _dimensions(self, file: h5py.File) -> None:
        group = file.create_group("dimensions")
        group.attrs.create("spatial_dims", list(self.axes), dtype=_TEXT)
        times = [self._times(row) for row in range(len(self.samples))]
        varying = any(not np.array_equal(times[0], other) for other in times)
        values = np.stack(times) if varying else times[0]
        _varying(group.create_dataset("time", data=values.astype(np.float32)), varying, True)
        for name, axis in zip(self.axes, self.samples.grid.axes, strict=True):
            _varying(group.create_dataset(name, data=axis.astype(np.float32)), False, False)

    def _times(self, row: int) -> NDArray[np.float64]:
        times = self.samples.times(row)
        return np.arange(self.length, dtype=np.float64) if times is None else times

    def _scalars(self, file: h5py.File) -> None:
        dataset, group = self.samples.dataset, file.create_group("scalars")
        found: dict[str, Any] = dict(_constants(dataset))
        for name in dataset.parameters:
            values = dataset.read(f"parameters/{name}").reshape(len(dataset), -1)
            single = dataset.columns[f"parameters/{name}"]["shape"] == []
            names = [name] if single else [f"{name}_{k}" for k in range(values.shape[1])]
            found |= dict(zip(names, values.T, strict=True))
        group.attrs.create("field_names", list(found), dtype=_TEXT)
        for name, value in found.items():
            table = group.create_dataset(name, data=np.asarray(value, dtype=np.float32))
            _varying(table, np.ndim(value) == 1, False)

    def _sides(self, file: h5py.File) -> None:
        group = file.create_group("boundary_conditions")
        found = sides(self.samples.dataset, self.samples.outputs)
        for kind in ("wall", "open"):
            for axis, name in enumerate(self.axes):
                ends = [side for side in found if side.axis == axis and side.kind == kind]
                if ends:
                    self._side(group, f"{name}_{kind}", axis, ends)

    def _side(self, group: h5py.Group, name: str, axis: int, ends: list[Side]) -> None:
        made = group.create_group(name)
        made.attrs.create("associated_dims", [self.axes[axis]], dtype=_TEXT)
        fixed = sorted({field for side in ends for field in side.fixed})
        made.attrs.create("associated_fields", fixed, dtype=_TEXT)
        made.attrs["bc_type"] = ends[0].kind.upper()
        _varying(made, False, False)
        mask = np.zeros(self.samples.grid.shape[axis], dtype=bool)
        mask[[-side.end for side in ends]] = True  # end 0 is place 0, end 1 is place -1
        made["mask"] = mask

    def _fields(self, file: h5py.File, parts: list[_Part]) -> None:
        """Describe the tables of the fields; groups without one exist, too."""
        for part in parts:
            table = file[part.table]
            _varying(table, self._by_sample(part), part.in_time)
            table.attrs["dim_varying"] = np.ones(len(self.axes), dtype=bool)
            if part.order == 2:
                table.attrs["symmetric"] = table.attrs["antisymmetric"] = False
        for order in range(3):
            group = file.require_group(f"t{order}_fields")
            names = [part.name for part in parts if part.order == order]
            group.attrs.create("field_names", names, dtype=_TEXT)

    def _by_sample(self, part: _Part) -> bool:
        """Whether samples differ in it; what is inside of a fixed mesh is the same for all."""
        return part.name != _INSIDE or self.samples.moving

    def _shape(self, part: _Part) -> tuple[int, ...]:
        lead = (len(self.samples),) if self._by_sample(part) else ()
        return (*lead, *part.values.shape)

    def _parts(self, sample: GridSample) -> list[_Part]:
        """What a sample is in the file, in single precision."""
        found = []
        if self.samples.has_outside:
            found.append(_Part(_INSIDE, sample.inside.astype(np.float32), 0, False))
        for name, values in sample.inputs.items():
            found += self._split(name, values, False)
        for name, values in sample.outputs.items():
            frames = np.concatenate([np.zeros_like(values), values]) if self.lead else values
            frames = np.broadcast_to(frames, (self.length, *frames.shape[1:]))
            found += self._split(name, frames, True)
        return found

    def _split(self, name: str, values: NDArray[Any], in_time: bool) -> list[_Part]:
        """A scalar, vector or tensor field, or the components of one of another shape."""
        shape, dim = self.samples.value_shape(name), len(self.axes)
        values = values.astype(np.float32)
        if shape in ((), (dim,), (dim, dim)):
            return [_Part(name, values, len(shape), in_time)]
        flat = values.reshape(*values.shape[: dim + in_time], -1)
        return [_Part(f"{name}_{k}", flat[..., k], 0, in_time) for k in range(flat.shape[-1])]


@dataclass(frozen=True, eq=False)
class _Part:
    """A field of the file: order 0, 1 or 2, its frames first if it varies in time."""

    name: str
    values: NDArray[np.float32]
    order: int
    in_time: bool

    @property
    def table(self) -> str:
        """Its name in the file."""
        return f"t{self.order}_fields/{self.name}"


def _varying(item: h5py.Dataset | h5py.Group, sample: bool, time: bool) -> None:
    item.attrs["sample_varying"], item.attrs["time_varying"] = bool(sample), bool(time)


def _constants(dataset: Dataset) -> dict[str, float]:
    """Numbers of the problem that all samples share: symbol → value."""
    found = {}
    for name, symbol in ((dataset.manifest.get("problem") or {}).get("symbols") or {}).items():
        try:
            found[str(name)] = float(symbol["value"])
        except (KeyError, TypeError, ValueError):
            continue  # a field, a law or an expression in x
    return found
