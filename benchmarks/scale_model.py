"""The solve stage in virtual time: tasks, workers, and what they share.

A worker is a core, a task a chain of batches. The scheduler starts tasks one after another; each
looks at what is left to do, then solves and commits shard by shard. The scheduler, the file
system's operations on names and its transfer of bytes serve in the order of asking.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

__all__ = ["Case", "Costs", "Server", "Solving", "stages"]

READINGS = 5  # of records by a task of flows/solve.py: for its key, before, by the ranks 2, after
RECORD_OPERATIONS = 3  # open and close a record, look at its shard
COMMIT_OPERATIONS = 14  # of two files: create, close, link, unlink, open and sync the folder, look


@dataclass(frozen=True)
class Costs:
    """Seconds that a step takes, measured.

    Attributes:
        draw: the features of a sample.
        append: a segment of all samples.
        sort: a sample.
        path: setting the path of all.
        order: reading the order of all.
        record: reading one.
        task: of the scheduler, a task.
        start: of an mpiexec that finds nothing to do.
        commit: a shard.
        reading: a shard, for the manifest.
        note: telling the catalogue.
        opening: the data set.
    """

    draw: float = 0.0
    append: float = 0.0
    sort: float = 0.0
    path: float = 0.0
    order: float = 0.0
    record: float = 0.0
    task: float = 0.0
    start: float = 0.0
    commit: float = 0.0
    reading: float = 0.0
    note: float = 0.0
    opening: float = 0.0


@dataclass(frozen=True)
class Case:
    """What is made, and how.

    Attributes:
        seconds: to solve a sample.
        workers: cores that solve.
        samples: of the data set.
        shards: of the data set.
        shard_bytes: of each.
        tasks: chains of batches.
        own: a task reads the records of its own batches, not those of all.
        processes: that draw features and read shards for the manifest.
        metadata: operations a second of the file system.
        bandwidth: bytes a second of the file system.
    """

    seconds: float
    workers: int
    samples: int
    shards: int
    shard_bytes: float
    tasks: int
    own: bool
    processes: int
    metadata: float
    bandwidth: float


class Server:
    """Serves one after another, in the order of asking."""

    def __init__(self) -> None:
        self.free = self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """Return when it is done."""
        self.busy += seconds
        self.free = max(self.free, now) + seconds
        return self.free


class Solving:
    """The solve stage.

    Attributes:
        end: when the last shard is committed.
    """

    def __init__(self, case: Case, costs: Costs) -> None:
        """Let it run."""
        self._case, self._costs = case, costs
        self._scheduler, self._names, self._disk = Server(), Server(), Server()
        self._waiting = iter(range(case.tasks))
        self._left = [self._batches(task) for task in range(case.tasks)]
        self._events: list[tuple[float, int, int, Callable[[float, int], None]]] = []
        self._asked, self._cores, self.end = 0, 0.0, 0.0
        for task in islice(self._waiting, case.workers):
            self._then(0.0, task, self._submit)
        while self._events:
            now, _, task, step = heapq.heappop(self._events)
            step(now, task)

    @property
    def busy(self) -> dict[str, float]:
        """Seconds that each resource was busy; a core on average."""
        used = min(self._case.workers, self._case.tasks)
        return {
            "cores": self._cores / used,
            "scheduler": self._scheduler.busy,
            "names": self._names.busy,
            "bytes": self._disk.busy,
        }

    def _batches(self, task: int) -> int:
        shards, tasks = self._case.shards, self._case.tasks
        return shards * (task + 1) // tasks - shards * task // tasks

    def _then(self, when: float, task: int, step: Callable[[float, int], None]) -> None:
        self._asked += 1
        heapq.heappush(self._events, (when, self._asked, task, step))

    def _compute(self, now: float, task: int, seconds: float, step: Callable) -> None:
        self._cores += seconds
        self._then(now + seconds, task, step)

    def _submit(self, now: float, task: int) -> None:
        self._then(self._scheduler.serve(now, self._costs.task), task, self._start)

    def _start(self, now: float, task: int) -> None:
        costs, records = self._costs, self._records(task)
        work = costs.start + READINGS * costs.order + records * costs.record
        self._compute(now, task, work, self._look)

    def _look(self, now: float, task: int) -> None:
        seconds = self._records(task) * RECORD_OPERATIONS / self._case.metadata
        self._then(self._names.serve(now, seconds), task, self._solve)

    def _records(self, task: int) -> int:
        return READINGS * (self._batches(task) if self._case.own else self._case.shards)

    def _solve(self, now: float, task: int) -> None:
        case = self._case
        if self._left[task]:
            self._left[task] -= 1
            work = case.samples / case.shards * case.seconds + self._costs.commit
            self._compute(now, task, work, self._write)
            return
        self.end = max(self.end, now)
        for following in islice(self._waiting, 1):
            self._then(now, following, self._submit)

    def _write(self, now: float, task: int) -> None:
        case = self._case
        named = self._names.serve(now, COMMIT_OPERATIONS / case.metadata)
        written = self._disk.serve(now, case.shard_bytes / case.bandwidth)
        self._then(max(named, written), task, self._solve)


def stages(case: Case, costs: Costs) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds of each stage, and of each resource in the solve stage."""
    solving = Solving(case, costs)
    reading = case.shards * costs.reading / case.processes
    moving = case.shards * case.shard_bytes / case.bandwidth
    found = {
        "sample": case.samples * costs.draw / case.processes + costs.append,
        "order": case.samples * costs.sort + costs.path + costs.order,
        "solve": solving.end,
        "manifest": 2 * case.shards * costs.record + max(reading, moving),
        "catalogue": costs.note + 2 * costs.opening,
    }
    return found, solving.busy
