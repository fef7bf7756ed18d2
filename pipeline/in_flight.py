"""The samples of a chain that are being solved: several at once, where systems go in blocks."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.chains import Batch
from pipeline.discretisation import Discretisation
from pipeline.interrupt import StopFlag
from pipeline.march import March, Outcome
from pipeline.sampler import Sampler
from pipeline.spec import Spec

__all__ = ["Finished", "InFlight"]

Columns = dict[str, NDArray[np.float64]]
Finished = tuple[Outcome, Columns, dict[str, float], Columns]
"""A sample's outcome, input columns as stored, seconds of drawing and assembling, outputs."""


@dataclass(eq=False)
class _Sample:
    """One sample under way.

    Attributes:
        inputs: Its columns.
        march: The coroutine of its systems.
        seconds: Of drawing and assembling.
        solution: Of its last system, once it is there.
        state: The problem's, while another sample has the problem.
        outcome: What became of it, once it has ended.
        outputs: Its output columns, on rank 0; {} if it failed.
    """

    inputs: Columns
    march: March
    seconds: dict[str, float]
    solution: Any = None
    state: Any = None
    outcome: Outcome | None = None
    outputs: Columns = field(default_factory=dict)


class InFlight:
    """The iterator of a chain's systems: those that the marches of its samples yield.

    Up to `window` samples are under way; a sample whose last solution is there goes on before a new
    one begins, so that with one system at a time the samples follow each other. When all wait for
    solutions, None is handed out: a block has to be solved as it is.

    Attributes:
        discretisation: The group's mesh, spaces and problem.
    """

    def __init__(
        self, spec: Spec, spaces: Any, chain: list[Batch], comm: Any, stop: StopFlag, window: int
    ) -> None:
        """Build the discretisation. Collective over the group."""
        self.discretisation = Discretisation(spec, spaces, comm)
        self._sampler = Sampler(spec, spaces)
        self._spec, self._chain, self._comm, self._stop = spec, chain, comm, stop
        self._window = window
        self._under_way: deque[_Sample] = deque()
        self._waiting: dict[int, _Sample] = {}
        self._present: _Sample | None = None

    def __iter__(self) -> Iterator[Any]:
        ids = (int(i) for batch in self._chain for i in batch.ids)
        more = True
        while True:
            active = [s for s in self._under_way if s.outcome is None]
            sample = next((s for s in active if s.solution is not None), None)
            if sample is not None:
                system = self._advance(sample)
            elif more and len(active) < self._window and not self._asked_to_stop():
                if (i := next(ids, None)) is None:
                    more = False
                    continue
                system = self._begin(i)
            elif active:
                yield None
                continue
            else:
                return
            if system is not None:
                yield system

    def _begin(self, i: int) -> Any:
        """Draw sample i; return its first system, None if it has none."""
        start = time.perf_counter()
        inputs = self._draw(i)
        seconds = {"draw": time.perf_counter() - start, "assemble": 0.0}
        self._suspend()
        sample = _Sample(inputs, self.discretisation.march(i, inputs), seconds)
        self._under_way.append(sample)
        self._present = sample
        return self._advance(sample)

    def receive(self, solution: Any) -> None:
        """Take the solution of a system that was handed out."""
        self._waiting.pop(solution.id).solution = solution

    def _advance(self, sample: _Sample) -> Any:
        """Go on to the sample's next system, which is in place until another one is assembled."""
        start = time.perf_counter()
        if self._present is not sample:
            self._suspend()
            self.discretisation.resume(sample.inputs, sample.state)
            self._present, sample.state = sample, None
        try:
            system = sample.march.send(sample.solution)
            self._waiting[system.id] = sample
        except StopIteration as end:
            system, sample.outcome = None, end.value
            if end.value.converged:  # now, while the problem has this sample's boundary values
                sample.outputs = self.discretisation.columns(end.value)
        sample.solution = None
        sample.seconds["assemble"] += time.perf_counter() - start
        return system

    def _suspend(self) -> None:
        if self._present is not None and self._present.outcome is None:
            self._present.state = self.discretisation.state()

    def finished(self) -> Iterator[Finished]:
        """Yield the samples that have ended, in the order of the chain."""
        while self._under_way and self._under_way[0].outcome is not None:
            sample = self._under_way.popleft()
            yield sample.outcome, sample.inputs, sample.seconds, sample.outputs  # type: ignore

    def _draw(self, i: int) -> Columns:
        """The inputs of sample i, rounded to their storage type before they are assembled."""
        return {
            name: values.astype(self._spec.dtype).astype(np.float64)
            for name, values in self._sampler.inputs(i).items()
        }

    def _asked_to_stop(self) -> bool:
        """The same answer on all ranks of the group."""
        if self._comm.size == 1:
            return bool(self._stop)
        from mpi4py import MPI

        return self._comm.allreduce(bool(self._stop), op=MPI.LOR)
