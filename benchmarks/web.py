"""How long pages and pictures of `rekrylov serve` take: 10⁴ data sets, and one of 10⁵ samples.

`python -m benchmarks.web [--place FOLDER] [--sets 10000] [--samples 100000]`
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import parser, report
from storage import (
    DataFolder,
    ShardHeader,
    build_manifest,
    open_dataset,
    write_shard,
    write_spaces,
)
from storage.catalogue import Catalogue
from storage.pictures.thumbnail import commit_thumbnail

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "storage"))
from synthetic import make_dataset, make_tree  # noqa: E402
from web_server import FLAGS, running  # noqa: E402

FAMILIES = ("darcy", "heat", "stokes", "elasticity", "helmholtz", "poisson")
KEY = "0123456789"


def many_sets(root, count):
    """Folders with links to the files of one small data set, each with its own manifest."""
    first = make_dataset(root, "scalar")
    commit_thumbnail(open_dataset(first))
    manifest = json.loads((first / "manifest.json").read_text())
    for i in range(count - 1):
        folder = root / f"set-{i:06d}-{i:010x}"
        folder.mkdir()
        for path in ("spaces.h5", "scalars.h5", "shards", "previews"):
            os.symlink(first / path, folder / path)
        family = FAMILIES[i % len(FAMILIES)]
        problem = {"family": family, "dimension": 2 + i % 2, "description": f"{family} {i}"}
        told = manifest | {"name": f"{family}-{i}", "problem": problem, "samples": 10 + i}
        (folder / "manifest.json").write_text(json.dumps(told))


def large_set(root, samples, size=500):
    """A data set of many samples on a small mesh; sample i is a number times a function."""
    folder = DataFolder(root / f"large-{KEY}")
    folder.create()
    tree = make_tree("scalar", 4)
    digest = write_spaces(folder.spaces, tree)
    rng = np.random.default_rng(0)
    shape = (size, len(tree["mesh"]["points"]))
    for batch in range(samples // size):
        ids = np.arange(size) + batch * size
        write_shard(
            folder,
            ShardHeader(KEY, 0, batch, digest),
            {
                "inputs/a": rng.random(shape),
                "outputs/u": rng.random(shape),
                "parameters/mu": rng.random(size),
                "samples/id": ids,
                "samples/order": rng.permutation(size) + batch * size,
                "solve/iterations": rng.integers(3, 30, size, np.int32),
                "solve/true_residual": 10.0 ** rng.uniform(-10, -8, size),
                "solve/reason": np.full(size, 2, np.int32),
                "solve/seconds": rng.random(size),
            },
        )
    build_manifest(folder, {"name": "large", "data_key": KEY, "rtol": 1e-8})


def asked(server, path, times=5):
    """Milliseconds of the first answer, and the median of the next ones."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        status, _, body = server.get(path)
        spent.append(1e3 * (time.perf_counter() - start))
        assert status == 200, (path, status, body[:300])
    return {"first ms": spent[0], "median ms": float(np.median(spent[1:])), "kB": len(body) / 1e3}


def browsed(server, paths):
    """Milliseconds until Chromium has a page (`load`), its second visit."""
    from playwright.sync_api import sync_playwright

    found = {}
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page()
        for path in paths:
            for _ in range(2):
                page.goto(server.base + path)
                timing = "performance.getEntriesByType('navigation')[0]"
                found[path] = page.evaluate(f"{timing}.domContentLoadedEventEnd")
        browser.close()
    return found


def measured(root, samples):
    """Rows of the table."""
    large, fine = f"/data/large-{KEY}", f"/data/mixed-{KEY}"
    pages = {
        "list": "/",
        "list, page 200": "/?page=200&sort=name",
        "list, facets and words": "/?q=heat&dimension=3",
        "list, a query": "/?q=samples%3E5000+and+not+family%3Ddarcy",
        "data set of 24 samples": f"/data/set-000007-{7:010x}",
        f"data set of {samples} samples": large,
        "sample of it": f"{large}/sample?row={samples - 5}",
        "its shards": f"{large}/shards?page=2",
        "its scalars as JSON, 1000": f"/api/datasets/large-{KEY}/scalars?offset=500",
        "data set of 128²": fine,
    }
    pictures = {
        "histogram of 10⁵": f"{large}/plot.svg?name=mu",
        "residuals of 10⁵": f"{large}/plot.svg?kind=series&name=true_residual",
        "edges of 128²": f"{fine}/edges.png",
    }
    for row in (1, 2):
        for field, kind in (("a", "scalar"), ("velocity", "vector")):
            address = f"{fine}/picture.png?field={field}&row={row}"
            pictures[f"{kind} field, 128², sample {row}"] = address
    paths = pages | pictures
    with running(root) as server:
        for _ in range(2):  # the workers have started
            server.get(f"/data/set-000008-{8:010x}/picture.png?field=u")
            time.sleep(1.0)
        rows = [{"what": name} | asked(server, path) for name, path in paths.items()]
        seen = browsed(server, pages.values())
    return [row | {"Chromium ms": seen.get(paths[row["what"]], "")} for row in rows]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--sets", type=int, default=10_000, help="data sets")
    arguments.add_argument("--samples", type=int, default=100_000, help="of the large data set")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=given.place) as place:
        root = Path(place)
        many_sets(root, given.sets)
        large_set(root, given.samples)
        make_dataset(root, "mixed", samples=4, m=128)
        Catalogue(root).refresh()  # as the first `rekrylov list` does
        rows = measured(root, given.samples)
    report("web", rows, given.results, note=f"{given.sets} data sets")


if __name__ == "__main__":
    main()
