"""Strong and weak scaling of the solve stage on 1 and 2 ranks, farmed and split.

`python -m benchmarks.scaling [--repeats 3] [--cases darcy-128 …] [--set KEY=VALUE]`

Farm: samples over ranks. Split: one system over the ranks. Each line compares fresh runs of
`rekrylov solve` that take turns; the rate counts from the start of the first shard to the end of
the last one, start-up is beside it. Efficiency = speed-up / ranks for strong scaling (the same
samples), time on 1 rank / time on 2 for weak scaling (twice the samples, or twice the unknowns).
"machine" is what two runs of one rank, side by side and each with a data set of its own, lose
against one run alone: memory, disk and clock, which no program of ours can win back.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.report import parser, report
from benchmarks.solve_rate import run

EXAMPLES = Path(__file__).parents[1] / "examples"
FARM = {
    "darcy-128": ("darcy.yaml", ["mesh.resolution=128"], 1024),
    "darcy-256": ("darcy.yaml", ["mesh.resolution=256"], 256),
    "darcy-3d": ("darcy-3d.yaml", [], 128),
    "navier-stokes": ("navier-stokes.yaml", [], 64),
    "heat": ("heat.yaml", [], 128),
}
SPLIT = {
    "darcy-512": ("darcy.yaml", ["mesh.resolution=512"], ["mesh.resolution=724"], 8),
    "darcy-1024": ("darcy.yaml", ["mesh.resolution=1024"], ["mesh.resolution=1448"], 4),
}
NO_TRAINING = "train=null"

type Found = dict[str, float]


def farm(name: str, repeats: int, place: str | None, more: list[str]) -> dict[str, object]:
    """One problem, samples farmed over ranks."""
    file, overrides, samples = FARM[name]

    def seconds(ranks: int, count: int) -> Found:
        every = [*overrides, NO_TRAINING, f"samples={count}", *more]
        return run(ranks, every, place, EXAMPLES / file)

    def side_by_side() -> Found:
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda _: seconds(1, samples), range(2)))
        return max(both, key=lambda each: each["seconds"])

    seconds(1, 4)  # warms the cache of compiled forms
    ways = {
        "one": lambda: seconds(1, samples),
        "strong": lambda: seconds(2, samples),
        "weak": lambda: seconds(2, 2 * samples),
        "machine": side_by_side,
    }
    return compared(f"farm, {name}", samples, repeats, ways)


def split(name: str, repeats: int, place: str | None, more: list[str]) -> dict[str, object]:
    """One problem, each system split over the ranks."""
    file, small, large, samples = SPLIT[name]

    def seconds(ranks: int, size: list[str]) -> Found:
        every = [*size, NO_TRAINING, f"samples={samples}", f"solve.ranks_per_solve={ranks}"]
        every += ["solve.strategy={ksp: cg, pc: gamg}", *more]
        return run(ranks, every, place, EXAMPLES / file)

    ways = {
        "one": lambda: seconds(1, small),
        "strong": lambda: seconds(2, small),
        "weak": lambda: seconds(2, large),
    }
    return compared(f"split, {name}", samples, repeats, ways)


def compared(
    case: str, samples: int, repeats: int, ways: Mapping[str, Callable[[], Found]]
) -> dict[str, object]:
    """Medians of runs that take turns, as efficiencies against the way "one"."""
    found: dict[str, list[float]] = {way: [] for way in (*ways, "startup")}
    for _ in range(repeats):
        for way, once in ways.items():
            result = once()
            found[way].append(result["seconds"])
            if way == "one":
                found["startup"].append(result["startup"])
    middle = {way: float(np.median(values)) for way, values in found.items()}
    one = middle["one"]
    return {
        "case": case,
        "samples": samples,
        "s on 1 rank": one,
        "speed-up on 2": one / middle["strong"],
        "strong": one / middle["strong"] / 2,
        "weak": one / middle["weak"],
        "machine": one / middle["machine"] if "machine" in ways else "–",
        "start-up s": middle["startup"],
    }


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--cases", nargs="*", default=[*FARM, *SPLIT])
    arguments.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    asked = arguments.parse_args()
    rows = [
        (farm if case in FARM else split)(case, asked.repeats, asked.place, asked.set)
        for case in asked.cases
    ]
    report(
        "scaling",
        rows,
        asked.results,
        ranks="1, 2",
        note=f"Medians of {asked.repeats} interleaved runs; strong, weak and machine are "
        "efficiencies.",
    )


if __name__ == "__main__":
    main()
