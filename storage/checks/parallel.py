"""The same work on every shard, in this process or in several.

A process that dies over a file (HDF5 has no guard against every damage) is a finding, not an end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from storage.checks.finding import error
from storage.checks.shard import ShardJob, ShardReport
from storage.processes import do, pool

if TYPE_CHECKING:
    from storage.records import Record

__all__ = ["each_shard"]


def each_shard(
    job: ShardJob, records: Sequence[Record], workers: int, done: Callable[[int], object]
) -> list[ShardReport]:
    """Return the report on each record's shard, in order.

    Args:
        job: what is done.
        records: with a shard.
        workers: number of processes; 1 is this one.
        done: called with the number of shards that are done.
    """
    if workers < 2 or len(records) < 2:
        reports = []
        for record in records:
            reports.append(job(record))
            done(len(reports))
        return reports
    found: dict[int, ShardReport] = {}
    while left := [k for k in range(len(records)) if k not in found]:
        if not _round(job, records, left, workers, found, done):
            if workers == 1:  # they were taken in order, so it died over the first that is left
                first = next(k for k in left if k not in found)
                found[first] = _died(records[first])
            workers = 1
    return [found[k] for k in range(len(records))]


def _round(
    job: ShardJob,
    records: Sequence[Record],
    left: list[int],
    workers: int,
    found: dict[int, ShardReport],
    done: Callable[[int], object],
) -> bool:
    """Do what is left; False if a process died meanwhile."""
    from concurrent.futures import Future, as_completed
    from concurrent.futures.process import BrokenProcessPool

    futures: dict[Future[ShardReport], int] = {}
    try:
        with pool(job, workers) as processes:
            futures = {processes.submit(do, records[k]): k for k in left}
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                done(len(found))
    except BrokenProcessPool:
        for future, k in futures.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                found[k] = future.result()
        return False
    return True


def _died(record: Record) -> ShardReport:
    location = f"shards/{record.file}"
    text = "the process that read it died; `rekrylov repair` makes it again"
    return ShardReport(str(record.file), [error("shard.unreadable", location, text)])
