"""What each step costs when a data set is large: the numbers that `benchmarks.scale` reckons with.

`python -m benchmarks.scale_costs [--place FOLDER] [--shards 10000] [--a-shard 100]`

Folders and files are real and written by the package; only the fields are made up. Processor time
is that of all processes that take part, and says little of other work on the machine; the clock
counts waiting, for a disk above all.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import parser, report
from pipeline.chains import Part, missing_batches
from pipeline.ordering import sort_features
from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree
from pipeline.spec import Spec, data_key, load_spec
from storage import (
    DataFolder,
    ShardHeader,
    append_segment,
    build_manifest,
    open_dataset,
    read_order,
    read_records,
    set_path,
    spaces_hash,
    write_shard,
    write_spaces,
)

EXAMPLE = str(Path(__file__).parents[1] / "examples" / "darcy.yaml")
FEATURES = 32  # the spec's default
WHOLE = 20  # shards with fields of full size
SMALL = 2  # resolution of the others
INFO = {"seconds": dict.fromkeys(("draw", "assemble", "solve", "all"), 0.123456789), "pilots": []}


def spec_of(samples: int, resolution: int) -> Spec:
    return load_spec(EXAMPLE, [f"samples={samples}", f"mesh.resolution={resolution}", "train=null"])


type Cost = tuple[float, float]  # processor seconds, seconds of the clock


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[float, float]:
    """Least processor seconds of this process, and least seconds of the clock."""
    found = []
    for _ in range(repeats):
        wall, busy = time.perf_counter(), time.process_time()
        work()
        found.append((time.process_time() - busy, time.perf_counter() - wall))
    return min(b for b, _ in found), min(w for _, w in found)


def ordered(folder: DataFolder, spec: Spec, shards: int, each: int) -> dict[str, Any]:
    """Write a folder's spaces and order; what the order cost."""
    rng, n = np.random.default_rng(0), shards * each
    folder.create()
    write_spaces(folder.spaces, spaces_tree(spec))
    features, path = rng.normal(size=(n, FEATURES)), rng.permutation(n)
    ids, ends = np.arange(n), np.arange(0, n + 1, each)
    found = {"append a segment": timed(lambda: append_segment(folder.order, ids, features))}
    found["set its path"] = timed(lambda: set_path(folder.order, 0, path, ends))
    return found


def commit(folder: DataFolder, spec: Spec, values: Any, digest: str) -> None:
    """Commit every batch of a folder with the same values under other ids."""
    segment = read_order(folder.order)[0]
    n, key = len(values), data_key(spec)
    plain = {"iterations": np.int32, "systems": np.int32, "reason": np.int32, "seconds": float}
    columns = {"inputs/a": values, "outputs/u": values, "solve/true_residual": np.full(n, 1e-9)}
    columns |= {f"solve/{name}": np.ones(n, kind) for name, kind in plain.items()}
    for batch in range(segment.batches):
        own = {"samples/id": segment.batch_ids(batch), "samples/order": np.arange(n) + n * batch}
        write_shard(folder, ShardHeader(key, 0, batch, digest), columns | own, info=INFO)


def filled(folder: DataFolder, spec: Spec, each: int) -> tuple[float, float]:
    """Commit all shards of a folder; processor seconds and seconds of one."""
    dofs = next(iter(spaces_tree(spec)["spaces"].values()))["dim"]
    values = np.exp(np.random.default_rng(0).normal(size=(each, dofs)))
    digest, batches = spaces_hash(folder.spaces), read_order(folder.order)[0].batches
    busy, wall = timed(lambda: commit(folder, spec, values, digest))
    return busy / batches, wall / batches


def listing(place: Path, shards: int, each: int) -> dict[str, tuple[float, float]]:
    """What grows with the number of shards, with hardly any data in them."""
    spec = spec_of(shards * each, SMALL)
    folder, key, ids = DataFolder(place / "many"), data_key(spec), spec.ids
    found = ordered(folder, spec, shards, each)
    found["commit a small shard"] = filled(folder, spec, each)
    found["read the order"] = timed(lambda: read_order(folder.order), 3)
    whole = timed(lambda: read_records(folder, key), 3)
    found["read a record"] = (whole[0] / shards, whole[1] / shards)
    found["what is left, of all"] = timed(lambda: missing_batches(folder, ids, key), 3)
    part = Part(1, min(1000, shards))
    found[f"what is left, part {part}"] = timed(
        lambda: missing_batches(folder, ids, key, part=part), 3
    )
    common = {"name": spec.name, "data_key": key, "rtol": spec.rtol}
    found["manifest of small shards"] = timed(lambda: build_manifest(folder, common))
    found["open the data set"] = timed(lambda: open_dataset(folder.path), 7)
    found["tell the catalogue"] = told(folder)
    return found


def told(folder: DataFolder) -> tuple[float, float]:
    """Let the catalogue's index take in a data set."""
    from storage.catalogue import Catalogue

    catalogue = Catalogue(folder.path.parent)
    catalogue.refresh()
    return timed(lambda: catalogue.update(folder.path.name), 3)


