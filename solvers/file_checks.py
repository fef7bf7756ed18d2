"""What is refused in files of matrices and vectors, whatever wrote them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

LARGEST = 2**31 - 1
"""Rows and stored entries that this PETSc, with 32-bit indices, can count."""


class SystemFileError(ValueError):
    """A file of a system that can't be used; one line: which, what is wrong, what to do."""


def check_real(dtype: np.dtype, path: Path) -> None:
    """Refuse what is no real number. Not collective. Raises SystemFileError."""
    if dtype.kind == "c":
        raise SystemFileError(
            f"{path}: complex values; expected real ones: solve the equivalent real system of "
            "twice the size"
        )
    if dtype.hasobject:
        raise SystemFileError(
            f"{path}: Python objects (a pickle), which are never loaded; save numbers"
        )
    if dtype.kind not in "biuf":
        raise SystemFileError(f"{path}: values of type {dtype}; expected real numbers")


def check_size(shape: Sequence[int], path: Path) -> None:
    """Refuse a shape that can't be, before anything is allocated by it. Not collective.

    Raises:
        SystemFileError: A length is negative or above `LARGEST`.
    """
    if any(not 0 <= length <= LARGEST for length in shape):
        raise SystemFileError(
            f"{path}: its header says {' × '.join(map(str, shape))}; at most {LARGEST} rows can "
            "be solved here: the file may be damaged"
        )
