"""Sorting: time a sample, growth, and the length of paths in the distance of full fields.

`python -m benchmarks.sorting [--samples 1000 3000 10000 30000 100000] [--resolution 64]`
`python -m benchmarks.sorting --correlation [--bases 6] [--partners 6] [--families darcy heat]`

The first form sorts the features of log-normal Darcy fields, then compares paths by features with
the paper's: greedy on the full fields (Frobenius norm), for several laws. The second one is in
`benchmarks/sorting_correlation.py`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import parser, report
from benchmarks.sorting_correlation import correlations
from pipeline.ordering import greedy, nearest, path_length, sort_features
from pipeline.ordering.sort import GREEDY_LIMIT
from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree
from pipeline.spec import Spec, load_spec

EXAMPLES = Path(__file__).parents[1] / "examples"
FEATURES = 32  # the spec's default
BLOCK = 500  # samples whose drawing is timed together; the median block counts
GREEDY_UP_TO = 10_000  # the walks that grow with n²
MATERN = "problem.coefficient={law: lognormal, field: {kind: matern, length: 0.25}}"
LAWS: dict[str, tuple[str, list[str]]] = {
    "log-normal, cosine α = 2, τ = 3": ("darcy", []),
    "log-normal, Matérn, length 0.25": ("darcy", [MATERN]),
    "two-phase 12/3": ("darcy-two-phase", []),
    "two-phase 10/5, rough": ("darcy-rough", []),
    "multiscale, four octaves": ("darcy-multiscale", []),
    "log-normal wave number (Helmholtz)": ("helmholtz-absorbing", []),
    "Chebyshev source and boundary (Poisson)": ("poisson", []),
}


def sampler_of(example: str, changes: list[str], samples: int, resolution: int) -> Sampler:
    spec: Spec = load_spec(
        EXAMPLES / f"{example}.yaml",
        [*changes, f"samples={samples}", f"mesh.resolution={resolution}"],
    )
    return Sampler(spec, spaces_tree(spec))


def timings(sizes: list[int], resolution: int, repeats: int) -> tuple[list[dict[str, Any]], str]:
    """A row a number of samples; features are drawn once and their first n sorted."""
    sampler = sampler_of("darcy", [], max(sizes), resolution)
    sampler.features(0, FEATURES)  # finds the directions
    rows, drawn, seconds = [], [], []
    for first in range(0, max(sizes), BLOCK):
        start = time.perf_counter()
        block = range(first, min(first + BLOCK, max(sizes)))
        drawn += [sampler.features(i, FEATURES) for i in block]
        seconds.append((time.perf_counter() - start) / len(block))
    draw = 1e3 * float(np.median(seconds))
    features = np.array(drawn)
    start = time.perf_counter()
    nearest(features[:100])
    load = time.perf_counter() - start
    for n in sizes:
        some = features[:n]
        fast, busy = best(lambda some=some: nearest(some), repeats)
        slow = best(lambda some=some: greedy(some), repeats)[0] if n <= GREEDY_UP_TO else np.nan
        default = slow if n <= GREEDY_LIMIT else fast
        rows.append(
            {
                "samples": n,
                "draw features, ms a sample": draw,
                "near-linear sort, ms a sample": 1e3 * fast / n,
                "its CPU ms a sample": 1e3 * busy / n,
                "greedy on the features, ms a sample": 1e3 * slow / n,
                "draw and default sort, ms a sample": draw + 1e3 * default / n,
            }
        )
    wall, cpu = (
        exponent(sizes, [r[column] for r in rows])
        for column in ("near-linear sort, ms a sample", "its CPU ms a sample")
    )
    note = f"growth exponent of the near-linear sort {wall:.2f} by wall time, {cpu:.2f} by CPU time"
    return rows, f"{note}; its code loads in {load:.1f} s"


def exponent(sizes: list[int], each: list[float]) -> float:
    """Slope of log(total time) over log(samples)."""
    if len(sizes) < 2:
        return np.nan
    return float(np.polyfit(np.log(sizes), np.log(np.multiply(sizes, each)), 1)[0])


def best(work: Any, repeats: int) -> tuple[float, float]:
    """Least wall and CPU seconds."""
    seconds = []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        work()
        seconds.append((time.perf_counter() - start, time.process_time() - busy))
    return min(w for w, _ in seconds), min(c for _, c in seconds)


def paths(samples: int, resolution: int, laws: list[str]) -> list[dict[str, Any]]:
    """A row a law: lengths in the full distance, relative to the greedy path on full fields."""
    rows = []
    for law in laws:
        sampler = sampler_of(*LAWS[law], samples, resolution)
        features = np.array([sampler.features(i, FEATURES) for i in range(samples)])
        full = full_fields(sampler, samples)
        yardstick = path_length(full, greedy_on_full(full))
        found = {
            "unsorted": np.arange(samples),
            "default": sort_features(features),
            "near-linear": sort_features(features, "nearest"),
            "near-linear, of the full fields": sort_features(full, "nearest"),
        }
        ratios = {name: path_length(full, path) / yardstick for name, path in found.items()}
        rows.append({"law": law, "numbers a sample": full.shape[1]} | ratios)
    return rows


def full_fields(sampler: Sampler, samples: int) -> NDArray[np.float32]:
    """All input values of all samples; several inputs each in units of its own scatter."""
    names = sorted(sampler.inputs(0))
    columns = [
        np.array([np.ravel(sampler.inputs(i)[name]) for i in range(samples)], dtype=np.float32)
        for name in names
    ]
    if len(columns) > 1:
        columns = [c / (np.linalg.norm(np.std(c, axis=0)) or 1.0) for c in columns]
    full = np.concatenate(columns, axis=1)
    return full - full.mean(axis=0)


def greedy_on_full(full: NDArray[np.float32]) -> NDArray[np.int64]:
    """The paper's walk by one table of distances: 4 n² bytes, single precision."""
    table = full @ full.T
    table *= -2
    table += np.diag(table)[None] / -2
    path, here = np.empty(len(full), dtype=np.int64), 0
    visited = np.zeros(len(full), dtype=np.float32)
    for step in range(len(full)):
        path[step], visited[here] = here, np.inf
        here = int(np.argmin(table[here] + visited))
    return path


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--samples", type=int, nargs="+", default=[1000, 3000, 10**4, 30_000, 10**5])
    made.add_argument("--resolution", type=int, default=64)
    made.add_argument("--repeats", type=int, default=3)
    made.add_argument("--laws", type=int, default=len(LAWS), help="the first few; 0: none")
    made.add_argument("--correlation", action="store_true")
    made.add_argument("--families", nargs="+", help="examples by name; default: all that vary")
    made.add_argument("--bases", type=int, default=6)
    made.add_argument("--partners", type=int, default=6)
    return made.parse_args()


def main() -> None:
    asked = arguments()
    if asked.correlation:
        rows = correlations(asked.families, asked.bases, asked.partners)
        note = (
            f"{asked.bases} bases with {asked.partners} partners each, from the nearest to the "
            "farthest of 256; GCRO-DR(40, 20), rtol 1e-8"
        )
        report("sorting_correlation", rows, asked.results, note=note)
        return
    rows, note = timings(asked.samples, asked.resolution, asked.repeats)
    note += f"; log-normal Darcy, {asked.resolution}², minimum of {asked.repeats}"
    report("sorting_time", rows, asked.results, note=note)
    if asked.laws == 0:
        return
    samples = min(max(asked.samples), GREEDY_UP_TO)
    rows = paths(samples, asked.resolution, list(LAWS)[: asked.laws])
    note = f"{samples} samples of {asked.resolution}²; lengths over that of greedy on full fields"
    report("sorting_length", rows, asked.results, note=note)


if __name__ == "__main__":
    main()
