"""The Matrix Market format (Boisvert, Pozo, Remington, NISTIR 5935, 1996), plain or gzipped.

A reader of our own, since SciPy's (1.18) can crash or hang the process on a damaged file, and a
bad file must not end the work on the others.
"""

import gzip
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers.file_checks import SystemFileError, check_real, check_size

_LONGEST = 1 << 16  # bytes a header line


class _Header(NamedTuple):
    """`entries` is None for a dense array."""

    shape: tuple[int, int]
    entries: int | None
    symmetry: str


def read_matrix_market(path: Path) -> NDArray[np.float64] | sp.coo_array:
    """Read a real or integer matrix, or a dense array. Not collective.

    Symmetric and skew-symmetric matrices are completed; repeated entries stay (they add up).

    Raises:
        SystemFileError: The values are not real, the size can't be.
        ValueError, OSError, EOFError: The text or its compression is damaged.
    """
    with closing(_open(path)) as file:
        header = _header(file, path)
        text = file.read()
    numbers = _numbers(text)
    if header.entries is None:
        return _dense(numbers, header)
    if len(numbers) != 3 * header.entries:
        raise ValueError(
            f"{len(numbers)} numbers for {header.entries} entries, expected {3 * header.entries}"
        )
    return _sparse(numbers.reshape(-1, 3), header)


def matrix_market_shape(path: Path) -> tuple[int, int]:
    """Return the shape that the header says. Not collective. Raises as `read_matrix_market`."""
    with closing(_open(path)) as file:
        return _header(file, path).shape


def _open(path: Path) -> BinaryIO:
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else open(path, "rb")


def _header(file: BinaryIO, path: Path) -> _Header:
    """Read the banner, the comments and the line of sizes; the body comes next."""
    words = file.readline(_LONGEST).decode("ascii", "replace").lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"]:
        raise ValueError(f"its first line is {' '.join(words)[:80]!r}")
    layout, field, symmetry = words[2:]
    if field == "complex" or symmetry == "hermitian":
        check_real(np.dtype(complex), path)
    if field == "pattern":
        raise SystemFileError(f"{path}: a pattern without values; expected real numbers")
    if layout not in ("coordinate", "array") or field not in ("real", "double", "integer"):
        raise ValueError(f"{layout} {field} is no kind of matrix")
    if symmetry not in ("general", "symmetric", "skew-symmetric"):
        raise ValueError(f"{symmetry} is no symmetry")
    line = file.readline(_LONGEST)
    while line.startswith(b"%") or line.isspace():
        line = file.readline(_LONGEST)
    sizes = [int(word) for word in line.split()]
    if len(sizes) != (3 if layout == "coordinate" else 2):
        raise ValueError(f"its line of sizes is {line[:80]!r}")
    check_size(sizes, path)
    return _Header((sizes[0], sizes[1]), sizes[2] if layout == "coordinate" else None, symmetry)


def _numbers(text: bytes) -> NDArray[np.float64]:
    if not text.strip():
        return np.empty(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # before 2.5 NumPy only warns of letters
        return np.fromstring(text, sep=" ")  # type: ignore[call-overload, no-any-return]


def _dense(numbers: NDArray[np.float64], header: _Header) -> NDArray[np.float64]:
    """The array from its columns, of which symmetric ones have the lower triangle only."""
    rows, columns = header.shape
    expected = rows * columns
    if header.symmetry != "general":
        strict = header.symmetry == "skew-symmetric"
        expected = rows * (rows - 1) // 2 if strict else rows * (rows + 1) // 2
    if len(numbers) != expected:
        raise ValueError(f"{len(numbers)} numbers, expected {expected}")
    if header.symmetry == "general":
        return numbers.reshape(header.shape, order="F")
    if rows != columns:
        raise ValueError(f"{header.symmetry}, but {rows} × {columns}")
    found = np.zeros(header.shape)
    upper = np.triu_indices(rows, k=int(strict))  # by rows: the transposed lower one by columns
    found[upper] = -numbers if strict else numbers
    found.T[upper] = numbers
    return found


def _sparse(entries: NDArray[np.float64], header: _Header) -> sp.coo_array:
    """The matrix of lines (row, column, value) that count from 1."""
    places, values = entries[:, :2], entries[:, 2]
    good = (places >= 1) & (places <= header.shape) & (places == np.floor(places))
    if not good.all():
        k = int(np.flatnonzero(~good.all(axis=1))[0])
        raise ValueError(f"entry {k + 1} is at {places[k, 0]:g}, {places[k, 1]:g}: out of bounds")
    rows, columns = (places - 1).astype(np.int64).T
    if header.symmetry != "general":
        if header.shape[0] != header.shape[1]:
            raise ValueError(f"{header.symmetry}, but {header.shape[0]} × {header.shape[1]}")
        below = rows != columns
        sign = 1.0 if header.symmetry == "symmetric" else -1.0
        rows, columns, values = (
            np.concatenate([rows, columns[below]]),
            np.concatenate([columns, rows[below]]),
            np.concatenate([values, sign * values[below]]),
        )
    place: Any = (rows, columns)
    return sp.coo_array((values, place), shape=header.shape)
