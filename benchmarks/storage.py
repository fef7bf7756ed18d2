"""What storage costs a sample at 128² (16,641 dofs, input + output, float64).

`python -m benchmarks.storage [--place FOLDER] [--samples 64]`
"""

import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from benchmarks.report import parser, report
from storage import DataFolder, ShardHeader, open_dataset, write_shard, write_spaces

DOFS, SHARDS = 16_641, 12


def timed(work, count):
    """Wall and processor milliseconds for one of `count`."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    done = time.perf_counter() - wall, time.process_time() - processor
    return [1e3 * seconds / count for seconds in done]


def row(name, times):
    """Milliseconds a sample."""
    wall, processor = np.array(times).T
    return {
        "what": name,
        "median ms": float(np.median(wall)),
        "best ms": float(wall.min()),
        "processor ms": float(np.median(processor)),
    }


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=int, default=64, help="samples a shard")
    asked = arguments.parse_args()
    place, n = asked.place, asked.samples
    rng = np.random.default_rng(0)
    fields = {name: rng.standard_normal((n, DOFS)) for name in ("inputs/a", "outputs/u")}
    with tempfile.TemporaryDirectory(dir=place) as root:
        folder = DataFolder(Path(root) / "set")
        folder.create()
        digest = write_spaces(folder.spaces, {"fields": {}})

        def write(batch):
            columns = fields | {"samples/id": np.arange(n) + batch * n}
            write_shard(folder, ShardHeader("key", 0, batch, digest), columns)

        rows = [row("write, 1 of a shard", [timed(lambda b=b: write(b), n) for b in range(SHARDS)])]
        ds = open_dataset(folder.path)
        picked = rng.integers(0, len(ds), 256)
        ds.read("u", picked)
        together = [timed(lambda: ds.read("u", picked), 256) for _ in range(5)]
        rows.append(row("read, 1 of 256 random rows", together))
        singles = [timed(lambda: [ds.read("u", int(i)) for i in picked], 256) for _ in range(5)]
        rows.append(row("read, a single random row", singles))
        with h5py.File(Path(root) / "whole.h5", "w") as file:
            file["u"] = ds.read("u")
            peer = [timed(lambda: [file["u"][int(i)] for i in picked], 256) for _ in range(5)]
        rows.append(row("the same from one contiguous array", peer))
    report(
        "storage",
        rows,
        asked.results,
        note=f"{DOFS} dofs, input + output, float64, {n} samples a shard",
    )


if __name__ == "__main__":
    main()
