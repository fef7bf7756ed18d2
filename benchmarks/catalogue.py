"""How quickly the catalogue lists, searches and counts 10⁵ data sets, and scans folders.

`python -m benchmarks.catalogue [--place FOLDER] [--rows 100000] [--folders 10000]`
"""

import json
import random
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import parser, report
from storage.catalogue import Catalogue, Summary
from storage.catalogue.rows import Row, in_turn, put
from storage.catalogue.summary import SIZES, Entry

FAMILIES = ("darcy", "poisson", "heat", "elasticity", "stokes", "navier_stokes", "helmholtz")
GEOMETRIES = ("unit_square", "l_shape", "disc", "unit_cube", "channel", "unit_interval")
STRATEGIES = ("cg+icc", "gcrodr+ilu", "16 × cg+frozen cholesky, scaled", "preonly+lu (mumps)")
STATUSES = ("complete", "complete", "complete", "failures", "incomplete", "unfinished", "damaged")
WORDS = ("permeability", "source", "pressure", "flux", "moving", "hole", "layered", "study")
QUERIES = {
    "list, the newest 50": ("find", "", {}),
    "list, page 1001": ("find", "", {"offset": 50_000}),
    "list by size": ("find", "", {"sort": "-bytes"}),
    "one family and more than 1000 samples": ("find", "family=darcy and samples>1000", {}),
    "a word that half have": ("find", "permeab", {}),
    "a word that few have": ("find", "study7", {}),
    "two words, or a long text": ("find", "(hole layered) or citation~99", {}),
    "a facet": ("find", "", {"geometry": "disc", "status": ["complete", "failures"]}),
    "count": ("count", "samples>1000", {}),
    "facets of all": ("facets", "", {}),
    "facets of a word": ("facets", "permeab", {}),
    "facets of a comparison, two chosen": ("facets", "samples>1000", {"family": "heat"}),
    "one by name": ("get", "made-00077", {}),
}


def made(number: int, rng: random.Random) -> Entry:
    """A data set that isn't there."""
    words = " ".join(rng.sample(WORDS, 4))
    size = int(10 ** rng.uniform(4, 11))
    summary = Summary(
        folder=f"made-{number:05d}",
        name=f"study{number % 1000}",
        family=rng.choice(FAMILIES),
        description=f"{words}, as in run {number}",
        dimension=rng.choice((1, 2, 3)),
        cell="triangle",
        geometry=rng.choice(GEOMETRIES),
        space=rng.choice(("P1", "P2", "RT1, DG0", "P2, P1")),
        spaces="a: P1, u: P1",
        strategy=rng.choice(STRATEGIES),
        status=rng.choice(STATUSES),
        size=next(name for name, end in SIZES.items() if size < end),
        samples=int(10 ** rng.uniform(1, 5)),
        bytes=size,
        dofs=rng.randrange(100, 100_000),
        shards=rng.randrange(1, 1000),
        rtol=1e-8,
        worst_residual=rng.uniform(1e-9, 1e-8),
        mean_iterations=rng.uniform(1, 100),
        seconds=rng.uniform(1, 1e4),
        licence="CC-BY-4.0",
        citation=f"A. Author {number}, A study of {words}, Journal of Data {number % 50}",
        host=f"node{number % 200}",
        user=f"user{number % 30}",
        git_commit=f"{rng.getrandbits(160):040x}",
        versions="rekrylov 0.1.0, numpy 2.5.5, scipy 1.18.1, h5py 3.16.0, petsc 3.25.5",
        created="2026-01-01T00:00:00Z",
        updated=f"2026-{1 + number % 12:02d}-{1 + number % 28:02d}T{number % 24:02d}:00:00Z",
        data_key=f"{rng.getrandbits(256):064x}",
    )
    shown = f"{summary.name} {summary.folder} {summary.family} {summary.geometry} {summary.spaces}"
    equations = "f a(x, y) Derivative(u(x, y), (x, 2)) permeability" if number % 2 else "f u(x, y)"
    return Entry(summary, f"{shown} {summary.description} {summary.citation} {equations}")


