"""One file with a matrix or vectors: NumPy, SciPy, Matrix Market or PETSc binary.

The kind is told by the first bytes, not by the name. Nothing is unpickled, sizes are compared
with the file's before anything is allocated, and whatever a damaged file makes a parser raise
becomes one `SystemFileError` that names the file.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers.file_checks import SystemFileError, check_real, check_size
from solvers.matrix_market import matrix_market_shape, read_matrix_market

type Array = Any
"""A dense array, or a SciPy sparse matrix or array."""

_PETSC_MAT, _PETSC_VEC = 1211216, 1211214  # MAT_FILE_CLASSID, VEC_FILE_CLASSID of petscmat.h
_EXPECTED = "a NumPy .npy, a SciPy .npz, a Matrix Market .mtx or .mtx.gz, or a PETSc binary file"


def read_arrays(path: Path) -> list[Array]:
    """Read the arrays of a file: one, or all objects of a PETSc binary file in their order.

    Not collective.

    Returns:
        Dense arrays of any shape and SciPy sparse matrices, of real numbers of any type.

    Raises:
        SystemFileError: The file is missing, damaged, of another kind, complex or pickled.
    """
    with _named(path):
        return _kind_of(path).read(path)


def shape_of(path: Path) -> tuple[int, ...]:
    """Return the shape of a file's first array, read from its header.

    Not collective.

    Raises:
        SystemFileError: As `read_arrays`, as far as the header tells.
    """
    with _named(path):
        return _kind_of(path).shape(path)


class _Kind(NamedTuple):
    read: Callable[[Path], list[Array]]
    shape: Callable[[Path], tuple[int, ...]]


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what reading raises into a SystemFileError: parsers raise anything on damage."""
    try:
        yield
    except SystemFileError:
        raise
    except MemoryError as error:
        raise SystemFileError(
            f"{path}: its header asks for more memory than there is ({_line(error)}); "
            "if the file is not damaged, take a larger machine"
        ) from error
    except OSError as error:
        reason = error.strerror or _line(error)
        raise SystemFileError(f"{path}: cannot be read ({reason}); write it again") from error
    except Exception as error:
        raise SystemFileError(f"{path}: damaged ({_line(error)}); write it again") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _kind_of(path: Path) -> _Kind:
    with open(path, "rb") as file:
        start = file.read(16)
    number = int.from_bytes(start[:4], "big")
    if start.startswith(b"\x93NUMPY"):
        return _Kind(_read_npy, _npy_shape)
    if start.startswith(b"PK"):
        return _Kind(_read_npz, _npz_shape)
    if start.startswith(b"%%MatrixMarket"):
        return _Kind(_read_mtx, matrix_market_shape)
    if start.startswith(b"\x1f\x8b"):
        return _Kind(_read_mtx, matrix_market_shape)
    if number in (_PETSC_MAT, _PETSC_VEC):
        return _Kind(_read_petsc, _petsc_shape)
    if number == 0 and int.from_bytes(start[:8], "big") in (_PETSC_MAT, _PETSC_VEC):
        raise SystemFileError(
            f"{path}: written by a PETSc with 64-bit indices; expected 32-bit indices: "
            "write it with another PETSc, or as .npz"
        )
    what = f"it begins with {start!r}" if start else "it is empty"
    raise SystemFileError(f"{path}: {what}; expected {_EXPECTED}")


def _npy_header(file: BinaryIO, path: Path) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type; the file is then at the first value."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise SystemFileError(f"{path}: .npy of version {version}; expected 1.0 or 2.0: save again")
    shape, fortran, dtype = readers[version](file)
    check_real(dtype, path)
    return shape, fortran, dtype


def _npy_shape(path: Path) -> tuple[int, ...]:
    with open(path, "rb") as file:
        return _npy_header(file, path)[0]


def _read_npy(path: Path) -> list[Array]:
    with open(path, "rb") as file:
        shape, fortran, dtype = _npy_header(file, path)
        count = 1
        for length in shape:  # Python integers don't overflow
            count *= length
        values = _take(file, dtype, count, path)
    return [values.reshape(shape, order="F" if fortran else "C")]


def _take(file: BinaryIO, dtype: Any, count: int, path: Path) -> NDArray[Any]:
    """Read `count` numbers, if the file has as many left."""
    left = os.fstat(file.fileno()).st_size - file.tell()
    wanted = count * np.dtype(dtype).itemsize
    if count < 0 or wanted > left:
        raise SystemFileError(
            f"{path}: truncated or damaged: {wanted} bytes of values expected, {left} left; "
            "write it again"
        )
    return np.fromfile(file, dtype, count)


def _npz_shape(path: Path) -> tuple[int, ...]:
    with np.load(path, allow_pickle=False) as members:
        if "shape" not in members or "format" not in members:
            held = ", ".join(members.files) or "nothing"
            raise SystemFileError(
                f"{path}: holds {held}, no SciPy sparse matrix; write it with "
                "scipy.sparse.save_npz (dense arrays: numpy.save)"
            )
        return tuple(int(length) for length in members["shape"])


def _read_npz(path: Path) -> list[Array]:
    check_size(_npz_shape(path), path)  # before SciPy allocates by it
    matrix = sp.load_npz(path)
    check_real(matrix.dtype, path)
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)  # an index out of range would crash later
    return [matrix]


def _read_mtx(path: Path) -> list[Array]:
    return [read_matrix_market(path)]


def _petsc_shape(path: Path) -> tuple[int, ...]:
    with open(path, "rb") as file:
        kind, *lengths = _take(file, ">i4", 3, path).tolist()
    return tuple(lengths) if kind == _PETSC_MAT else (lengths[0],)


def _read_petsc(path: Path) -> list[Array]:
    """All Mats and Vecs of a file, as MatView and VecView of a real PETSc write them."""
    found: list[Array] = []
    with open(path, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        while file.tell() < end:
            place = file.tell()
            kind = int(_take(file, ">i4", 1, path)[0])
            if kind == _PETSC_MAT:
                found.append(_petsc_mat(file, path))
            elif kind == _PETSC_VEC:
                found.append(_take(file, ">f8", int(_take(file, ">i4", 1, path)[0]), path))
            else:
                raise SystemFileError(
                    f"{path}: neither a Mat nor a Vec at byte {place}; the file is damaged, or "
                    "written by a PETSc with complex or single-precision numbers"
                )
    return found


def _petsc_mat(file: BinaryIO, path: Path) -> Array:
    rows, columns, entries = _take(file, ">i4", 3, path).tolist()
    if entries < 0:
        raise SystemFileError(f"{path}: a dense PETSc Mat; expected AIJ: convert it, or numpy.save")
    lengths = _take(file, ">i4", rows, path).astype(np.int64)
    indices = _take(file, ">i4", entries, path).astype(np.int32)
    values = _take(file, ">f8", entries, path)
    if (lengths < 0).any() or lengths.sum() != entries:
        raise SystemFileError(f"{path}: damaged: its row lengths don't add up; write it again")
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    matrix = sp.csr_array((values.astype(float), indices, indptr), shape=(rows, columns))
    matrix.check_format(full_check=True)
    return matrix
