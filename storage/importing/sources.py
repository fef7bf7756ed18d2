"""Files of arrays, read a block of samples at a time: HDF5, NPZ, and PyTorch's dictionaries."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.errors import StorageError

__all__ = ["Rows", "SourceFile", "open_source"]

type Array = npt.NDArray[Any]
type Rows = Callable[[str, int, int, int], Array]
"""(key, axis of the samples, start, stop) → the block as it lies in the file."""

_NUMBERS = "biuf"
_READING = (OSError, EOFError, ValueError, RuntimeError, KeyError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, eq=False)
class SourceFile:
    """An open file.

    Attributes:
        path: of the file.
        kind: "hdf5", "npz" or "pt".
        shapes: key → shape of each numeric array.
        dtypes: key → its type.
        rows: reads some samples of an array; blocks in ascending order are read once.
    """

    path: Path
    kind: str
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype]
    rows: Rows = field(repr=False)

    def whole(self, key: str) -> Array:
        """Read a whole array; for small ones, such as coordinates."""
        shape = self.shapes[key]
        return self.rows(key, 0, 0, shape[0]) if shape else self.rows(key, 0, 0, 1)

    def said(self) -> str:
        """Keys and shapes in one line, for messages."""
        return ", ".join(f"{key} {shape}" for key, shape in self.shapes.items()) or "no array"


@contextmanager
def open_source(path: Path) -> Iterator[SourceFile]:
    """Open a file of arrays for reading; what it is, its first bytes say.

    Raises:
        StorageError: there is none, it is none of the three formats, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder; expected a file" if path.is_dir() else "there is no such file"
        raise StorageError(f"{path}: {what}")
    with ExitStack() as stack:
        with _named(path):
            source = stack.enter_context(_opener(path)(path))

        def rows(key: str, axis: int, start: int, stop: int) -> Array:
            with _named(path):
                return source.rows(key, axis, start, stop)

        yield replace(source, rows=rows)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever reading raises is a StorageError that names the file."""
    try:
        yield
    except _READING as error:
        reason = " ".join(str(error).split())[:300]
        raise StorageError(f"{path}: can't be read ({type(error).__name__}: {reason})") from error


def _opener(path: Path) -> Any:
    import h5py

    if h5py.is_hdf5(path):
        return _hdf5
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if names and all(name.endswith(".npy") for name in names):
            return _npz
        if any(name.endswith("data.pkl") for name in names):
            return _torch
    raise StorageError(
        f"{path}: is neither HDF5 nor NPZ nor a file of torch.save, or is damaged; convert it to "
        "one of them"
    )


@contextmanager
def _hdf5(path: Path) -> Iterator[SourceFile]:
    import h5py

    with h5py.File(path, "r") as file:
        found: dict[str, Any] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind in _NUMBERS:
                found[name] = item

        file.visititems(visit)

        def rows(key: str, axis: int, start: int, stop: int) -> Array:
            if not found[key].shape:
                return np.asarray(found[key][()])
            return found[key][(slice(None),) * axis + (slice(start, stop),)]

        shapes = {key: item.shape for key, item in found.items()}
        yield SourceFile(path, "hdf5", shapes, {k: i.dtype for k, i in found.items()}, rows)


@contextmanager
def _torch(path: Path) -> Iterator[SourceFile]:
    try:
        import torch
    except ImportError as error:
        raise StorageError(f"{path}: needs PyTorch to be read; install it") from error
    try:
        read = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # an unpickling error of many kinds
        raise StorageError(
            f"{path}: is damaged, or holds more than tensors ({type(error).__name__}), which "
            "could run code when it is read; save a plain dictionary of tensors"
        ) from error
    if not isinstance(read, Mapping):
        raise StorageError(
            f"{path}: holds a {type(read).__name__}; expected a dictionary of tensors"
        )
    tensors = {str(k): v for k, v in read.items() if isinstance(v, torch.Tensor)}
    tensors = {k: v for k, v in tensors.items() if not v.is_complex() and not v.is_sparse}

    def rows(key: str, axis: int, start: int, stop: int) -> Array:
        tensor = tensors[key]
        part = tensor.narrow(axis, start, stop - start) if tensor.ndim else tensor
        return (part.float() if part.dtype is torch.bfloat16 else part).numpy()

    half = {k: torch.empty(0, dtype=v.dtype) for k, v in tensors.items()}
    dtypes = {
        k: np.dtype(np.float32) if v.dtype is torch.bfloat16 else v.numpy().dtype
        for k, v in half.items()
    }
    yield SourceFile(path, "pt", {k: tuple(v.shape) for k, v in tensors.items()}, dtypes, rows)


@contextmanager
def _npz(path: Path) -> Iterator[SourceFile]:
    with zipfile.ZipFile(path) as archive:
        members = {n.removesuffix(".npy"): _Member(archive, n) for n in archive.namelist()}
        found = {key: member for key, member in members.items() if member.dtype.kind in _NUMBERS}

        def rows(key: str, axis: int, start: int, stop: int) -> Array:
            return found[key].rows(axis, start, stop)

        try:
            shapes = {key: member.shape for key, member in found.items()}
            dtypes = {key: member.dtype for key, member in found.items()}
            yield SourceFile(path, "npz", shapes, dtypes, rows)
        finally:
            for member in members.values():
                member.close()


class _Member:
    """An array in a zip file: compressed or not, it is read from front to back."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._archive, self._name = archive, name
        self._stream: Any = None
        self._whole: Array | None = None
        self._position = 0
        self.shape, self._fortran, self.dtype = self._start()
        self.close()

    def rows(self, axis: int, start: int, stop: int) -> Array:
        if axis or self._fortran or not self.shape:  # the samples are not one after the other
            if self._whole is None:
                with self._archive.open(self._name) as stream:
                    self._whole = np.lib.format.read_array(stream, allow_pickle=False)
            if not self.shape:
                return self._whole
            return self._whole[(slice(None),) * axis + (slice(start, stop),)]
        if self._stream is None or self._position > start:
            self._start()
        stop = min(stop, self.shape[0])
        row = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        self._skip((start - self._position) * row)
        block = np.empty((stop - start, *self.shape[1:]), self.dtype)
        self._fill(block)
        self._position = stop
        return block

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = self._whole = None

    def _start(self) -> tuple[tuple[int, ...], bool, np.dtype]:
        self.close()
        self._stream, self._position = self._archive.open(self._name), 0
        version = np.lib.format.read_magic(self._stream)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(self._stream)
        return np.lib.format.read_array_header_2_0(self._stream)

    def _skip(self, count: int) -> None:
        while count > 0 and (read := len(self._stream.read(min(count, 1 << 20)))):
            count -= read

    def _fill(self, block: Array) -> None:
        target = memoryview(block.reshape(-1)).cast("B") if block.size else memoryview(b"")
        done = 0
        while done < len(target):
            piece = self._stream.read(min(len(target) - done, 1 << 20))
            if not piece:
                raise StorageError(f"{self._archive.filename}: {self._name} ends too early")
            target[done : done + len(piece)] = piece
            done += len(piece)
