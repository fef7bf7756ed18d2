"""Whole samples of a case, drawing to writing, in a process of its own: ours, or the peer's.

`python -m benchmarks.peers_sample JOB.json OUT.json`, started by `benchmarks.peers`.

Ours is a real run of the stages; its figures are those of the shards' records. The peer draws the
same samples in the same order, reassembles by DOLFINx' own functions for PETSc in place (a matrix
that can't change once), solves with the fastest peer, recomputes the residual, and writes the same
shards. What the first shard takes beyond the others is paid once and shared by `expected` samples.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.stages.solve import solve, world

COMM = world()  # before petsc4py

from benchmarks.peers_cases import CASES, QUICK  # noqa: E402
from benchmarks.peers_list import make_peer  # noqa: E402
from benchmarks.peers_sequence import BLOCK, sorted_ids  # noqa: E402
from pipeline.dataset_folder import data_folder  # noqa: E402
from pipeline.discretisation import Discretisation  # noqa: E402
from pipeline.sampler import Sampler  # noqa: E402
from pipeline.spaces import spaces_tree  # noqa: E402
from pipeline.spec import data_key  # noqa: E402
from solvers import System  # noqa: E402
from solvers.candidates import Kind  # noqa: E402
from storage import DataFolder, ShardHeader, read_records, write_shard, write_spaces  # noqa: E402

PARTS = ("draw", "assemble", "solve")
SHARDS = (f"storage.shard_size={BLOCK}", "train=null")


def ours(spec: Any, root: str) -> tuple[list[dict[str, float]], int]:
    """Run the stages; seconds of each shard, samples that failed."""
    solve(spec, root, COMM, quiet=True)
    records = sorted(read_records(data_folder(spec, root)), key=lambda r: r.info["ended"])
    failed = sum(len(record.failures) for record in records)
    return [dict(record.info["seconds"]) for record in records], failed


class Reassembly:
    """A and b by DOLFINx' functions for PETSc, in place, as its demos have it."""

    def __init__(self, problem: Any, fixed: bool) -> None:
        """Allocate.

        Args:
            problem: Whose forms are assembled.
            fixed: Whether the matrix is the same for all samples: it is assembled once.
        """
        import dolfinx.fem.petsc as fem_petsc

        self._problem, self._fixed, self._there = problem, fixed, False
        self.A: Any = fem_petsc.create_matrix(problem._a)
        self.b: Any = fem_petsc.create_vector(problem.W)

    def assemble(self) -> None:
        """Assemble for the present data of the problem."""
        from dolfinx.fem import petsc

        fem_petsc: Any = petsc  # its functions are typed by their first overload
        a, bcs = self._problem._a, self._problem.dirichlet.bcs
        if not (self._fixed and self._there):
            self.A.zeroEntries()
            fem_petsc.assemble_matrix(self.A, a, bcs=bcs)
            self.A.assemble()
            self._there = True
        self.b.set(0.0)
        fem_petsc.assemble_vector(self.b, self._problem._L)
        fem_petsc.apply_lifting(self.b, [a], bcs=[bcs])
        for bc in bcs:
            bc.set(self.b.array_w)


def peers(spec: Any, root: str, job: dict[str, Any]) -> tuple[list[dict[str, float]], int]:
    """The peer's pipeline; seconds of each shard, samples that failed."""
    tree = spaces_tree(spec)
    folder = DataFolder(Path(root) / "peer")
    folder.create()
    digest = write_spaces(folder.spaces, tree)
    there, sampler = Discretisation(spec, tree, COMM), Sampler(spec, tree)
    system = Reassembly(there.problem, job["fixed"])
    peer = make_peer(job["peer"], Kind(*job["kind"]))
    ids, _ = sorted_ids(spec, tree)
    found, failed = [], 0
    for batch in range(len(ids) // BLOCK):
        seconds, rows = dict.fromkeys(PARTS, 0.0), {}  # type: ignore[var-annotated]
        begun = time.perf_counter()
        for i in ids[batch * BLOCK : (batch + 1) * BLOCK]:
            clock = [time.perf_counter()]
            inputs = sampler.inputs(i)
            clock.append(time.perf_counter())
            there.set(inputs)
            system.assemble()
            clock.append(time.perf_counter())
            solved = peer.solve(System(i, system.A, system.b, there.problem.free), spec.rtol)
            failed += not solved.fine
            clock.append(time.perf_counter())
            for part, spent in zip(PARTS, np.diff(clock), strict=True):
                seconds[part] += float(spent)
            row = {"samples/id": i, "solve/true_residual": solved.rho, "outputs/u": solved.x}
            for name, value in {**inputs, **row}.items():
                rows.setdefault(name, []).append(value)
        columns = {name: np.array(values) for name, values in rows.items()}
        write_shard(folder, ShardHeader(data_key(spec), 0, batch, digest), columns)
        found.append(seconds | {"all": time.perf_counter() - begun})
    return found, failed


def figures(shards: list[dict[str, float]], expected: int) -> dict[str, float]:
    """Milliseconds a sample, with what the run takes beyond the steady state as "once_ms".

    Ours commits a shard once the next block is solved: the first shard's wall time holds two
    blocks, the last one's none, and those between are the steady state.
    """
    assert len(shards) >= 3, "the steady state needs 48 samples"
    later = shards[1:]
    made = {f"{p}_ms": 1e3 * sum(s[p] for s in later) / (BLOCK * len(later)) for p in PARTS}
    whole = float(np.mean([s["all"] for s in shards[1:-1]])) / BLOCK
    made["rest_ms"] = 1e3 * whole - sum(made.values())
    once = max(0.0, sum(s["all"] for s in shards) - BLOCK * len(shards) * whole)
    return made | {"once_ms": 1e3 * once, "ms": 1e3 * (whole + once / expected)}


def main() -> None:
    """Run the job."""
    job = json.loads(Path(sys.argv[1]).read_text())
    case = next(c for c in (*CASES, *QUICK) if c.name == job["case"])
    spec = case.spec(job["seed"], job["samples"], SHARDS)
    with tempfile.TemporaryDirectory(dir=job["place"]) as root:
        shards, failed = ours(spec, root) if job["peer"] is None else peers(spec, root, job)
    found: dict[str, Any] = figures(shards, job["expected"]) | {"failed": failed}
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Path(sys.argv[2]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
