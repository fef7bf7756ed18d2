"""One rank's share of a folder of systems: read, compared with what is stored, solved, written."""

import io
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.interrupt import StopFlag
from storage.files import commit_bytes, remove_file

__all__ = ["Share", "report_row"]

_KEPT = ("kept",)


@dataclass(slots=True, eq=False)
class _Pending:
    """A system that was read, and the solutions of its columns as they come."""

    index: int
    position: int
    b: NDArray[np.float64]
    solutions: list[Any]


class Share:
    """The systems of one rank, and the rows of the report that they become.

    Not collective. Solutions come in the order of the systems, but maybe several systems later.

    Attributes:
        rtol: The bound on the true residual.
        rows: Of the report, by index, one for each system that is done.
    """

    def __init__(
        self, files: list[Any], target: Path, rtol: float, stop: StopFlag, counter: Any
    ) -> None:
        self.rtol = rtol
        self.rows: dict[int, dict[str, Any]] = {}
        self._files, self._target, self._stop, self._counter = files, target, stop, counter
        self._awaited: deque[tuple[_Pending, int]] = deque()

    def systems(self, path: Any, position: int) -> Generator[Any]:
        """Yield what is to be solved.

        Args:
            path: Indices of the files, in the order of solving.
            position: The place of path[0] on the path of all ranks.
        """
        from solvers.file_checks import SystemFileError
        from solvers.system_reader import SystemReader

        with SystemReader() as reader:
            for place, i in enumerate(path, start=position):
                if self._stop:
                    return
                file = self._files[i]
                try:
                    b = reader.open(file)
                except SystemFileError as error:
                    row = report_row(file, status="failed", error=str(error))
                    self._done(int(i), place, row)
                else:
                    pending = _Pending(int(i), place, b, [None] * (b.size // len(b)))
                    with closing(reader.systems(int(i), b)) as systems:
                        yield from self._columns(pending, systems)

    def receive(self, solution: Any) -> None:
        """Take the solution of the next system that was yielded."""
        self._fill(*self._awaited.popleft(), solution)

    def _columns(self, pending: _Pending, systems: Iterator[Any]) -> Iterator[Any]:
        """Yield the columns of b whose stored solution doesn't verify."""
        from solvers import Reason, Solution, true_residual

        stored = self._stored(self._files[pending.index], pending.b)
        for j, system in enumerate(systems):
            if self._stop:
                return  # a system of which columns are missing is not written
            if stored is not None:
                rho = true_residual(system.A, system.b, stored[:, j])
                if rho <= self.rtol:
                    kept = Solution(system.id, stored[:, j], Reason.CONVERGED, 0, rho, 0.0, _KEPT)
                    self._fill(pending, j, kept)
                    continue
            self._awaited.append((pending, j))
            yield system

    def _fill(self, pending: _Pending, j: int, solution: Any) -> None:
        pending.solutions[j] = solution
        if all(solution is not None for solution in pending.solutions):
            row = self._store(self._files[pending.index], pending.b, pending.solutions)
            self._done(pending.index, pending.position, row)

    def _done(self, index: int, position: int, row: dict[str, Any]) -> None:
        self.rows[index] = row | {"position": position}
        self._counter.add(row["status"] == "failed")

    def _stored(self, file: Any, b: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """(n, k), the solution of an earlier run; None if there is none of that shape."""
        from solvers.array_files import read_arrays
        from solvers.file_checks import SystemFileError

        path = self._path(file)
        try:
            (x,) = read_arrays(path) if path.exists() else [np.empty(0)]
        except SystemFileError:
            return None  # damaged: solved again
        same = isinstance(x, np.ndarray) and x.shape == b.shape
        return x.astype(np.float64).reshape(len(b), -1) if same else None

    def _path(self, file: Any) -> Path:
        return self._target / f"{file.name}.npy"

    def _store(self, file: Any, b: NDArray[np.float64], solutions: list[Any]) -> dict[str, Any]:
        """Write the columns that converged, and say how it went."""
        bad = [j for j, solution in enumerate(solutions) if not solution.converged]
        kept = all(solution.ladder == _KEPT for solution in solutions)
        if len(bad) == len(solutions):
            remove_file(self._path(file))  # a solution of other data, or for a larger rtol
        elif not kept:
            columns = [s.x if s.converged else np.full(len(b), np.nan) for s in solutions]
            buffer = io.BytesIO()
            np.save(buffer, np.column_stack(columns).reshape(b.shape))
            content = buffer.getvalue()  # no getbuffer: a crash at exit, CPython gh-111049
            commit_bytes(self._path(file), content, replace=True)
        row = report_row(file, status="failed" if bad else "kept" if kept else "solved")
        row["file"] = None if len(bad) == len(solutions) else self._path(file).name
        row["iterations"] = sum(solution.iterations for solution in solutions)
        row["seconds"] = sum(solution.seconds for solution in solutions)
        row["true_residual"] = max(
            (solution.true_residual for solution in solutions if solution.converged), default=None
        )
        row["ladder"] = [s.ladder for s in solutions] if b.ndim == 2 else solutions[0].ladder
        if bad:
            row["failed_columns"] = bad if b.ndim == 2 else None
            row["error"] = _why(file, solutions[bad[0]], f", column {bad[0]}" if b.ndim > 1 else "")
        return row


def _why(file: Any, solution: Any, column: str) -> str:
    """Why a system has no solution, in one line that begins with its file."""
    from solvers import Reason

    text = solution.reason.text
    direct = solution.ladder and solution.ladder[-1].startswith("direct")
    if direct and solution.reason in (Reason.STAGNATED, Reason.NOT_FINITE):
        text = "A is singular, or too nearly so: LU doesn't reach rtol either; look at A"
    return f"{file.matrix}{column}: {text} (true residual {solution.true_residual:.1e})"


def report_row(file: Any, status: str, error: str | None = None) -> dict[str, Any]:
    """A row of the report; what was never on the path has no position."""
    return {
        "name": file.name,
        "status": status,
        "file": None,
        "error": error,
        "matrix": None if file.matrix is None else str(file.matrix),
        "right": None if file.right is None else str(file.right),
        "position": None,
    }
