"""Linear systems that lie in a folder as files: which there are, and reading A and b of one.

The convention, in full in `docs/systems.md`: `NAME.A.<ext>` is a matrix, `NAME.b.<ext>` its
right-hand side, `A.<ext>` and `b.<ext>` are shared by the names that have none of their own, and
`NAME.petsc` is a PETSc binary file with both. An `index.csv` gives any other names.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers.array_files import Array, read_arrays
from solvers.file_checks import LARGEST, SystemFileError

__all__ = [
    "SystemFile",
    "SystemFileError",
    "SystemFolder",
    "find_systems",
    "read_matrix",
    "read_right",
]

SUFFIXES = ("npz", "npy", "mtx", "mtx.gz", "petsc", "bin", "dat")
INDEX, FEATURES = "index.csv", "features.npy"
_PART = re.compile(r"^(?:(?P<name>[^.].*)\.)?(?P<role>[Ab])\.(?P<suffix>[^.]+(?:\.gz)?)$")
_HOW = (
    "NAME.A.npz (or .mtx, .mtx.gz, .npy, .petsc) beside NAME.b.npy, a shared A.* or b.*, "
    f"NAME.petsc with both, or an {INDEX}"
)


@dataclass(frozen=True, slots=True)
class SystemFile:
    """A system of a folder, not read yet.

    Attributes:
        name: Of its solution.
        matrix: The file of A; None only where there is a problem.
        right: The file of b; None: b follows A in the file of A.
        problem: What is wrong with it already, in one line; "" if nothing is.
    """

    name: str
    matrix: Path | None
    right: Path | None
    problem: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class SystemFolder:
    """The systems of a folder.

    Attributes:
        files: In the order of `index.csv`, or else of their names' code points.
        features: (n, d) numbers to sort them by, if the user gives any.
    """

    files: list[SystemFile]
    features: NDArray[np.float64] | None


def find_systems(folder: str | Path) -> SystemFolder:
    """List the systems of a folder; of the files only the index and the features are read.

    Not collective. What is wrong with one system is kept as its `problem`.

    Raises:
        SystemFileError: There is no folder or no system in it; the index or the features can't
            be used.
    """
    folder = Path(folder)
    try:
        present = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise SystemFileError(
            f"{folder}: cannot be listed ({error.strerror}); give the folder with the systems"
        ) from error
    parts = _Parts(folder, present)
    features = None
    if INDEX in present:
        files, features = _indexed(folder / INDEX, parts)
    else:
        files = [parts.system(name) for name in parts.names()]
    if not files:
        seen = ", ".join(present[:5]) + (", …" if len(present) > 5 else "") or "no file"
        raise SystemFileError(f"{folder}: no system found, only {seen}; expected {_HOW}")
    if FEATURES in present:
        if features is not None:
            raise SystemFileError(
                f"{folder / FEATURES}: {INDEX} has columns of features too; keep one of the two"
            )
        features = _features(folder / FEATURES, len(files))
    return SystemFolder(files, features)


def read_matrix(file: SystemFile) -> tuple[sp.csr_array, list[Array]]:
    """Read A, in float64 with sorted int32 indices, and what else its file holds. Not collective.

    Raises:
        SystemFileError: It is missing, damaged, not square, not real or not finite.
    """
    if file.problem or file.matrix is None:
        raise SystemFileError(file.problem or f"{file.name}: no matrix; expected {_HOW}")
    first, *rest = read_arrays(file.matrix) or [np.empty(0)]
    return _square(first, file.matrix), rest


def read_right(file: SystemFile, n: int, rest: list[Array]) -> NDArray[np.float64]:
    """Read b, (n,) or (n, k), from its own file or from the rest of the matrix's.

    Not collective. A single column of a Matrix Market or sparse file is (n,).

    Raises:
        SystemFileError: It is missing, damaged, not real, not finite, or doesn't fit n rows.
    """
    path = file.right or file.matrix
    arrays = rest if file.right is None else read_arrays(file.right)
    if not arrays:
        raise SystemFileError(
            f"{path}: no right-hand side for {file.name!r}; expected {file.name}.b.npy (or .mtx, "
            ".mtx.gz, .npz, .petsc), a shared b.*, or a Vec behind the Mat of a PETSc file"
        )
    if any(array.shape[:1] != (n,) or array.ndim > 2 for array in arrays):
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise SystemFileError(f"{path}: b has shape {shapes}; expected ({n},) or ({n}, k), as A")
    columns = [a if isinstance(a, np.ndarray) else a.toarray() for a in arrays]
    one = len(columns) == 1
    b = columns[0] if one else np.column_stack(columns)
    if b.ndim == 2 and b.shape[1] == 0:
        raise SystemFileError(f"{path}: b has no column; expected ({n},) or ({n}, k), k ≥ 1")
    if one and b.shape == (n, 1) and not str(path).endswith(".npy"):
        b = b[:, 0]
    b = np.ascontiguousarray(b, dtype=np.float64)
    if not np.isfinite(b).all():
        row = int(np.argwhere(~np.isfinite(b))[0][0])
        raise SystemFileError(f"{path}: b holds NaN or Inf, first in row {row}; mend it")
    return b


def _square(array: Array, path: Path) -> sp.csr_array:
    """The matrix as PETSc wants it."""
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        shape = " × ".join(map(str, array.shape))
        raise SystemFileError(f"{path}: A is {shape}; expected a square matrix")
    if array.shape[0] == 0 or (sp.issparse(array) and array.nnz > LARGEST):
        raise SystemFileError(f"{path}: A has no row, or more than {LARGEST} entries")
    matrix = sp.csr_array(array, dtype=np.float64)
    matrix.sum_duplicates()  # sorts the indices too
    matrix.indptr, matrix.indices = (
        part.astype(np.int32, copy=False) for part in (matrix.indptr, matrix.indices)
    )
    bad = np.flatnonzero(~np.isfinite(matrix.data))
    if bad.size:
        row = int(np.searchsorted(matrix.indptr, bad[0], side="right")) - 1
        raise SystemFileError(
            f"{path}: {bad.size} entries of A are NaN or Inf, the first in row {row}, column "
            f"{matrix.indices[bad[0]]} (from 0); mend it"
        )
    return matrix


class _Parts:
    """The files of a folder by system and role ("A", "b" or "both")."""

    def __init__(self, folder: Path, present: list[str]) -> None:
        self._folder = folder
        self._found: dict[str, dict[str, list[str]]] = {}
        for file in present:
            match = _PART.match(file)
            if match is not None:
                self._add(match["name"] or "", match["role"], file)
            elif file.endswith(".petsc") and not file.startswith("."):
                self._add(file.removesuffix(".petsc"), "both", file)

    def _add(self, name: str, role: str, file: str) -> None:
        self._found.setdefault(name, {}).setdefault(role, []).append(file)

    def names(self) -> list[str]:
        """The systems; one called "system" if there is nothing but A.* and b.*."""
        names = sorted(name for name in self._found if name)
        return names or (["system"] if "A" in self._found.get("", {}) else [])

    def system(self, name: str) -> SystemFile:
        """The files of a name: its own, else the shared ones."""
        own, shared = self._found.get(name, {}), self._found.get("", {})
        matrices = own.get("A", []) + own.get("both", []) or shared.get("A", [])
        rights = own.get("b") or ([] if "both" in own else shared.get("b", []))
        for found, what in ((matrices, "matrix"), (rights, "right-hand side")):
            if problem := self._problem(name, found, what):
                return SystemFile(name, None, None, problem)
        if not matrices:
            at = self._folder / (rights[0] if rights else name)
            problem = f"{at}: no matrix for {name!r}; expected {name}.A.npz (or .mtx, …), or A.*"
            return SystemFile(name, None, None, problem)
        right = self._folder / rights[0] if rights else None
        return SystemFile(name, self._folder / matrices[0], right)

    def _problem(self, name: str, found: list[str], what: str) -> str:
        if len(found) > 1:
            files = " and ".join(found)
            return f"{self._folder / found[0]}: {files} both give the {what} of {name!r}; keep one"
        if found and not found[0].endswith(tuple(f".{suffix}" for suffix in SUFFIXES)):
            at = self._folder / found[0]
            return f"{at}: unknown kind of file; expected one of .{', .'.join(SUFFIXES)}"
        return ""


def _indexed(path: Path, parts: _Parts) -> tuple[list[SystemFile], NDArray[np.float64] | None]:
    """The systems of an index, a row each, and its further columns as features."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader]
            columns = list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SystemFileError(f"{path}: cannot be read ({error}); write it as CSV") from error
    if "name" not in columns or len(set(columns)) < len(columns):
        raise SystemFileError(
            f"{path}: columns {', '.join(columns) or 'none'}; expected 'name', 'A' and 'b' if "
            "files are named otherwise, and numbers to sort by, each once"
        )
    wanted = [column for column in columns if column not in ("name", "A", "b")]
    files: list[SystemFile] = []
    features = np.empty((len(rows), len(wanted)))
    seen: dict[str, int] = {}
    for k, (line, row) in enumerate(rows):
        files.append(_row_system(path, line, row, parts, seen))
        for j, column in enumerate(wanted):
            features[k, j] = _number(row[column], f"{path} line {line}: {column}")
    return files, features if wanted else None