def filled(root: Path, count: int) -> Catalogue:
    """A catalogue of made-up rows."""
    catalogue, rng = Catalogue(root), random.Random(7)
    for start in range(0, count, 1000):
        new = [Row("", made(i, rng)) for i in range(start, min(count, start + 1000))]
        catalogue._index.run(lambda connection, new=new: in_turn(put, new, connection))
    return catalogue


def timed(action: object, repeats: int = 7) -> dict[str, float]:
    """Milliseconds of the first call, the median and the slowest of the others."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()  # type: ignore[operator]
        seconds.append(1000 * (time.perf_counter() - start))
    rest = seconds[1:]
    return {"first": seconds[0], "median": float(np.median(rest)), "slowest": max(rest)}


def queries(root: Path, count: int) -> list[dict[str, object]]:
    start = time.perf_counter()
    filled(root, count)
    print(f"{count} rows written in {time.perf_counter() - start:.1f} s", flush=True)
    rows: list[dict[str, object]] = []
    for name, (method, query, options) in QUERIES.items():
        catalogue = Catalogue(root)  # nothing of the queries before is in its memory
        found = timed(lambda c=catalogue, m=method, q=query, o=options: getattr(c, m)(q, **o))
        rows.append({"query": name} | {f"{k} ms": round(v, 1) for k, v in found.items()})
    return rows


def scans(root: Path, count: int) -> dict[str, float]:
    """Seconds to read so many folders, to look at them again, and to find one change."""
    manifest = _manifest()
    for number in range(count):
        (root / f"set-{number:06d}" / "shards").mkdir(parents=True)
        text = json.dumps(manifest | {"name": f"set{number}"})
        (root / f"set-{number:06d}" / "manifest.json").write_text(text)
    time.sleep(0.1)
    catalogue, seconds = Catalogue(root), {}
    ways = {"first scan": "refresh", "nothing changed": "refresh", "caught up": "catch_up"}
    for name, method in (ways | {"rebuild": "rebuild"}).items():
        start = time.perf_counter()
        changes = getattr(catalogue, method)()
        seconds[name] = round(time.perf_counter() - start, 2)
        assert len(changes.added) == (count if name == "first scan" else 0)
    start = time.perf_counter()
    catalogue.update("set-000000")
    return seconds | {"one row": round(time.perf_counter() - start, 5)}


def _manifest() -> dict[str, object]:
    """A small manifest with what a real one says."""
    field = {"role": "output", "space": "P1", "units": "Pa", "description": "pressure u"}
    return {
        "format": 1,
        "data_key": "0" * 64,
        "spaces_hash": "0" * 64,
        "samples": 0,
        "fields": {"a": field | {"role": "input"}, "u": field},
        "columns": {f"solve/{i}": {"dtype": "<f8", "shape": []} for i in range(8)},
        "failures": [],
        "shards": [],
        "problem": {"family": "darcy", "description": "−∇·(a ∇u) = f", "dimension": 2},
        "spec": {"mesh": {"domain": "unit_square", "cell": "triangle"}, "samples": 0},
        "provenance": {"versions": {"numpy": "2.5.5"}, "time": "2026-11-29T16:03:18Z"},
        "strategy": {"pilots": [{"picked": "cg+icc", "trials": [{"ms": 1.0}] * 8}]},
    }


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, default=100_000, help="data sets to search in")
    arguments.add_argument("--folders", type=int, default=10_000, help="folders to scan")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.place) as place:
        for name in ("rows", "folders"):
            (Path(place) / name).mkdir()
        if asked.rows:
            rows = queries(Path(place) / "rows", asked.rows)
            report("catalogue", rows, asked.results, note=f"{asked.rows} data sets")
        if asked.folders:
            seconds = scans(Path(place) / "folders", asked.folders)
            report("catalogue_scan", [{"folders": asked.folders} | seconds], asked.results)


if __name__ == "__main__":
    main()
