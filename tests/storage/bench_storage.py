"""What storage costs a sample at 128² (16,641 dofs, input + output, float64).

Usage: python tests/storage/bench_storage.py [folder on the disk to measure] [samples a shard]
"""

import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from storage import DataFolder, ShardHeader, open_dataset, write_shard, write_spaces

DOFS, SHARDS = 16_641, 12


def timed(work, count):
    """Wall and processor milliseconds for one of `count`."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    done = time.perf_counter() - wall, time.process_time() - processor
    return [1e3 * seconds / count for seconds in done]


def report(name, times):
    wall, processor = np.array(times).T
    print(
        f"{name:34} wall {np.median(wall):.3f} ms (best {wall.min():.3f}), "
        f"processor {np.median(processor):.3f} ms"
    )


def main(place, n):
    rng = np.random.default_rng(0)
    fields = {name: rng.standard_normal((n, DOFS)) for name in ("inputs/a", "outputs/u")}
    with tempfile.TemporaryDirectory(dir=place) as root:
        folder = DataFolder(Path(root) / "set")
        folder.create()
        digest = write_spaces(folder.spaces, {"fields": {}})

        def write(batch):
            columns = fields | {"samples/id": np.arange(n) + batch * n}
            write_shard(folder, ShardHeader("key", 0, batch, digest), columns)

        report("write_shard, a sample", [timed(lambda b=b: write(b), n) for b in range(SHARDS)])
        ds = open_dataset(folder.path)
        rows = rng.integers(0, len(ds), 256)
        ds.read("u", rows)
        report("read u, 256 random rows, a sample", [timed(lambda: ds.read("u", rows), 256)] * 3)
        singles = [timed(lambda: [ds.read("u", int(i)) for i in rows], 256) for _ in range(5)]
        report("read u, one random row", singles)
        with h5py.File(Path(root) / "whole.h5", "w") as file:
            file["u"] = ds.read("u")
            peer = [timed(lambda: [file["u"][int(i)] for i in rows], 256) for _ in range(5)]
        report("one contiguous array, one row", peer)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None, int(sys.argv[2]) if len(sys.argv) > 2 else 128)