def _row_system(
    path: Path, line: int, row: dict[Any, Any], parts: _Parts, seen: dict[str, int]
) -> SystemFile:
    where, name = f"{path} line {line}", row["name"] or ""
    problem = ""
    if None in row or None in row.values():
        raise SystemFileError(f"{where}: another number of cells than in the first line; mend it")
    if not re.fullmatch(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]{0,199}", name):
        problem = f"{where}: name {name!r}; expected 1 to 200 characters, no slash, no dot in front"
    elif name in seen:
        problem = f"{where}: name {name!r} is that of line {seen[name]} too; rename one"
    seen.setdefault(name, line)
    if problem:
        return SystemFile(name, None, None, problem)
    given = {role: path.parent / row[role] for role in ("A", "b") if row.get(role)}
    if "A" in given:
        return SystemFile(name, given["A"], given.get("b") or parts.system(name).right)
    found = parts.system(name)
    return SystemFile(name, found.matrix, given.get("b", found.right), found.problem)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise SystemFileError(f"{where}: {text!r}; expected a finite number to sort by")
    return value


def _features(path: Path, count: int) -> NDArray[np.float64]:
    (array,) = read_arrays(path)
    if not isinstance(array, np.ndarray) or array.ndim not in (1, 2) or len(array) != count:
        raise SystemFileError(
            f"{path}: shape {array.shape}; expected ({count}, d), a row for each system by name"
        )
    features = array.reshape(count, -1).astype(np.float64)
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise SystemFileError(f"{path}: row {row} holds NaN or Inf; expected finite numbers")
    return features
