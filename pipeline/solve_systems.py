"""Solve the linear systems that lie in a folder: sorted, farmed over the ranks, verified.

Each rank reads and solves a contiguous piece of the sorted path by itself, one system at a time,
so recycled space, lagged preconditioner and guess pass on within the piece. Solutions are written
as they come; the state of a run is the solutions that verify, nothing else.
"""

import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from pipeline.collective import on_root, together
from pipeline.interrupt import Interrupted, StopFlag, interrupted, stoppable
from pipeline.progress import progress
from pipeline.spec import OrderSpec
from pipeline.spec_errors import SpecError, mistakes
from pipeline.systems_share import Share, report_row
from pipeline.systems_survey import sort_systems, survey
from storage.files import commit_json, make_folder, remove_leftovers

__all__ = ["REPORT", "solve_systems"]

REPORT = "report.json"


def solve_systems(
    folder: str | Path,
    output: str | Path | None = None,
    *,
    strategy: Any = "auto",
    rtol: float = 1e-8,
    sort: str = "auto",
    comm: Any = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Solve all systems of a folder; see `docs/systems.md` for the files.

    A solution is `<output>/<name>.npy`, float64 and of b's shape, written atomically once its true
    residual ‖A x − b‖/‖b‖ ≤ rtol is verified; of several columns those that fail are NaN. What is
    there already and verifies is kept. A system that can't be read or solved doesn't stop the
    others. Collective over `comm` (default: the world).

    Args:
        folder: Where the systems are.
        output: Where solutions and `report.json` go; default: `<folder>/solutions`.
        strategy: A `solvers.Strategy`; "auto" times candidates on each rank's first systems.
        rtol: The bound on the true residual.
        sort: As `pipeline.ordering.sort_features`; "none" keeps the order of the names.
        comm: The communicator.
        quiet: Show no progress.

    Returns:
        The report, the same on all ranks: counts, times, and a row for each system.

    Raises:
        SpecError: No systems there, features or index that can't be used, bad arguments.
        StorageError: The output can't be written, or the disk is full.
        Interrupted: A signal came; what is written is kept.
    """
    from pipeline.stages.solve import world

    comm = comm or world()
    start = time.perf_counter()
    with stoppable() as stop:
        found, target = on_root(comm, lambda: _prepare(folder, output, rtol, sort))
        surveys = survey(found, sort, comm, stop)
        _end_if_stopped(comm, stop)
        path, order = on_root(comm, lambda: sort_systems(found, surveys, sort))
        pilots: list[dict[str, Any]] = []
        mine = _solve_share(found.files, target, path, strategy, rtol, comm, stop, quiet, pilots)
        rows = {i: row for part in comm.allgather(mine) for i, row in part.items()}
        for i, (file, each) in enumerate(zip(found.files, surveys, strict=True)):
            if each.problem:
                rows[i] = report_row(file, status="failed", error=each.problem)
        about = {"strategy": _plain(strategy), "rtol": rtol, "sort": order, "ranks": comm.size}
        about["pilots"] = [pilot for part in comm.allgather(pilots) for pilot in part]
        seconds = time.perf_counter() - start
        report = on_root(
            comm, lambda: _report(folder, target, about, len(found.files), rows, seconds)
        )
        _end_if_stopped(comm, stop)
    return report


def _prepare(
    folder: str | Path, output: str | Path | None, rtol: float, sort: str
) -> tuple[Any, Path]:
    """The systems of the folder and the output's folder, made. On one rank."""
    from solvers.system_files import SystemFileError, find_systems

    if not 0.0 < rtol < 1.0:
        raise SpecError([f"rtol: got {rtol}; expected a number between 0 and 1"])
    try:
        OrderSpec.model_validate({"sort": sort})
        found = find_systems(folder)
    except ValidationError as error:
        raise SpecError(mistakes(error, OrderSpec)) from None
    except SystemFileError as error:
        raise SpecError([str(error)]) from None
    target = Path(output) if output is not None else Path(folder) / "solutions"
    if target.resolve() == Path(folder).resolve():
        raise SpecError([f"output: {target} is the folder of the systems; expected another one"])
    make_folder(target)
    remove_leftovers(target)
    return found, target


def _end_if_stopped(comm: Any, stop: StopFlag) -> None:
    """If any rank was asked to stop, all were. Collective."""
    signals = [number for number in comm.allgather(stop.signal) if number is not None]
    if signals:
        what = str(interrupted(signals[0])).replace("committed shards", "solutions written so far")
        raise together(Interrupted(what))


def _solve_share(
    files: list[Any],
    target: Path,
    path: Any,
    strategy: Any,
    rtol: float,
    comm: Any,
    stop: StopFlag,
    quiet: bool,
    pilots: list[dict[str, Any]],
) -> dict[int, dict[str, Any]]:
    """Solve this rank's piece of the path, wait for the others, return its rows. Collective."""
    from mpi4py import MPI

    from pipeline.counter import Counter
    from solvers import solve_stream

    pieces = np.array_split(path, comm.size)
    ahead = sum(len(piece) for piece in pieces[: comm.rank])
    with progress("solve", len(path), quiet or comm.rank > 0) as task:
        counter = Counter(comm, task)
        share = Share(files, target, rtol, stop, counter)
        systems = share.systems(pieces[comm.rank], ahead)
        stream = solve_stream(
            systems,
            strategy,
            rtol=rtol,
            comm=MPI.COMM_SELF,
            expected=len(pieces[comm.rank]),
            evidence=pilots.append,
        )
        with closing(systems), closing(stream):  # the stream first
            for solution in stream:
                share.receive(solution)
        counter.wait()
    return share.rows


def _plain(strategy: Any) -> Any:
    return strategy if isinstance(strategy, str) else asdict(strategy)


def _report(
    folder: str | Path,
    target: Path,
    about: dict[str, Any],
    systems: int,
    rows: dict[int, dict[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    """Write the report and return it. On one rank."""
    in_order = [rows[i] for i in sorted(rows)]
    report = {"folder": str(folder), "output": str(target), **about, "systems": systems}
    for status in ("solved", "kept", "failed"):
        report[status] = sum(row["status"] == status for row in in_order)
    residuals = [r["true_residual"] for r in in_order if r.get("true_residual") is not None]
    report |= {
        "missing": systems - len(rows),
        "seconds": seconds,
        "solve_seconds": sum(row.get("seconds", 0.0) for row in in_order),
        "iterations": sum(row.get("iterations", 0) for row in in_order),
        "worst_true_residual": max(residuals, default=None),
        "rows": in_order,
    }
    commit_json(target / REPORT, report, replace=True, indent=1)
    return report
