"""The automatic strategy: time candidates on the first systems, take the best, keep watching."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc

from solvers.block.library import KernelError
from solvers.block.pattern import Pattern
from solvers.block_chain import BlockChain
from solvers.candidates import candidates, kind_of, least_seconds
from solvers.chain import DIRECT, Chain
from solvers.strategy import Strategy, check_ranks
from solvers.system import Solution, System

__all__ = ["Pilot"]

DIFFERENT: Any = PETSc.Mat.Structure.DIFFERENT_NONZERO_PATTERN
SYSTEMS = 16  # a pilot's
HOPELESS = 1.6  # a candidate is stopped when it has taken this times the best one's whole time
FEW = 30  # iterations of a scaled block: without scaling it takes more
FAR = 3.0  # times the best: superposition doesn't make up for it
EXPECTED = 256  # systems that share the set-up, where nobody says how many will come
FAILURES = 0.25  # a candidate that fails on more than this share is out
TRIAL_IT = 100  # iterations that a trial allows a block
TRIAL_IT_ALONE = 1000  # … and a single system
SLOWER = 2.0  # times the pilot's figure: a new pilot is due …
PATIENCE = 3  # … after this many windows of SYSTEMS in a row


@dataclass
class _Trial:
    """A candidate on the pilot's systems.

    Attributes:
        strategy: The candidate.
        solutions: What it found; fewer than the systems if it was stopped.
        seconds: A system, without what is paid once.
        once: Seconds paid once: analysis, allocation, the first set-up.
        stopped: Whether it was stopped because it couldn't win.
    """

    strategy: Strategy
    solutions: list[Solution]
    seconds: float
    once: float
    stopped: bool

    @property
    def failed(self) -> int:
        """Systems that it did not solve."""
        return sum(not s.converged for s in self.solutions)

    @property
    def iterations(self) -> float:
        """A system's, on average; infinite if it couldn't do."""
        if self.failed > FAILURES * len(self.solutions):
            return float("inf")
        return float(np.mean([s.iterations for s in self.solutions]))

    def cost(self, expected: int) -> float:
        """Seconds a system when `expected` of them come; infinite if it couldn't do."""
        if self.stopped or self.failed > FAILURES * len(self.solutions):
            return float("inf")
        share = 1 - self.failed / len(self.solutions)
        return (self.seconds + self.once / expected) / share

    def record(self, expected: int) -> dict[str, Any]:
        """The trial as plain data."""
        return {
            "strategy": self.strategy.label,
            "ms": 1e3 * (self.seconds + self.once / expected),
            "once_ms": 1e3 * self.once,
            "iterations": float(np.mean([s.iterations for s in self.solutions])),
            "failed": self.failed,
            "stopped": self.stopped,
        }


