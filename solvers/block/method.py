"""One strategy on blocks: what it factorises, when it does so anew, and how it iterates."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from solvers.block.block import Block
from solvers.block.conjugate_gradients import ConjugateGradients, Outcome
from solvers.block.factor import Factor
from solvers.block.library import aligned, call
from solvers.block.multigrid import Multigrid
from solvers.block.refinement import refine
from solvers.lag import Lag
from solvers.span import Span
from solvers.strategy import Strategy

__all__ = ["BlockMethod"]

Floats = NDArray[np.float32]
# A symmetric matrix: largest difference of transposed entries, relative to the largest entry.
SYMMETRIC = 1e-11


class BlockMethod:
    """Solves blocks of one pattern by a strategy with `block` = LANES.

    "preonly": every lane's own factor, or one for all where the operator is the same, and
    refinement. "cg": one preconditioner for all lanes, of the mean of the scaled operators of the
    block where it was set up (the centre), kept for the next blocks.

    Attributes:
        once: Seconds of allocations and of the first centre.
    """

    def __init__(self, strategy: Strategy, block: Block, prolongations: Sequence[Any] = ()) -> None:
        """Allocate nothing yet. Serial."""
        self.strategy, self._block = strategy, block
        self._prolongations = prolongations if strategy.pc == "mg" else ()
        self._lag = Lag()
        self._values: Floats | None = None
        self._cg: ConjugateGradients | None = None
        self._preconditioner: Factor | Multigrid | None = None
        self._factor: Factor | None = None
        self._key = (False, False)
        self._span: Span | None = None
        self.once, self._centred = 0.0, False

    def solve(self) -> Outcome:
        """Solve what the block holds, to its targets, from its x."""
        outcome = self._direct() if self.strategy.direct else self._iterate()
        self._block.changed = False
        return outcome

    def _direct(self) -> Outcome:
        """A shared factor for a uniform block, kept while the operator is; else one a lane."""
        block = self._block
        if block.changed or self._factor is None:
            key = (block.uniform, is_symmetric(block))
            if self._factor is None or self._key != key:
                start = time.perf_counter()
                self._factor = None  # a block's factor is large: never hold two
                self._factor = Factor(block.pattern, shared=key[0], symmetric=key[1])
                self._key = key
                self._single()
                self.once += time.perf_counter() - start
            block.scale[:] = 1.0
            values = self._single()
            with np.errstate(over="ignore"):
                values[:] = block.values
            self._factor.compute(np.ascontiguousarray(values[:, 0]) if key[0] else values)
            self._span = Span(MPI.COMM_SELF, block.pattern.n) if block.uniform else None
        return self._superposed() if self._span is not None else refine(block, self._factor.solve)

    def _superposed(self) -> Outcome:
        """Refine what earlier solutions of the same operator add up to, where they span enough."""
        block, span = self._block, self._span
        assert self._factor is not None and span is not None
        block.x[:] = span.combine(block.b)
        outcome = refine(block, self._factor.solve)
        if span.full and outcome.iterations.any():
            self._span = None  # the right-hand sides have too many dimensions
        elif outcome.iterations.any():
            solved = (outcome.norms <= block.target) & (outcome.iterations > 0)
            span.learn(block.b[:, solved], block.x[:, solved])
        return outcome

    def _iterate(self) -> Outcome:
        block, p = self._block, self._block.pattern
        if self._cg is None:
            start = time.perf_counter()
            self._cg = ConjugateGradients(p.n)
            self._single()
            self.once += time.perf_counter() - start
        with np.errstate(all="ignore"):
            block.scale[:] = 1.0
            if self.strategy.scaling == "diagonal":
                block.scale[:] = 1.0 / np.sqrt(block.values[p.diagonal])
                block.scale[:, ~np.isfinite(block.scale).all(axis=0)] = 1.0
        values = self._single()
        call("scale_values", p.n, p.ptr, p.idx, block.values, block.scale, values)
        if self._preconditioner is None or (self.strategy.reuse == "lagged" and self._lag.stale):
            start = time.perf_counter()
            self._set_up(values)
            self._lag.set_up(time.perf_counter() - start)
            if not self._centred:
                self.once += self._lag.price
            self._centred = True
        assert self._preconditioner is not None
        start = time.perf_counter()
        outcome = self._cg.solve(block, values, self._preconditioner.solve, self.strategy.max_it)
        self._lag.solved(time.perf_counter() - start)
        if not (outcome.norms <= block.target)[: block.count].any():
            self._preconditioner = None  # it is no good, and fails too fast to become stale
        return outcome

    def _set_up(self, values: Floats) -> None:
        centre = self._centre(values)
        if self._preconditioner is None:
            pattern = self._block.pattern
            if self.strategy.pc == "cholesky":
                self._preconditioner = Factor(pattern, shared=True)
            else:
                self._preconditioner = Multigrid(pattern, self._prolongations)
        self._preconditioner.compute(centre)

    def _centre(self, values: Floats) -> Floats:
        """The mean over the lanes that could be positive definite; over all if none could."""
        values = values[:, : self._block.count]
        sound = np.isfinite(values).all(axis=0)
        sound &= (values[self._block.pattern.diagonal] > 0).all(axis=0)
        return (values[:, sound] if sound.any() else values).mean(axis=1)

    def _single(self) -> Floats:
        if self._values is None:
            self._values = aligned(self._block.values.shape, np.float32)
        return self._values


def is_symmetric(block: Block) -> bool:
    """Whether the operator of the first lane is symmetric, to rounding. Its kind is that of all."""
    s = block.pattern.supernodes
    values = np.append(block.system(0)[0], 0.0)[block.pattern.take]
    size = np.abs(values).max(initial=0.0)
    return bool(np.abs(values[s.source] - values[s.mirror]).max(initial=0.0) <= SYMMETRIC * size)
