"""Systems solved in blocks: the lanes verified one by one, what fails solved alone."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from petsc4py import PETSc

from solvers.block.block import Block
from solvers.block.library import LANES
from solvers.block.method import BlockMethod
from solvers.block.pattern import Pattern
from solvers.chain import DIRECT, SAFETY, Chain
from solvers.csr import csr_arrays
from solvers.strategy import Strategy
from solvers.system import Reason, Solution, System

__all__ = ["BlockChain"]


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A system that waits for its block.

    Attributes:
        id: The sample's id.
        lane: Its lane; −1 if it has none.
        norm: ‖b‖ over the free dofs, 1 if that is zero.
        rtol: Its bound on the true residual; None: the stream's.
        nothing: A solution of NaN.
        trouble: Why no lane can take it.
    """

    id: int
    lane: int
    norm: float
    rtol: float | None
    nothing: NDArray[np.floating]
    trouble: Reason | None = None


class BlockChain:
    """Takes systems until a block is full, or the next one has another pattern. Serial.

    A lane that doesn't reach its target is solved alone, by the direct step of the ladder.

    Attributes:
        strategy: How to solve; its `block` is the number of lanes.
    """

    def __init__(
        self,
        strategy: Strategy,
        rtol: float,
        comm: MPI.Comm,
        dtype: np.dtype,
        prolongations: Sequence[Any] = (),
        pattern: Pattern | None = None,
    ) -> None:
        """Allocate nothing yet. The communicator has one rank; a known pattern is taken over."""
        self.strategy, self._rtol, self._dtype = strategy, rtol, dtype
        self._prolongations, self._pattern = prolongations, pattern
        self._ladder = Chain(DIRECT, rtol, comm, dtype)
        self._block: Block | None = None
        self._method: BlockMethod | None = None
        self._held: list[_Held] = []
        self._free: NDArray[np.bool_] | None = None
        self._operator: tuple[PETSc.Mat, int] | None = None
        self._made = 0.0
        self._seconds = self._away = 0.0

    @property
    def once(self) -> float:
        """Seconds so far of what is paid once: analysis, memory, the first centre."""
        return self._made + (self._method.once if self._method is not None else 0.0)

    def close(self) -> None:
        """Release PETSc objects and memory."""
        self._ladder.close()
        self._block = self._method = self._operator = None

    def take(self, system: System) -> list[Solution]:
        """Hold a system; A and b may change afterwards.

        Returns:
            The solutions of all that are held, once their number is that of the lanes, or of those
            before this one if it has another pattern; else [].
        """
        start, solved = time.perf_counter(), []
        self._away = 0.0
        trouble = self._ladder.inspect(system)
        if trouble is None:
            solved = self._put(system)
        else:
            nothing = np.full(system.A.getLocalSize()[1], np.nan, self._dtype)
            self._held.append(_Held(system.id, -1, 1.0, None, nothing, trouble))
        self._seconds += time.perf_counter() - start - self._away
        return solved if len(self._held) < LANES else solved + self.solve()

    def _put(self, system: System) -> list[Solution]:
        operator = (system.A, system.A.stateGet())
        if self._block is not None and self._operator == operator and self._free is system.free:
            self._put_values(self._block, None, system)
            return []
        with csr_arrays(system.A) as (indptr, indices, values):
            solved = self._fitted(indptr, indices, values, system.free)
            assert self._block is not None
            self._put_values(self._block, values, system)
        self._operator, self._free = operator, system.free
        return solved

    def _fitted(self, indptr: Any, indices: Any, values: Any, free: Any) -> list[Solution]:
        """Have a block for the pattern; the solutions of what was held in another one."""
        if self._block is not None and self._block.pattern.fits(indptr, indices, free):
            return []
        start = time.perf_counter()
        solved = self.solve()
        made = time.perf_counter()
        self._away = made - start  # is in those solutions' seconds
        if self._pattern is None or not self._pattern.fits(indptr, indices, free):
            self._pattern = Pattern(indptr, indices, free, values)
        self._block = Block(self._pattern)
        self._method = BlockMethod(self.strategy, self._block, self._prolongations)
        self._made += time.perf_counter() - made
        return solved

    def _put_values(self, block: Block, values: Any, system: System) -> None:
        b: Any = system.b.getArray(readonly=True)
        with np.errstate(over="ignore", under="ignore"):
            norm = float(np.linalg.norm(b[block.pattern.dofs])) or 1.0
        rtol = self._rtol if system.rtol is None else system.rtol
        nothing = np.full(b.size, np.nan, self._dtype)
        self._held.append(_Held(system.id, block.count, norm, system.rtol, nothing))
        block.put(values, b, norm, SAFETY * rtol)

    def solve(self) -> list[Solution]:
        """Solve what is held; the solutions in the order in which it came."""
        start, held, self._held = time.perf_counter(), self._held, []
        if self._block is not None and self._block.count:
            x, norms, iterations = self._solve_lanes(self._block)
        self._seconds += time.perf_counter() - start
        seconds, self._seconds = self._seconds / max(len(held), 1), 0.0
        solutions = []
        for item in held:
            if item.trouble is not None:
                rho, reason, steps, values = np.nan, item.trouble, 0, item.nothing
            else:
                rho, steps = float(norms[item.lane]) / item.norm, int(iterations[item.lane])
                values, reason = x[item.lane], Reason.CONVERGED
                if not rho <= (self._rtol if item.rtol is None else item.rtol):
                    solutions.append(self._alone(item, rho, steps, seconds))
                    continue
            solutions.append(Solution(item.id, values, reason, steps, float(rho), seconds))
        if self._block is not None:
            self._block.clear()
        return solutions

    def _solve_lanes(
        self, block: Block
    ) -> tuple[NDArray[np.floating], NDArray[np.float64], NDArray[np.int64]]:
        """Solutions as stored, the norms of their residuals, iterations: of all lanes."""
        assert self._method is not None
        block.interleave()
        self._method.strategy = self.strategy  # the pilot changes it
        norms, iterations = np.full(LANES, np.nan), np.zeros(LANES, dtype=np.int64)
        with np.errstate(all="ignore"):
            try:
                outcome = self._method.solve()
            except PETSc.Error:  # of GAMG, on a mean operator that is no good
                self._method = BlockMethod(self.strategy, block, self._prolongations)
            else:
                norms, iterations = outcome.norms, outcome.iterations
            if self._dtype != np.float64:
                norms = block.round(self._dtype)
            x = block.solutions().astype(self._dtype, copy=False)
        # a power of two that leaves the range of numbers, or x that does: not what was verified
        unit = block.units[1] / block.units[0]
        norms = np.where((unit > 1e-250) & (unit < 1e250), norms, np.nan)
        return x, norms * block.units[1], iterations

    def _alone(self, item: _Held, rho: float, steps: int, seconds: float) -> Solution:
        """The direct step of the ladder for one lane."""
        assert self._block is not None
        start = time.perf_counter()
        note = f"block: ρ = {rho:.1e} after {steps} iterations"
        if not self.strategy.fallback:
            return Solution(
                item.id, item.nothing, Reason.STAGNATED, steps, float(rho), seconds, (note,)
            )
        values, right = self._block.system(item.lane)
        csr: Any = (*self._block.pattern.csr(), values.copy())
        A = PETSc.Mat().createAIJ((right.size, right.size), csr=csr, comm=PETSc.COMM_SELF)
        b = A.createVecLeft()
        b.array = right
        (found,) = self._ladder.take(System(item.id, A, b, self._block.pattern.free, item.rtol))
        self._ladder.close()  # MUMPS' factor isn't kept beside the block
        A.destroy()
        b.destroy()
        outcome = f"direct: {found.reason.name.lower()} after {found.iterations} iterations"
        return Solution(
            item.id,
            found.x,
            found.reason,
            steps + found.iterations,
            found.true_residual,
            seconds + time.perf_counter() - start,
            (note, outcome, *found.ladder),
        )