class Pilot:
    """A chain that holds the first systems, lets candidates solve them, and goes on with the best.

    Time is that of a verified solution: checks, set-up, iterations, verification, and the ladder
    where a candidate fails. The solutions of the best candidate are the ones that are given out.
    """

    def __init__(
        self,
        rtol: float,
        comm: MPI.Comm,
        dtype: np.dtype,
        prolongations: Sequence[Any] = (),
        favourite: Strategy | None = None,
        expected: int | None = None,
        evidence: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Allocate nothing yet. For the arguments see `solve_stream`."""
        self._rtol, self._comm, self._dtype = rtol, comm, dtype
        self._prolongations, self._favourite = prolongations, favourite
        self._expected, self._evidence = expected or EXPECTED, evidence
        self._held: list[System] = []
        self._source: tuple[PETSc.Mat, int] | None = None
        self._chain: Chain | BlockChain | None = None
        self._pattern: Pattern | None = None
        self._figure = np.inf
        self._window: list[Solution] = []
        self._slow = 0
        self._patience = PATIENCE

    def close(self) -> None:
        """Release everything. Collective."""
        self._release()
        if self._chain is not None:
            self._chain.close()
            self._chain = None

    def take(self, system: System) -> list[Solution]:
        """Take the next system; the solutions that are ready. Collective."""
        if self._chain is not None:
            return self._watched(self._chain.take(system))
        self._hold(system)
        enough = 2 * SYSTEMS if self._uniform else SYSTEMS
        return self.solve() if len(self._held) >= enough else []

    def solve(self) -> list[Solution]:
        """Solve what is held. Collective."""
        if self._chain is not None:
            return self._watched(self._chain.solve())
        if not self._held:
            return []
        return self._pilot() if self._sound() else self._without_pilot()

    # --- the pilot ---

    @property
    def _uniform(self) -> bool:
        """Whether all that is held has one operator."""
        return len(self._held) > 1 and all(s.A is self._held[0].A for s in self._held)

    def _hold(self, system: System) -> None:
        """Keep a copy; a matrix that hasn't changed is copied once."""
        source = (system.A, system.A.stateGet())
        if self._held and source == self._source:
            A = self._held[-1].A
        else:
            A = system.A.duplicate(copy=True)
        self._source = source
        b = system.b.copy()
        self._held.append(System(system.id, A, b, system.free, system.rtol, system.increment))

    def _sound(self) -> bool:
        """Whether a pilot can use what is held. Collective."""
        checker = Chain(DIRECT, self._rtol, self._comm, self._dtype)
        found = [checker.inspect(system) is None for system in self._held]
        checker.close()
        return all(found)

    def _without_pilot(self) -> list[Solution]:
        """Solve what is held directly, without drawing a conclusion: some of it is damaged."""
        chain = Chain(DIRECT, self._rtol, self._comm, self._dtype)
        solutions = [s for system in self._held for s in chain.take(system)]
        chain.close()
        self._release()
        return solutions

    def _pilot(self) -> list[Solution]:
        """Time the candidates, keep the best one's chain and solutions."""
        first = self._held[0]
        kind = kind_of(first.A)
        uniform = self._uniform
        no_blocks = self._analyse(first)
        tried, left_out = candidates(
            kind, uniform, self._comm, self._pattern, bool(len(self._prolongations))
        )
        left_out += no_blocks
        if self._favourite is not None and self._favourite not in tried:
            try:
                check_ranks(self._favourite, self._comm.size)
                tried.append(self._favourite)
            except ValueError as error:
                left_out.append(str(error))
        best: _Trial | None = None
        trials: list[_Trial] = []
        for strategy in tried:
            limit = np.inf if best is None else best.cost(self._expected)
            if why := self._needless(strategy, uniform, limit, trials):
                left_out.append(f"{strategy.label}: {why}")
                continue
            chain = self._make(strategy)
            trial = self._try(chain, strategy, limit)
            trials.append(trial)
            if trial.cost(self._expected) < limit:
                if self._chain is not None:
                    self._chain.close()
                best, self._chain = trial, chain
            else:
                chain.close()
        if best is None or self._chain is None:  # nothing came through: all that is left is LU
            best = replace(trials[0], strategy=DIRECT, seconds=np.inf)
            self._chain = Chain(DIRECT, self._rtol, self._comm, self._dtype)
        self._chain.strategy = best.strategy  # with the ladder, and its own limit
        self._figure, self._slow, self._window = best.seconds, 0, []
        if self._evidence is not None:
            self._evidence(
                {
                    "picked": best.strategy.label,
                    "options": asdict(best.strategy),
                    "systems": [self._held[0].id, self._held[-1].id, len(self._held)],
                    "unknowns": int(first.A.getSize()[0]),
                    "matrices": str(kind) + (", all the same" if uniform else ""),
                    "trials": [t.record(self._expected) for t in trials],
                    "left out": left_out,
                }
            )
        solutions = [s if s.converged else self._again(k) for k, s in enumerate(best.solutions)]
        solutions += [self._again(k) for k in range(len(solutions), len(self._held))]
        self._release()
        return solutions

    def _analyse(self, system: System) -> list[str]:
        """Set the pattern that blocks need; why there can't be any."""
        if self._comm.size > 1:
            return []
        indptr, indices, values = system.A.getValuesCSR()
        if self._pattern is None or not self._pattern.fits(indptr, indices, system.free):
            try:
                self._pattern = Pattern(indptr, indices, system.free, values)
            except KernelError as error:
                self._pattern = None
                return [str(error)]
        return []

    def _again(self, k: int) -> Solution:
        """Solve a held system that the best candidate failed on, with the ladder this time."""
        assert self._chain is not None
        return [*self._chain.take(self._held[k]), *self._chain.solve()][0]

    def _needless(
        self, strategy: Strategy, uniform: bool, limit: float, trials: list[_Trial]
    ) -> str | None:
        """Why a candidate can't win."""
        if uniform:
            return self._needless_for_one(strategy, limit, trials)
        if self._pattern is None:
            return None
        if least_seconds(strategy, self._pattern) > limit:
            return "its factor alone would take longer"
        scaled = replace(strategy, scaling="diagonal") if strategy.block > 1 else None
        if any(t.strategy == scaled != strategy and t.iterations < FEW for t in trials):
            return "scaled it takes few iterations"
        return None

    @staticmethod
    def _needless_for_one(strategy: Strategy, limit: float, trials: list[_Trial]) -> str | None:
        """Why a candidate can't win where all have one operator."""
        if np.isfinite(limit) and not strategy.direct:
            return "a factor can be kept"
        plain = [t for t in trials if t.strategy == replace(strategy, guess="zero") != strategy]
        if any(t.seconds > FAR * limit for t in plain):
            return "without superposition it is far behind"
        return None

    def _make(self, strategy: Strategy) -> Chain | BlockChain:
        allowed = TRIAL_IT if strategy.block > 1 else min(strategy.max_it, TRIAL_IT_ALONE)
        trial = replace(strategy, fallback=False, max_it=allowed)
        arguments = (trial, self._rtol, self._comm, self._dtype, self._prolongations)
        if strategy.block > 1:
            return BlockChain(*arguments, pattern=self._pattern)
        return Chain(*arguments)

    def _try(self, chain: Chain | BlockChain, strategy: Strategy, limit: float) -> _Trial:
        """Let a candidate solve what is held.

        Blocks are timed on their second sixteen, or on the same systems again where there are no
        more: the first time has the allocations and the centre in it.
        """
        if strategy.block == 1:
            return self._try_singly(chain, strategy, limit)
        held = self._held
        if len(held) <= SYSTEMS:  # again, each in another lane: a lane knows what it had before
            held = [*held, *held[1:], held[0]]
        systems = self._in_place(held)
        first = min(SYSTEMS, len(self._held))
        solutions = _solved(chain, islice(systems, first))
        seconds = float(np.mean([s.seconds for s in solutions]))
        assert isinstance(chain, BlockChain)
        if seconds - chain.once / first > HOPELESS * limit:
            return _Trial(strategy, solutions, seconds, 0.0, stopped=True)
        again = _solved(chain, systems)
        steady = float(np.mean([s.seconds for s in again]))
        once = max(seconds - steady, 0.0) * first
        solutions += again if len(self._held) > SYSTEMS else []
        return _Trial(strategy, solutions, steady, once, stopped=False)

    def _try_singly(self, chain: Any, strategy: Strategy, limit: float) -> _Trial:
        solutions: list[Solution] = []
        stopped = False
        for k, system in enumerate(self._in_place(self._held)):
            solutions += chain.take(system)
            spent = sum(s.seconds for s in solutions[1:])
            if k > 0 and spent > HOPELESS * limit * len(self._held):
                stopped = True
                break
        seconds = float(np.mean([s.seconds for s in solutions[1:] or solutions]))
        once = max(solutions[0].seconds - seconds, 0.0)
        return _Trial(strategy, solutions, seconds, once, stopped)

    def _in_place(self, systems: list[System]) -> Iterator[System]:
        """Systems as they came: one Mat, whose values change. Collective.

        PETSc keeps what it can for a Mat that it knows, and a Galerkin product even where it
        shouldn't, for another Mat of the same pattern.
        """
        work: PETSc.Mat | None = None
        source = None
        for system in systems:
            if work is not None and work.getSizes() != system.A.getSizes():
                work.destroy()
                work = None
            if work is None:
                work = system.A.duplicate(copy=True)
            elif system.A is not source:
                system.A.copy(work, structure=DIFFERENT)
            source = system.A
            yield replace(system, A=work)
        if work is not None:
            work.destroy()

    def _release(self) -> None:
        """Destroy the copies. Collective."""
        for k, system in enumerate(self._held):
            if k == 0 or system.A is not self._held[k - 1].A:
                system.A.destroy()
            system.b.destroy()
        self._held, self._source = [], None

    # --- afterwards ---

    def _watched(self, solutions: list[Solution]) -> list[Solution]:
        """Ask for a new pilot when the present strategy has become slow. Collective."""
        self._window += solutions
        if len(self._window) >= SYSTEMS:
            mean = float(np.mean([s.seconds for s in self._window]))
            self._slow = self._slow + 1 if mean > SLOWER * self._figure else 0
            self._window = []
            if self._slow >= self._patience and self._chain is not None:
                self._patience *= 2  # a machine that has become slow would ask for ever
                solutions += self._chain.solve()
                self._chain.close()
                self._chain = None
        return solutions


def _solved(chain: Any, systems: Iterable[System]) -> list[Solution]:
    return [s for system in systems for s in chain.take(system)] + chain.solve()
