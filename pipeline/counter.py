"""Progress over all groups of ranks."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.progress import Task

__all__ = ["Counter"]


class Counter:
    """Counts what is solved over all groups: their roots send, rank 0 shows."""

    TAG = 7

    def __init__(self, comm: Any, task: Task) -> None:
        """Count for a progress bar. Not collective."""
        self._comm, self._task = comm, task
        self._done = self._failed = 0
        self._unsent = np.zeros(2, dtype=np.int64)
        self._last = time.monotonic()

    def add(self, failed: bool) -> None:
        """Count one sample of this rank's group. Not collective."""
        self._unsent += (1, int(failed))
        if time.monotonic() - self._last > 0.2:
            self._flush()

    def _flush(self) -> None:
        self._last = time.monotonic()
        if self._comm.rank == 0:
            self._count(self._unsent)
            self._receive()
        elif self._unsent.any():
            self._comm.send(self._unsent.copy(), dest=0, tag=self.TAG)
        self._unsent[:] = 0

    def _receive(self) -> None:
        from mpi4py import MPI

        while self._comm.iprobe(source=MPI.ANY_SOURCE, tag=self.TAG):
            self._count(self._comm.recv(source=MPI.ANY_SOURCE, tag=self.TAG))

    def _count(self, numbers: NDArray[np.int64]) -> None:
        self._done += int(numbers[0])
        self._failed += int(numbers[1])
        self._task(self._done, f"{self._failed} failed" if self._failed else "")

    def wait(self) -> None:
        """Wait for all ranks; rank 0 goes on showing the others' progress. Collective."""
        self._flush()
        request = self._comm.Ibarrier()
        while not request.Test():
            if self._comm.rank == 0:
                self._receive()
            time.sleep(0.005)
        if self._comm.rank == 0:
            self._receive()
