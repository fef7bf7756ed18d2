"""The arrays of a sequential AIJ matrix, as they lie in PETSc's memory."""

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from petsc4py import PETSc

__all__ = ["csr_arrays"]


@functools.cache
def _petsc() -> ctypes.CDLL:
    """PETSc's own functions; petsc4py's copies of arrays cost as much as a solve in a block."""
    return ctypes.CDLL(PETSc.__file__)


@contextmanager
def csr_arrays(A: PETSc.Mat) -> Iterator[tuple[Any, Any, Any]]:
    """Give (indptr, indices, values) of A to read inside the `with`; not collective.

    Views of PETSc's memory for a matrix of type seqaij, copies for other types.
    """
    if A.getType() != PETSc.Mat.Type.SEQAIJ:
        yield A.getValuesCSR()
        return
    petsc, mat = _petsc(), ctypes.c_void_p(A.handle)
    kind: Any = ctypes.c_int32 if np.dtype(PETSc.IntType).itemsize == 4 else ctypes.c_int64
    n, ia, ja = kind(), ctypes.POINTER(kind)(), ctypes.POINTER(kind)()
    values, done = ctypes.POINTER(ctypes.c_double)(), ctypes.c_int()
    rows = (mat, kind(0), 0, 0, *map(ctypes.byref, (n, ia, ja, done)))
    if petsc.MatGetRowIJ(*rows) or petsc.MatSeqAIJGetArrayRead(mat, ctypes.byref(values)):
        raise RuntimeError("PETSc gave no access to the arrays of a matrix")
    try:
        indptr = np.ctypeslib.as_array(ia, (n.value + 1,))
        count = (int(indptr[-1]),)
        if count[0]:
            yield indptr, np.ctypeslib.as_array(ja, count), np.ctypeslib.as_array(values, count)
        else:
            yield A.getValuesCSR()
    finally:
        petsc.MatSeqAIJRestoreArrayRead(mat, ctypes.byref(values))
        petsc.MatRestoreRowIJ(*rows)
