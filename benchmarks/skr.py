"""The experiments of the SKR paper: GMRES(40) against GCRO-DR(40, 20), system by system.

`python -m benchmarks.skr` takes two to three minutes, `--long` the full tables (see docs/skr.md).
Any of `--sets --pcs --sizes --tolerances` makes the product of what is given instead. Four methods
see every system right after one another: PETSc's GMRES(40), and GCRO-DR(40, 20) cold, recycling in
the order of drawing, and recycling along the sorted path. Their time is set-up and iterations, with
the sort for the last one; residuals are recomputed from the solutions.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.report import parser, report
from benchmarks.skr_distance import summary
from benchmarks.skr_docs import NOTE, SIDES, shown, write_docs
from benchmarks.skr_goals import goals
from benchmarks.skr_paper import HEADLINES, PCS, TOLERANCES
from benchmarks.skr_plot import plot
from benchmarks.skr_problems import PARTNERS, SETS
from pipeline.launch import launch_command

BASES = 6  # systems whose spaces are recycled for the table of distances


@dataclass(frozen=True)
class Group:
    """Experiments on one sequence, run by one start of MPI."""

    set: str
    n: int
    pcs: tuple[str, ...]
    tolerances: tuple[float, ...]
    systems: int
    ranks: int = 1
    kind: str = "solve"
    bases: int = 0
    seed: int = 0
    side: str = "left"


def quick() -> list[Group]:
    """Every set at n = 2500, and what the goals speak of."""
    released = [
        Group("darcy-released", 2500, ("none",), (1e-8,), 40),
        Group("darcy-released", 6400, ("none",), (1e-8,), 8),
        Group("darcy-released", 10_000, ("none",), (1e-5,), 4),
        Group("helmholtz-released", 10_000, ("none", "ilu", "asm"), (1e-7,), 6),
    ]
    tables = [Group(name, 2500, PCS, (1e-2, 1e-8), 5) for name in SETS]
    parallel = [
        Group(name, 2500, ("none", "sor", "ilu"), (1e-8,), 3, ranks=2)
        for name in ("darcy-released", "darcy", "thermal")
    ]
    return [*released, *tables, *parallel, *_distances(SETS, 2500, 4)]


def long() -> list[Group]:
    """The paper's table at its sizes and tolerances, sizes up to 40,000, and two ranks."""
    groups = [Group("darcy-released", n, ("none",), (1e-8, 1e-11), 40) for n in (2500, 6400)]
    for name in SETS:
        word = name.split("-")[0]
        few = 4 if name in ("helmholtz", "poisson") else 8  # GMRES takes minutes a system there
        groups.append(Group(name, HEADLINES[word], PCS, TOLERANCES[word], few))
        largest = 22_500 if name == "helmholtz" else 40_000
        sizes = [n for n in (2500, 6400, 10_000, 22_500, 40_000) if n <= largest]
        groups += [Group(name, n, ("none", "sor", "ilu"), (1e-8,), 5) for n in sizes]
        groups.append(Group(name, HEADLINES[word], ("none", "sor", "asm", "ilu"), (1e-8,), 3, 2))
    return [*groups, *_distances(SETS, 2500, BASES)]


def picked(asked: argparse.Namespace) -> list[Group]:
    """The product of what was asked for."""
    sets, pcs = asked.sets or SETS, tuple(asked.pcs or ("none", "sor", "ilu"))
    tolerances, sizes = tuple(asked.tolerances or (1e-8,)), asked.sizes or [2500]
    groups = [
        Group(name, n, pcs, tolerances, 8, ranks)
        for ranks in asked.ranks or [1]
        for name in sets
        for n in sizes
    ]
    return [*groups, *_distances(sets, min(sizes), min(BASES, asked.systems or BASES))]


def _distances(sets: Any, n: int, bases: int) -> list[Group]:
    return [
        Group(name, n, ("none", "sor"), (1e-8,), PARTNERS + 1, kind="distance", bases=bases)
        for name in sets
    ]


def run(group: Group, seconds: float) -> Iterator[dict[str, Any]]:
    """Run a group on its ranks; rows as `skr_run` writes them, none if it failed."""
    with tempfile.TemporaryDirectory() as place:
        job, out = Path(place) / "job.json", Path(place) / "rows.json"
        job.write_text(json.dumps(asdict(group)))
        command = [sys.executable, "-m", "benchmarks.skr_run", str(job), str(out)]
        code = launch_command(
            command, group.ranks, on_line=lambda line: print(line.rstrip(), flush=True),
            wall_seconds=seconds,
        )  # fmt: skip
        if code != 0 or not out.exists():
            print(f"FAILED, exit code {code}: {group}", flush=True)
            return
        yield from json.loads(out.read_text())


def arguments() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__)
    which = made.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="the default, two to three minutes")
    which.add_argument("--long", action="store_true", help="the full tables")
    which.add_argument("--again", action="store_true", help="only print and write the last rows")
    made.add_argument("--sets", nargs="+", choices=SETS, metavar="SET")
    made.add_argument("--pcs", nargs="+", choices=PCS, metavar="PC")
    made.add_argument("--sizes", nargs="+", type=int)
    made.add_argument("--tolerances", nargs="+", type=float)
    made.add_argument("--ranks", nargs="+", type=int)
    made.add_argument("--systems", type=int, help="in each sequence")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--side", choices=("left", "right"), default="left", help="of the PC")
    made.add_argument("--wall", type=float, default=7200.0, help="seconds for one group at most")
    made.add_argument("--plot", type=Path, help="write the picture to this PNG")
    made.add_argument("--docs", type=Path, help="write tables between the markers of this page")
    return made.parse_args()


def chosen(asked: argparse.Namespace) -> list[Group]:
    """The groups of a command line."""
    if asked.sets or asked.pcs or asked.sizes or asked.tolerances or asked.ranks:
        groups = picked(asked)
    else:
        groups = long() if asked.long else quick()
    groups = [replace(g, seed=asked.seed, side=asked.side) for g in groups]
    if asked.systems:
        groups = [replace(g, systems=asked.systems) if g.kind == "solve" else g for g in groups]
    return groups


def measured(asked: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Run all groups; the raw rows by kind, also kept in `skr_rows.json` as they come."""
    kept = asked.results / "skr_rows.json"
    if asked.again:
        return dict(json.loads(kept.read_text()))
    found: dict[str, list[dict[str, Any]]] = {"solve": [], "distance": []}
    asked.results.mkdir(parents=True, exist_ok=True)
    for group in chosen(asked):
        found[group.kind] += run(group, asked.wall)
        kept.write_text(json.dumps(found, indent=1) + "\n")
    return found


def main() -> None:
    """Run, print, write."""
    asked, start = arguments(), time.time()
    found = measured(asked)
    solves, pairs = found["solve"], found["distance"]
    if not solves:
        sys.exit("no experiment succeeded; see above")
    tables = [shown(row) for row in solves], summary(pairs), goals(solves)
    ranks = ", ".join(str(r) for r in sorted({row["ranks"] for row in solves}))
    side = f"{SIDES[asked.side]}; seed {asked.seed}. "
    report("skr", tables[0], asked.results, ranks=ranks, note=side + NOTE)
    if pairs:
        report("skr_distance", tables[1], asked.results)
    report("skr_goals", tables[2], asked.results)
    if asked.plot:
        plot(solves, asked.plot)
    if asked.docs:
        write_docs(asked.docs, *tables, side)
    print(f"\n{(time.time() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
