"""The solve stage on 1 and 2 ranks, and what a sample costs besides assembly and solve.

`python -m benchmarks.solve_rate [--samples 512] [--resolution 128] [--repeats 3]`

Runs `rekrylov solve` in fresh processes, ranks in turn, and reads the shards' records. The steady
rate counts from the start of the first shard to the end of the last one; start-up (imports, MPI,
sampling, sorting, meshes, form compilation from a warm cache) is printed beside it.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import parser, report
from pipeline.dataset_folder import data_folder
from pipeline.launch import launch
from pipeline.spec import load_spec
from storage import read_order, read_records
from storage.spaces import SpaceTree

SPEC = Path(__file__).parents[1] / "examples" / "darcy.yaml"


def run(ranks: int, overrides: list[str], place: str | None, file: Path = SPEC) -> dict[str, float]:
    """One fresh data set; returns seconds and milliseconds a sample."""
    spec = load_spec(file, overrides)
    with tempfile.TemporaryDirectory(dir=place) as root:
        argv = ["solve", str(file), "--root", root]
        argv += [word for text in overrides for word in ("--set", text)]
        start = time.time()
        code = launch(argv, ranks)
        wall = time.time() - start
        assert code == 0, f"rekrylov solve ended with {code}"
        folder = data_folder(spec, root)
        records = read_records(folder)
        sort = _sorting(spec, folder)
    seconds = {
        name: sum(r.info["seconds"][name] for r in records)
        for name in ("draw", "assemble", "solve", "all")
    }
    first = min(r.info["ended"] - r.info["seconds"]["all"] for r in records)
    steady = max(r.info["ended"] for r in records) - first
    n = spec.samples
    rest = seconds["all"] - seconds["draw"] - seconds["assemble"] - seconds["solve"]
    return {
        "rate": n / steady,
        "seconds": steady,
        "startup": wall - steady,
        "assemble": 1e3 * seconds["assemble"] / n,
        "solve": 1e3 * seconds["solve"] / n,
        "draw": 1e3 * seconds["draw"] / n,
        "sort": 1e3 * sort / n,
        "write": 1e3 * rest / n,
    }


def _sorting(spec, folder) -> float:
    """Seconds of drawing the features and sorting them again."""
    from pipeline.ordering import sort_features
    from pipeline.sampler import Sampler

    sampler = Sampler(spec, SpaceTree(folder.spaces))
    (segment,) = read_order(folder.order)
    start = time.perf_counter()
    rows = [sampler.features(int(i), 32) for i in segment.ids]
    path = sort_features(np.array(rows), spec.order.sort)
    assert np.array_equal(path, segment.path)
    return time.perf_counter() - start


def verification(overrides: list[str]) -> float:
    """Milliseconds of one true residual: it is within the solve's time."""
    from pipeline.discretisation import Discretisation
    from pipeline.sampler import Sampler
    from pipeline.spaces import spaces_tree
    from pipeline.stages.solve import world

    world()
    from mpi4py import MPI

    import solvers

    spec = load_spec(SPEC, overrides)
    tree = spaces_tree(spec)
    there = Discretisation(spec, tree, MPI.COMM_SELF)
    A, b = there.assemble(Sampler(spec, tree).inputs(0))
    x, times = np.ones(A.getSize()[0]), []
    work = b.duplicate(), b.duplicate()
    for _ in range(50):
        start = time.perf_counter()
        solvers.true_residual(A, b, x, there.problem.free, work=work)
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=int, default=512)
    arguments.add_argument("--resolution", type=int, default=128)
    arguments.add_argument("--repeats", type=int, default=3)
    asked = arguments.parse_args()
    overrides = [f"samples={asked.samples}", f"mesh.resolution={asked.resolution}"]
    runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    run(1, [*overrides[1:], "samples=4"], asked.place)  # warms the form cache
    for _ in range(asked.repeats):
        for ranks, found in runs.items():
            found.append(run(ranks, overrides, asked.place))
    check = verification(overrides)
    base = np.median([r["rate"] for r in runs[1]])
    rows = []
    for ranks, found in runs.items():
        middle = {key: float(np.median([r[key] for r in found])) for key in found[0]}
        besides = middle["draw"] + middle["sort"] + check + middle["write"]
        rows.append(
            {
                "ranks": ranks,
                "steady samples/s": middle["rate"],
                "speed-up": middle["rate"] / base,
                "start-up s": middle["startup"],
                "assemble ms": middle["assemble"],
                "solve ms": middle["solve"],
                "draw ms": middle["draw"],
                "sort ms": middle["sort"],
                "verify ms": check,
                "write ms": middle["write"],
                "besides ms": besides,
            }
        )
    report(
        "solve_rate",
        rows,
        asked.results,
        ranks="1, 2",
        note=f"{asked.samples} samples of {asked.resolution}², medians of {asked.repeats} "
        "interleaved runs, ms a sample; besides = draw + sort + verify + write; verify, one true "
        "residual, is within solve too.",
    )


if __name__ == "__main__":
    main()
