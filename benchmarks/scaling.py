"""Strong and weak scaling of the solve stage on 1 and 2 ranks, farmed and split.

`python -m benchmarks.scaling [--repeats 3] [--cases darcy-128 …] [--set KEY=VALUE]`

Farm: samples over ranks. Split: one system over the ranks. Each line compares fresh runs of
`rekrylov solve` that take turns; the rate counts from the start of the first shard to the end of
the last one, start-up is beside it. Efficiency = speed-up / ranks for strong scaling (the same
samples), time on 1 rank / time on 2 for weak scaling (twice the samples, or twice the unknowns).
"machine" is what two runs of one rank, side by side and each with a data set of its own, lose
against one run alone: memory, disk and clock, which no program of ours can win back.
"""

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


def farm(name: str, repeats: int, place: str | None, more: list[str]) -> dict[str, object]:
    """Medians of interleaved runs of one problem, samples farmed over ranks."""
    file, overrides, samples = FARM[name]

    def timed(ranks: int, count: int) -> dict[str, float]:
        every = [*overrides, NO_TRAINING, f"samples={count}", *more]
        return run(ranks, every, place, EXAMPLES / file)

    def side_by_side() -> float:
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda _: timed(1, samples), range(2)))
        return max(each["seconds"] for each in both)

    timed(1, 4)  # warms the cache of compiled forms
    found: dict[str, list[float]] = {"one": [], "strong": [], "weak": [], "two": [], "startup": []}
    for _ in range(repeats):
        one = timed(1, samples)
        found["one"].append(one["seconds"])
        found["startup"].append(one["startup"])
        found["strong"].append(timed(2, samples)["seconds"])
        found["weak"].append(timed(2, 2 * samples)["seconds"])
        found["two"].append(side_by_side())
    middle = {key: float(np.median(values)) for key, values in found.items()}
    return {
        "case": f"farm, {name}",
        "samples": samples,
        "s on 1 rank": middle["one"],
        "speed-up on 2": middle["one"] / middle["strong"],
        "strong": middle["one"] / middle["strong"] / 2,
        "weak": middle["one"] / middle["weak"],
        "machine": middle["one"] / middle["two"],
        "start-up s": middle["startup"],
    }


def split(name: str, repeats: int, place: str | None, overrides: list[str]) -> dict[str, object]:
    """Medians of interleaved runs of one problem, each system split over the ranks."""
    file, small, large, samples = SPLIT[name]

    def timed(ranks: int, size: list[str]) -> dict[str, float]:
        more = [NO_TRAINING, f"samples={samples}", f"solve.ranks_per_solve={ranks}"]
        more += ["solve.strategy={ksp: cg, pc: gamg}", *overrides]
        return run(ranks, [*size, *more], place, EXAMPLES / file)

    found: dict[str, list[float]] = {"one": [], "strong": [], "weak": [], "startup": []}
    for _ in range(repeats):
        one = timed(1, small)
        found["one"].append(one["seconds"])
        found["startup"].append(one["startup"])
        found["strong"].append(timed(2, small)["seconds"])
        found["weak"].append(timed(2, large)["seconds"])
    middle = {key: float(np.median(values)) for key, values in found.items()}
    return {
        "case": f"split, {name}",
        "samples": samples,
        "s on 1 rank": middle["one"],
        "speed-up on 2": middle["one"] / middle["strong"],
        "strong": middle["one"] / middle["strong"] / 2,
        "weak": middle["one"] / middle["weak"],
        "machine": "–",
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
