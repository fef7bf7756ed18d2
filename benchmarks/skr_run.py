"""Experiments of `benchmarks.skr` on the MPI ranks that this was started on.

`mpiexec -n RANKS python -m benchmarks.skr_run JOB.json OUT.json`: the job names a set, a size and
the experiments on it; rank 0 writes a list of rows. Started by `benchmarks.skr`.
"""

import json
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.stages.solve import world

comm = world()  # before petsc4py

from petsc4py import PETSc  # noqa: E402

import solvers  # noqa: E402
from benchmarks.skr_distance import distances  # noqa: E402
from benchmarks.skr_problems import BLOCKS, Sequence, make_sequence  # noqa: E402
from pipeline.ordering import sort_features  # noqa: E402

METHODS = ("gmres", "cold", "recycled", "sorted")
RESTART, RECYCLE = 40, 20
GMRES_MAX_IT, MAX_IT = 10_000, 100_000
"""GMRES is stopped where the paper stops it; ours goes on, and pays for it, until it has solved."""


@dataclass
class Solved:
    """One solve."""

    iterations: int
    seconds: float
    converged: bool
    residual: float


class Solver:
    """A KSP over a sequence of systems: PETSc's GMRES(40), or GCRO-DR(40, 20) cold or recycling."""

    def __init__(self, method: str, pc: str, rtol: float, side: str, blocks: int) -> None:
        """Create the KSP. Collective."""
        self.method = method
        self.ksp: Any = PETSc.KSP().create(comm)
        prefix = f"skr_{method}_"
        self.ksp.setOptionsPrefix(prefix)
        if method == "gmres":
            self.ksp.setType("gmres")
            self.ksp.setGMRESRestart(RESTART)
        else:
            self.ksp.setType("python")
            self.ksp.setPythonContext(solvers.GCRODR(RESTART, RECYCLE, verify=True))
        right = side == "right"
        sides: Any = PETSc.PC.Side
        norms: Any = PETSc.KSP.NormType
        self.ksp.setPCSide(sides.RIGHT if right else sides.LEFT)
        self.ksp.setNormType(norms.UNPRECONDITIONED if right else norms.PRECONDITIONED)
        self.ksp.setTolerances(rtol=rtol, max_it=GMRES_MAX_IT if method == "gmres" else MAX_IT)
        self.names = pc_options(pc, blocks, comm.size)
        options: Any = PETSc.Options(prefix)
        for name, value in self.names.items():
            options[name] = value
        self.ksp.setFromOptions()
        self.options, self.x, self.r = options, None, None

    def solve(self, A: Any, b: Any) -> Solved:
        """Solve from zero: set-up and iterations are timed, the true residual is not. Collective.

        PETSc sets the preconditioner up unless the matrix is the same object in the same state.
        """
        x, r = self._work(b)
        if self.method == "cold":
            self.ksp.getPythonContext().forget()
        comm.Barrier()
        start = time.perf_counter()
        self.ksp.setOperators(A)
        self.ksp.solve(b, x)
        comm.Barrier()
        seconds = time.perf_counter() - start
        A.mult(x, r)
        r.aypx(-1.0, b)
        residual = r.norm() / b.norm()
        converged = self.ksp.getConvergedReason() > 0
        return Solved(self.ksp.getIterationNumber(), seconds, converged, residual)

    def _work(self, b: Any) -> tuple[Any, Any]:
        if self.x is None:
            self.x, self.r = b.duplicate(), b.duplicate()
        return self.x, self.r

    def close(self) -> None:
        """Destroy everything. Collective."""
        for name in self.names:
            self.options.delValue(name)
        for each in (self.ksp, self.x, self.r):
            if each is not None:
                each.destroy()


def pc_options(pc: str, blocks: int, ranks: int) -> dict[str, Any]:
    """PETSc's options of a preconditioner; block counts are those of the released scripts' ranks.

    ICC and ILU are serial: on several ranks they act within each rank's block.
    """
    if pc in ("icc", "ilu") and ranks > 1:
        return {"pc_type": "bjacobi", "sub_pc_type": pc}
    if pc in ("bjacobi", "asm"):
        return {"pc_type": pc, f"pc_{pc}_blocks": max(blocks, ranks)}
    return {"pc_type": pc}


