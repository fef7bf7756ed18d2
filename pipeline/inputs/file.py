"""A user's own samples, read from a file."""

import hashlib
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, field_validator

from pipeline.inputs.blas import one_thread
from pipeline.inputs.where import Where
from pipeline.models import SpaceSpec, SpecModel, UserPath
from pipeline.spec_errors import SpecError

__all__ = ["FileField", "FileSamples"]

Array = NDArray[np.float64]

_ROWS_FOR_FEATURES = 256


class FileSamples(SpecModel):
    """Sample i is row i of an array (N, n) in a file.

    n is the number of dofs of the field's space, in the order of the data set's `points` for it
    (canonical order: `spaces.h5`). The file's SHA-256 is part of what determines the data; its
    name and place are not.
    """

    law: Literal["file"] = Field(description="The user's own samples.")
    path: UserPath = Field(description="An .npy, .npz or .h5 (HDF5) file.")
    dataset: str | None = Field(
        None, description="Name of the array in an .npz or .h5 file; default: the only one."
    )
    space: SpaceSpec = Field(SpaceSpec(family="P", degree=1), description="Space of the field.")

    REVISION: ClassVar[int] = 1

    @field_validator("path")
    @classmethod
    def _known_kind(cls, value: str) -> str:
        if Path(value).suffix not in _OPENERS:
            raise ValueError(f"allowed: files ending in {', '.join(_OPENERS)}")
        return value

    def identity_extra(self) -> dict[str, Any]:
        """Return what determines the data beyond the keys: the file's content, not its place.

        Raises:
            SpecError: The file can't be read.
        """
        try:
            stat = Path(self.path).stat()
            digest = _sha256(str(Path(self.path).resolve()), stat.st_mtime_ns, stat.st_size)
        except OSError as error:
            raise SpecError([_unreadable(self.path, error)]) from None
        return {"path": None, "sha256": digest}

    def rows(self) -> int:
        """Return how many samples the file has.

        Raises:
            SpecError: The file can't be read.
        """
        return int(_open(self).shape[0])

    def at(self, where: Where) -> "FileField":
        """Return the sampler. See `FileField`."""
        return FileField(self, where)


class FileField:
    """Rows of the user's array; the latent is the row's values, (n,)."""

    uniforms = 0

    def __init__(self, spec: FileSamples, where: Where) -> None:
        """Open the file.

        Raises:
            SpecError: It can't be read, or its array does not fit the space.
        """
        self._spec, self._rows = spec, _open(spec)
        if self._rows.shape[1] != len(where.points):
            raise SpecError(
                [
                    f"{spec.path}: array of shape {self._rows.shape}; expected "
                    f"(samples, {len(where.points)}), a value for each dof of the field's space"
                ]
            )

    def draw(self, rng: Generator, uniforms: Array, index: int) -> Array:
        """Return row `index`.

        Raises:
            SpecError: The file has too few rows, or the row has a value that is not finite.
        """
        if index >= (rows := self._rows.shape[0]):
            raise SpecError(
                [
                    f"{self._spec.path}: {rows} rows, none for sample {index}; "
                    f"give more rows, or at most {rows} samples"
                ]
            )
        row = np.asarray(self._rows[index], dtype=np.float64)
        if (bad := np.flatnonzero(~np.isfinite(row))).size:
            raise SpecError(
                [f"{self._spec.path}: row {index} has {row[bad[0]]} in column {bad[0]}; not finite"]
            )
        return row

    def evaluate(self, latent: Array) -> Array:
        """Return the row as it is, (n,)."""
        return latent

    def features(self, latent: Array, count: int) -> Array:
        """Return the row's leading principal components, over √n.

        Distances are root-mean-square distances over the dofs, up to what the principal
        directions of the first 256 rows leave out.
        """
        with one_thread():
            return self._directions[:count] @ latent / np.sqrt(len(latent))

    @cached_property
    def _directions(self) -> Array:
        rows = np.nan_to_num(np.asarray(self._rows[:_ROWS_FOR_FEATURES], dtype=np.float64))
        with one_thread():
            return np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2]


@lru_cache(maxsize=64)
def _sha256(path: str, changed: int, size: int) -> str:
    """SHA-256 of a file, in hex; computed again when its time or size changes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open(spec: FileSamples) -> Any:
    """The array, read row by row where the format allows.

    Raises:
        SpecError: There is no such array of numbers.
    """
    try:
        array = _OPENERS[Path(spec.path).suffix](spec)
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError([_unreadable(spec.path, error)]) from None
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise SpecError(
            [f"{spec.path}: {array.dtype} array of shape {array.shape}; expected numbers (N, n)"]
        )
    return array


def _open_npy(spec: FileSamples) -> Any:
    if spec.dataset is not None:
        raise SpecError([f"dataset: got {spec.dataset!r}; an .npy file has one array, no names"])
    array = np.load(spec.path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is an .npz file")
    return array


def _open_npz(spec: FileSamples) -> Any:
    arrays = np.load(spec.path, allow_pickle=False)
    if isinstance(arrays, np.ndarray):
        raise ValueError("it is an .npy file")
    with arrays:
        return arrays[_name(spec, list(arrays))]


def _open_hdf5(spec: FileSamples) -> Any:
    import h5py  # storage asks for it first, and says so if DOLFINx was loaded before

    file = h5py.File(spec.path, "r")
    names: list[str] = []
    file.visititems(lambda n, item: names.append(n) if isinstance(item, h5py.Dataset) else None)
    return file[_name(spec, names)]


_OPENERS: dict[str, Callable[[FileSamples], Any]] = {
    ".npy": _open_npy,
    ".npz": _open_npz,
    ".h5": _open_hdf5,
    ".hdf5": _open_hdf5,
}


def _name(spec: FileSamples, names: list[str]) -> str:
    """The array that is meant: the one named, or the only one."""
    wanted = spec.dataset.strip("/") if spec.dataset is not None else None
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted not in names:
        raise SpecError(
            [f"dataset: got {spec.dataset!r}; {spec.path} has {', '.join(names) or 'no arrays'}"]
        )
    return wanted


def _unreadable(path: str, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    return f"{path}: cannot be read ({reason}); give a file with the samples"
