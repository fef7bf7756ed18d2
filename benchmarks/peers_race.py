"""One case in a process of its own: ours and all peers on the same systems, 16 samples in turn.

`python -m benchmarks.peers_race JOB.json OUT.json`, started by `benchmarks.peers`.

Samples are a piece of the path through `expected` ones. The first 16 hold what is paid once: our
pilot and its kernels, a fixed operator's factor, a peer's first allocation. Of each method "ms" is
the mean of the others, plus once / `expected`. Times are CPU times of the one thread.
"""

import json
import resource
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.stages.solve import world

COMM = world()  # before petsc4py

from benchmarks.peers_cases import CASES, QUICK  # noqa: E402
from benchmarks.peers_clock import now  # noqa: E402
from benchmarks.peers_list import BEYOND, make_peer, names_of, together  # noqa: E402
from benchmarks.peers_methods import Solved  # noqa: E402
from benchmarks.peers_sequence import Piece, Recording  # noqa: E402
from solvers import Strategy, System, solve_stream, true_residual  # noqa: E402
from solvers.candidates import Kind, kind_of  # noqa: E402

HOPELESS = 4.0  # times the fastest peer on the same samples: stopped
TRIED = 3  # samples before that


@dataclass
class Times:
    """Seconds and samples of each round, seconds of each sample, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    each: list[float] = field(default_factory=list)
    failed: int = 0
    worst: float = 0.0
    stopped: str = ""

    def steady(self) -> float:
        """Seconds a sample after the first round, of the only round if there is one."""
        if len(self.seconds) > 1:
            return sum(self.seconds[1:]) / sum(self.samples[1:])
        return sum(self.seconds) / max(sum(self.samples), 1)

    def once(self) -> float:
        """Seconds of the first round beyond what the others take."""
        return max(0.0, self.seconds[0] - self.steady() * self.samples[0])

    def row(self, name: str, expected: int) -> dict[str, Any]:
        """As plain data, milliseconds a sample."""
        made: dict[str, Any] = {"name": name, "failed": self.failed, "stopped": self.stopped}
        made |= {"residual over rtol": self.worst}
        if self.stopped:
            return made | {"ms": 1e3 * float(np.mean(self.each[1:] or self.each or [np.nan]))}
        steady, once = self.steady(), self.once()
        made |= {"steady_ms": 1e3 * steady, "once_ms": 1e3 * once}
        made["ms"] = 1e3 * (steady + once / expected)
        made["all_ms"] = 1e3 * sum(self.seconds) / sum(self.samples)
        return made


class Ours:
    """`solve_stream(…, "auto")` as the pipeline calls it; verification is in its time."""

    def __init__(self, spec: Any, prolongations: Any, expected: int) -> None:
        """Start the stream."""
        self.times, self.evidence = Times(), []  # type: ignore[var-annotated]
        self._rtol, self._queue = spec.rtol, deque[System]()
        self._stream = solve_stream(
            self._feed(),
            "auto",
            rtol=spec.rtol,
            comm=COMM,
            prolongations=prolongations,
            favourite=Strategy(**spec.problem.STRATEGY),
            expected=expected,
            evidence=self.evidence.append,
        )

    def _feed(self) -> Iterator[Any]:
        while True:  # None: the block has to be solved as it is
            yield self._queue.popleft() if self._queue else None

    def run(self, blocks: list[list[System]], samples: int) -> None:
        """Solve a round; residuals are computed once more, by ourselves."""
        spent = 0.0
        for block in blocks:
            self._queue.extend(block)
            start = now()
            solutions = [next(self._stream) for _ in block]
            spent += now() - start
            for system, solution in zip(block, solutions, strict=True):
                assert system.id == solution.id
                rho = true_residual(system.A, system.b, solution.x, system.free)
                rtol = system.rtol or self._rtol
                self.times.failed += not (solution.converged and rho <= rtol * (1 + 1e-6))
                self.times.worst = max(self.times.worst, rho / rtol)
        self.times.seconds.append(spent)
        self.times.samples.append(samples)

    def close(self) -> None:
        """Release everything."""
        self._stream.close()


class Runner:
    """A peer over the rounds; stopped when it has no chance, or fails on all that it tries."""

    def __init__(self, name: str, kind: Kind, rtol: float) -> None:
        """Set up nothing yet."""
        self.name, self.peer, self.times, self._rtol = name, make_peer(name, kind), Times(), rtol

    def run(self, samples: list[list[System]], others: list["Runner"]) -> None:
        """Solve a round, unless it is stopped for an error, or against the others."""
        if self.times.stopped:
            return
        begun = len(self.times.each)
        at_once = together(self.peer, [s for steps in samples for s in steps], self._rtol)
        for k, steps in enumerate(samples):
            found = [at_once[k]] if at_once is not None else self._solved(steps)
            self._note(found, steps)
            if at_once is None and not self.times.stopped:
                self.times.stopped = self._stopped(others)
            if self.times.stopped:
                self.peer.close()
                return
        self.times.seconds.append(sum(self.times.each[begun:]))
        self.times.samples.append(len(samples))

    def _solved(self, steps: list[System]) -> list[Solved]:
        """Solve the systems of a sample, up to an error."""
        found: list[Solved] = []
        for system in steps:
            found.append(self.peer.solve(system, system.rtol or self._rtol))
            if found[-1].why:
                break
        return found

    def _note(self, found: list[Solved], steps: list[System]) -> None:
        times = self.times
        times.each.append(sum(s.seconds for s in found))
        times.failed += any(not s.fine for s in found)
        times.stopped = found[-1].why
        for solved, system in zip(found, steps, strict=False):
            if np.isfinite(solved.rho):
                times.worst = max(times.worst, solved.rho / (system.rtol or self._rtol))

    def _stopped(self, others: list["Runner"]) -> str:
        count = len(self.times.each)
        if count < TRIED:
            return ""
        if self.times.failed == count:
            return "does not converge"
        sound = [r for r in others if r is not self and not r.times.failed]
        best = min((r.first(count) for r in sound), default=np.inf)
        return "too slow" if self.first(count) > HOPELESS * best else ""

    def first(self, count: int) -> float:
        """Seconds of the first samples but the very first, which pays once; ∞ if not there."""
        return sum(self.times.each[1:count]) if len(self.times.each) >= count else np.inf


def race(job: dict[str, Any]) -> dict[str, Any]:
    """Run a case; everything that the tables need."""
    case = next(c for c in (*CASES, *QUICK) if c.name == job["case"])
    expected = job["expected"]
    samples = job["samples"]
    spec = case.spec(job["seed"], max(expected, samples))
    recording = Recording(spec, samples)
    ours = Ours(spec, recording.prolongations, expected)
    runners: list[Runner] = []
    shape: dict[str, Any] = {}
    count = turn = 0
    for piece in recording.pieces():
        if not runners:
            shape = _shape(piece)
            kind = Kind(shape["symmetric"], shape["diagonal"])
            names = [n for n in names_of(kind, shape["fixed"]) if n not in case.without]
            runners = [Runner(name, kind, spec.rtol) for name in names]
        count += sum(map(len, piece.blocks))
        for blocks, steps in piece.rounds():
            methods: list[Ours | Runner] = [ours, *runners]
            shift = 5 * turn % len(methods)  # who comes after assembly finds cold caches
            for method in methods[shift:] + methods[:shift]:
                if isinstance(method, Ours):
                    method.run(blocks, len(steps))
                else:
                    method.run(steps, runners)
            turn += 1
            left = sum(not r.times.stopped for r in runners)
            print(f"  {case.name}: round {turn}, {left} of {len(runners)} peers left", flush=True)
    ours.close()
    recording.close()
    return {
        "case": case.name,
        "n": shape["n"],
        "samples": samples,
        "systems": count / samples,
        "fixed": shape["fixed"],
        "kind": [shape["symmetric"], shape["diagonal"]],
        "seed": job["seed"],
        "expected": expected,
        "sort_ms": 1e3 * recording.sort,
        "failed marches": recording.failed,
        "ours": ours.times.row("auto", expected),
        "picked": [record["picked"] for record in ours.evidence],
        "evidence": ours.evidence,
        "peers": [_row(r, expected) for r in runners],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _row(runner: Runner, expected: int) -> dict[str, Any]:
    return runner.times.row(runner.name, expected) | {"beyond": runner.name in BEYOND}


def _shape(piece: Piece) -> dict[str, Any]:
    """What the matrices are, from the first systems."""
    systems = [s for steps in piece.samples.values() for s in steps]
    kind = kind_of(systems[0].A)
    return {
        "n": systems[0].A.getSize()[0],
        "fixed": len({id(s.A) for s in systems}) == 1,
        "symmetric": kind.symmetric,
        "diagonal": kind.diagonal,
    }


def main() -> None:
    """Run the job."""
    found = race(json.loads(Path(sys.argv[1]).read_text()))
    Path(sys.argv[2]).write_text(json.dumps(found, default=float))


if __name__ == "__main__":
    main()