@contextmanager
def all_solvers(pc: str, rtol: float, side: str, blocks: int) -> Iterator[dict[str, Solver]]:
    """A solver a method. Collective."""
    made = {method: Solver(method, pc, rtol, side, blocks) for method in METHODS}
    try:
        yield made
    finally:
        for each in made.values():
            each.close()


def experiment(
    sequence: Sequence, path: Any, pc: str, rtol: float, side: str, blocks: int
) -> dict[str, list[Solved]]:
    """Every method over the whole sequence, interleaved system by system. Collective.

    GMRES, cold and sorted follow `path`, recycled the order of drawing.
    """
    found: dict[str, list[Solved]] = {method: [] for method in METHODS}
    held: list[Any] = []
    with all_solvers(pc, rtol, side, blocks) as made:
        for i, along in enumerate(path):
            ahead, drawn = sequence.system(int(along)), sequence.system(i)
            # In turn from another one on: what comes first finds cold caches.
            for k in range(len(METHODS)):
                method = METHODS[(i + k) % len(METHODS)]
                system = drawn if method == "recycled" else ahead
                found[method].append(made[method].solve(*system))
            held += [ahead, drawn]
            while len(held) > 2:  # the KSPs still refer to the last two
                sequence.release(held.pop(0))
    for system in held:
        sequence.release(system)
    return found


def row(job: dict[str, Any], n: int, pc: str, rtol: float, sort: float, found: Any) -> Any:
    """One experiment's figures, means a system; times in ms, `sorted` with the sort."""
    count = len(found["gmres"])
    made: dict[str, Any] = {"set": job["set"], "n": n, "pc": pc, "tol": rtol}
    made |= {"ranks": comm.size, "side": job["side"], "systems": count, "sort_ms": 1e3 * sort}
    for method, solved in found.items():
        extra = sort if method == "sorted" else 0.0
        made[f"{method}_its"] = float(np.mean([s.iterations for s in solved]))
        made[f"{method}_ms"] = 1e3 * (float(np.mean([s.seconds for s in solved])) + extra)
        made[f"{method}_failed"] = sum(not s.converged for s in solved)
        made[f"{method}_residual"] = max(s.residual for s in solved)
    return made


def run(job: dict[str, Any]) -> list[dict[str, Any]]:
    """All experiments of a job; a row each. Collective."""
    sequence = make_sequence(job["set"], job["n"], job["systems"], job["seed"], comm)
    if job["kind"] == "distance":
        return distances(sequence, job, comm)
    start = time.perf_counter()
    path = sort_features(sequence.features)
    sort = (time.perf_counter() - start) / job["systems"]
    rows = []
    for pc in job["pcs"]:
        for rtol in job["tolerances"]:
            blocks = BLOCKS[job["set"].split("-")[0]]
            found = experiment(sequence, path, pc, rtol, job["side"], blocks)
            rows.append(row(job, sequence.n, pc, rtol, sort, found))
            if comm.rank == 0:
                print(said(rows[-1]), flush=True)
    return rows


def said(row: dict[str, Any]) -> str:
    """A line about a row."""
    head = f"{row['set']} n={row['n']} {row['pc']} {row['tol']:.0e} ranks={row['ranks']}:"
    its = " / ".join(f"{row[f'{m}_its']:.1f}" for m in METHODS)
    times = " / ".join(f"{row[f'{m}_ms']:.1f}" for m in METHODS)
    failed = " / ".join(str(row[f"{m}_failed"]) for m in METHODS)
    return f"{head} its {its}, ms {times}, failed {failed}"


def main() -> None:
    """Run the job; any exception ends all ranks."""
    try:
        rows = run(json.loads(Path(sys.argv[1]).read_text()))
        if comm.rank == 0:
            Path(sys.argv[2]).write_text(json.dumps(rows))
    except BaseException:
        traceback.print_exc()
        comm.Abort(1)


if __name__ == "__main__":
    main()
