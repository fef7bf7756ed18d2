"""The systems of a case, copied out of the marches of its samples, in the order of the pipeline."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mpi4py import MPI

from benchmarks.peers_clock import now
from pipeline.chains import Batch
from pipeline.discretisation import Discretisation
from pipeline.in_flight import InFlight
from pipeline.interrupt import StopFlag
from pipeline.ordering import sort_features
from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree
from solvers import Reason, Solution, System
from solvers.chain import DIRECT, Chain

__all__ = ["BLOCK", "Piece", "Recording", "sorted_ids"]

BLOCK = 16


def sorted_ids(spec: Any, tree: Any) -> tuple[list[int], float]:
    """Return the path of the samples as the pipeline takes it, and seconds a sample for it."""
    from mpi4py import MPI

    if Discretisation(spec, tree, MPI.COMM_SELF).problem.fixed:  # the pipeline doesn't sort then
        return list(range(spec.samples)), 0.0
    sampler, start = Sampler(spec, tree), now()
    features = [sampler.features(i, spec.order.features) for i in range(spec.samples)]
    path = sort_features(np.array(features), spec.order.sort, spec.order.group_size)
    return path.tolist(), (now() - start) / spec.samples


@dataclass
class Piece:
    """Systems held in memory at once.

    Attributes:
        blocks: Ours to take: at most 16 systems each, as the pipeline hands them out, in which the
            steps of several samples stand side by side.
        samples: The same systems by sample, in the order of solving: the peers' way. A matrix that
            stays the same from step to step is one object there.
    """

    blocks: list[list[System]] = field(default_factory=list)
    samples: dict[int, list[System]] = field(default_factory=dict)

    def rounds(self) -> Iterator[tuple[list[list[System]], list[list[System]]]]:
        """Yield the piece in parts, one for each 16 samples: blocks and samples."""
        samples, blocks = list(self.samples.values()), self.blocks
        count = max(1, len(samples) // BLOCK)
        for k in range(count):
            a, b = ([len(x) * j // count for j in (k, k + 1)] for x in (blocks, samples))
            yield blocks[slice(*a)], samples[slice(*b)]


class Recording:
    """Marches the samples and keeps copies of their systems.

    The systems of a linear stationary problem come in pieces of 16 samples and need no solution.
    Those of Newton's method and of time steps are all held, as each follows from solutions before;
    these are MUMPS', the same for everybody.

    Attributes:
        spec: The spec.
        sort: Seconds a sample of features and sorting.
        prolongations: For geometric multigrid; () where there is no hierarchy.
        failed: Samples whose marches did not end well.
    """

    def __init__(self, spec: Any, samples: int) -> None:
        """Build the discretisation and sort; the first `samples` of the path are recorded."""
        self.spec, self.failed = spec, 0
        tree = spaces_tree(spec)
        path, self.sort = sorted_ids(spec, tree)
        self._ids = path[:samples]
        self._chain: list[Batch] = []
        self._systems = InFlight(spec, tree, self._chain, MPI.COMM_SELF, StopFlag(), BLOCK)
        self.prolongations = self._systems.discretisation.prolongations()
        self._direct = Chain(DIRECT, spec.rtol, MPI.COMM_SELF, np.dtype(float))
        self._single = bool(spec.problem.LINEAR) and not spec.problem.times()
        self._source: tuple[Any, int] | None = None
        self._last: System | None = None

    def pieces(self) -> Iterator[Piece]:
        """Yield what is to be solved."""
        size = BLOCK if self._single else len(self._ids)
        for start in range(0, len(self._ids), size):
            ids = np.array(self._ids[start : start + size])
            self._chain[:] = [Batch(0, start // size, ids, start)]
            yield self._piece()

    def close(self) -> None:
        """Release the direct solver and its options."""
        self._direct.close()

    def _piece(self) -> Piece:
        piece, block = Piece(), []
        for system in self._systems:
            if system is not None:
                block.append(self._copy(system, piece))
            if len(block) == BLOCK or (system is None and block):
                self._answer(piece, block)
                block = []
        if block:
            self._answer(piece, block)
        return piece

    def _answer(self, piece: Piece, block: list[System]) -> None:
        """Close a block and send the solutions of its systems to the marches."""
        piece.blocks.append(block)
        for system in block:
            self._systems.receive(self._solution(system))
        self.failed += sum(not outcome.converged for outcome, *_ in self._systems.finished())

    def _solution(self, system: System) -> Solution:
        if self._single:
            x = np.zeros(system.b.getLocalSize())
            return Solution(system.id, x, Reason.CONVERGED, 0, 0.0, 0.0)
        return self._direct.take(system)[0]

    def _copy(self, system: System, piece: Piece) -> System:
        """A copy; a matrix that stays the same is copied once."""
        source = (system.A, system.A.stateGet())
        steps = piece.samples.setdefault(system.id, [])
        if self._last is not None and source == self._source:
            A = self._last.A
        elif steps and _same(steps[-1].A, system.A):
            A = steps[-1].A
        else:
            A = system.A.duplicate(copy=True)
        self._source = source
        made = System(system.id, A, system.b.copy(), system.free, system.rtol, system.increment)
        self._last = made
        steps.append(made)
        return made


def _same(A: Any, B: Any) -> bool:
    """Whether two matrices of one pattern hold the same values."""
    return bool(np.array_equal(A.getValuesCSR()[2], B.getValuesCSR()[2]))
