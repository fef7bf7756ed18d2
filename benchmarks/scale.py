"""A model of 10⁶ samples in 10⁴ shards on 1 to 1000 workers: what takes the time?

`python -m benchmarks.scale [--seconds 0.0026 1] [--workers 1 10 100 1000]`

Virtual time (`benchmarks/scale_model.py`): nothing is solved. What each step costs was measured by
`benchmarks.scale_costs`, whose JSON file is read. Assumed are the cores of the machine that
samples, orders and finalises (`--cores`), and what the file system that all share does at most:
`--metadata` operations and `--bandwidth` bytes a second.

A row "all" is how it was: every task reads all records, one process draws features and one reads
shards for the manifest. In a row "own" a task reads its own records and as many processes draw and
read as the machine has cores. A task is a chain of batches, one a worker; the last row of each cost
of a sample has a task a shard.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.report import parser, report
from benchmarks.scale_model import Case, Costs, stages

ROWS = {
    "draw": "draw the features",
    "append": "append a segment",
    "sort": "sort a sample",
    "path": "set its path",
    "order": "read the order",
    "record": "read a record",
    "task": "a Prefect task, Dask",
    "start": "start of mpiexec",
    "commit": "commit a shard",
    "reading": "manifest, a shard",
    "note": "tell the catalogue",
    "opening": "open the data set",
}


def measured(file: Path) -> Costs:
    """Return what `benchmarks.scale_costs` wrote: the shorter time, of processors or the clock.

    Several processes may take part in a step; other work on the machine makes the clock's longer.
    """
    if not file.exists():
        sys.exit(f"{file}: is missing; run `python -m benchmarks.scale_costs` first")
    rows = {row["what"]: row for row in json.loads(file.read_text())["rows"]}

    def cost(start: str) -> float:
        found = [row for name, row in rows.items() if name.startswith(start)]
        if not found:
            sys.exit(f"{file}: lacks {start!r}; run `python -m benchmarks.scale_costs` again")
        return min(found[0]["processor ms"], found[0]["clock ms"]) / 1e3

    return Costs(**{name: cost(start) for name, start in ROWS.items()})


def row(case: Case, costs: Costs) -> dict[str, Any]:
    """What a case costs, and what holds it up: the longest stage, the busiest resource of solve."""
    found, busy = stages(case, costs)
    total, ideal = sum(found.values()), case.samples * case.seconds / case.workers
    longest = max(found, key=lambda name: found[name])
    bound = f"solve, {max(busy, key=lambda name: busy[name])}" if longest == "solve" else longest
    return {
        "s a sample": case.seconds,
        "workers": case.workers,
        "tasks": case.tasks,
        "records": "own" if case.own else "all",
        **{f"{name} s": seconds for name, seconds in found.items()},
        "total s": total,
        "efficiency": ideal / total,
        "bound by": bound,
    }


def cases(asked: argparse.Namespace, seconds: float, size: float) -> list[Case]:
    """All and own for each number of workers, and in the end a task a shard."""
    found = []
    for workers in asked.workers:
        options = (asked.samples, asked.shards, size, min(workers, asked.shards))
        before = Case(seconds, workers, *options, False, 1, asked.metadata, asked.bandwidth)
        found += [before, replace(before, own=True, processes=min(asked.cores, workers))]
    return [*found, replace(found[-1], tasks=asked.shards)]


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--seconds", type=float, nargs="+", default=[0.0026, 1.0], help="a sample")
    made.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000])
    made.add_argument("--samples", type=int, default=10**6)
    made.add_argument("--shards", type=int, default=10**4)
    made.add_argument("--dofs", type=int, default=2 * 129**2, help="numbers of a sample")
    made.add_argument("--cores", type=int, default=64, help="of the machine of the serial stages")
    made.add_argument("--metadata", type=float, default=20_000, help="operations a second")
    made.add_argument("--bandwidth", type=float, default=2e9, help="bytes a second")
    made.add_argument("--costs", type=Path, help="the JSON file of benchmarks.scale_costs")
    return made.parse_args()


def main() -> None:
    asked = arguments()
    file = asked.costs or asked.results / "scale_costs.json"
    costs, size = measured(file), 8 * asked.dofs * asked.samples / asked.shards
    rows = [row(c, costs) for seconds in asked.seconds for c in cases(asked, seconds, size)]
    note = (
        f"{asked.samples} samples in {asked.shards} shards of {size / 1e6:.0f} MB; assumed: "
        f"{asked.metadata:g} operations and {asked.bandwidth:g} bytes a second, {asked.cores} cores"
    )
    report("scale", rows, asked.results, ranks=f"{max(asked.workers)} (model)", note=note)


if __name__ == "__main__":
    main()
