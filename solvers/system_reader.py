"""Systems of files as PETSc objects, one at a time: what `solve_stream` takes."""

from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from petsc4py import PETSc

from solvers.file_checks import SystemFileError
from solvers.system import System
from solvers.system_files import SystemFile, find_systems, read_matrix, read_right

OnError = Callable[[SystemFile, SystemFileError], object]


def read_systems(
    source: str | Path | Iterable[SystemFile], on_error: OnError | None = None
) -> Generator[System]:
    """Read systems one by one for `solve_stream(…, comm=MPI.COMM_SELF)`.

    A system's `id` is its place in `source`. The columns of a b of shape (n, k) are k systems of
    the same id and the same Mat. Only one matrix is held, and it is kept while the next systems
    name the same file. Matrix and right-hand side are destroyed when the next one is pulled.
    Not collective: every rank reads what it is given, on its own.

    Args:
        source: A folder, or `SystemFile`s in any order.
        on_error: Called with a system that can't be read, which is then left out.

    Raises:
        SystemFileError: A system can't be read and there is no `on_error`; or as `find_systems`.
    """
    files = find_systems(source).files if isinstance(source, str | Path) else source
    with SystemReader() as reader:
        for i, file in enumerate(files):
            try:
                b = reader.open(file)
            except SystemFileError as error:
                if on_error is None:
                    raise
                on_error(file, error)
                continue
            yield from reader.systems(i, b)


class SystemReader:
    """The matrix at hand, kept while systems share it. A context manager. Not collective."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._A: PETSc.Mat | None = None

    def __enter__(self) -> "SystemReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Destroy the matrix."""
        if self._A is not None:
            _destroy(self._A)
        self._A = self._path = None

    def open(self, file: SystemFile) -> NDArray[np.float64]:
        """Read a system and return b, (n,) or (n, k); A is at hand for `systems` then.

        Raises:
            SystemFileError: As `read_matrix` and `read_right`.
        """
        if self._A is not None and self._path == file.matrix and file.right is not None:
            return read_right(file, self._A.getSize()[0], [])
        matrix, rest = read_matrix(file)
        b = read_right(file, matrix.shape[0], rest)
        self.close()
        self._A, self._path = to_petsc(matrix), file.matrix
        return b

    def systems(self, number: int, b: NDArray[np.float64]) -> Generator[System]:
        """Yield the system of each column of b, all with id `number`."""
        assert self._A is not None
        for column in b.reshape(len(b), -1).T:
            right = self._A.createVecLeft()
            right.setArray(column)  # type: ignore[arg-type]
            try:
                yield System(number, self._A, right)
            finally:
                _destroy(right)


def to_petsc(matrix: sp.csr_array) -> PETSc.Mat:
    """A serial AIJ matrix with the same entries; the caller destroys it. Not collective."""
    csr = (matrix.indptr, matrix.indices, matrix.data)
    A = PETSc.Mat().createAIJ(matrix.shape, csr=csr, comm=PETSc.COMM_SELF)
    A.assemble()
    return A


def _destroy(part: PETSc.Object) -> None:
    """Destroy, unless PETSc has ended: an iterator left half-way may be closed that late."""
    if not PETSc.Sys.isFinalized():
        part.destroy()