def data(place: Path, each: int, resolution: int, drawn: int) -> dict[str, tuple[float, float]]:
    """What grows with the size of a sample."""
    spec = spec_of(max(drawn, WHOLE * each), resolution)
    folder = DataFolder(place / "whole")
    ordered(folder, spec, WHOLE, each)
    sampler = Sampler(spec, spaces_tree(spec))
    sampler.features(0, FEATURES)  # finds the directions
    busy, wall = timed(lambda: [sampler.features(i, FEATURES) for i in range(drawn)])
    found = {"draw the features of a sample": (busy / drawn, wall / drawn)}
    found["commit a shard"] = filled(folder, spec, each)
    common = {"name": spec.name, "data_key": data_key(spec), "rtol": spec.rtol}
    busy, wall = timed(lambda: build_manifest(folder, common))
    found["manifest, a shard"] = (busy / WHOLE, wall / WHOLE)
    return found


def sorting(samples: int) -> dict[str, tuple[float, float]]:
    features = np.random.default_rng(0).normal(size=(samples, FEATURES))
    features *= 0.8 ** np.arange(FEATURES)  # as those of a smooth field fall off
    sort_features(features[:200], "nearest")  # compiles
    busy, wall = timed(lambda: sort_features(features, "nearest"))
    return {f"sort a sample of {samples}": (busy / samples, wall / samples)}


def starting(place: Path, repeats: int = 3) -> dict[str, Cost]:
    """A solve under mpiexec that finds its work done."""
    from pipeline import stages
    from pipeline.launch import launch

    options = ["samples=8", "mesh.resolution=8", "train=null"]
    spec = load_spec(EXAMPLE, options)
    words = [word for option in options for word in ("--set", option)]
    stages.sample(spec, place, quiet=True)

    def start() -> None:
        code = launch(["solve", EXAMPLE, "--root", str(place), *words], 1, on_line=lambda _: None)
        if code:
            raise RuntimeError(f"rekrylov solve ended with {code}")

    start()
    before = _ended()
    wall = timed(lambda: [start() for _ in range(repeats)])[1]
    return {"start of mpiexec and rekrylov": ((_ended() - before) / repeats, wall / repeats)}


def _ended() -> float:
    """Processor seconds of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def scheduling(few: int = 20, many: int = 120) -> dict[str, Cost]:
    """A submitted Prefect task that does nothing, on a real server of its own."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    from prefect import flow, task
    from prefect.task_runners import ThreadPoolTaskRunner
    from prefect_dask import DaskTaskRunner

    from flows.server import temporary_server

    nothing = task(lambda k: k, name="nothing", persist_result=False)
    runners: dict[str, Callable[[], Any]] = {
        "threads": lambda: ThreadPoolTaskRunner(max_workers=4),
        "Dask": lambda: DaskTaskRunner(
            cluster_kwargs={"n_workers": 1, "threads_per_worker": 4, "dashboard_address": None}
        ),
    }
    found: dict[str, Cost] = {}
    with temporary_server():
        for name, runner in runners.items():

            @flow(name=f"many-{name.lower()}", task_runner=runner())
            def many_tasks(count: int) -> Cost:
                nothing.submit(0).result()
                wall, busy = time.perf_counter(), _living()
                for future in [nothing.submit(k) for k in range(count)]:
                    future.result()
                return _living() - busy, time.perf_counter() - wall

            pair = zip(many_tasks(many), many_tasks(few), strict=True)
            busy, wall = ((long - short) / (many - few) for long, short in pair)
            found[f"a Prefect task, {name}"] = (busy, wall)
    return found


def _living() -> float:
    """Processor seconds of this process and all below it: a flow, its server and its workers."""
    from psutil import Process

    every = [Process(), *Process().children(recursive=True)]
    return sum(times.user + times.system for times in (process.cpu_times() for process in every))


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--shards", type=int, default=10_000)
    made.add_argument("--a-shard", type=int, default=100, help="samples of a shard")
    made.add_argument("--resolution", type=int, default=128)
    made.add_argument("--sorted", type=int, default=100_000, help="samples to sort")
    made.add_argument("--drawn", type=int, default=2000, help="samples to draw features of")
    made.add_argument("--no-prefect", action="store_true", help="leave out Prefect and mpiexec")
    return made.parse_args()


def main() -> None:
    asked = arguments()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=asked.place)))
        found: dict[str, Cost] = {**data(place, asked.a_shard, asked.resolution, asked.drawn)}
        found |= listing(place, asked.shards, asked.a_shard)
        found |= sorting(asked.sorted)
        if not asked.no_prefect:
            found |= starting(place) | scheduling()
    rows = [
        {"what": name, "processor ms": 1e3 * busy, "clock ms": 1e3 * wall}
        for name, (busy, wall) in found.items()
    ]
    note = (
        f"{asked.shards} shards of {asked.a_shard} samples, fields of {SMALL}²; in the first three "
        f"rows {WHOLE} of {asked.resolution}²; load {os.getloadavg()[1]:.1f}"
    )
    report("scale_costs", rows, asked.results, note=note)


if __name__ == "__main__":
    main()
