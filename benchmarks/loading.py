"""Loading random samples of 128² (16,641 dofs): shards and packed copy against one array.

`python -m benchmarks.loading [--place FOLDER] [--shards 100] [--samples 64]`

The peers are one contiguous HDF5 array of the same type with its handle kept open, and a reader
that opens the shard for each item. All give single precision (and DataLoaders the id, batches of 32
and workers that were started before); files are in the page cache. Readers take turns; a time is
the median of the turns, and a speed that of the ratios within a turn, as other work on the machine
slows both down.
"""

import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader, RandomSampler

from benchmarks.report import parser, report
from storage import DataFolder, ShardHeader, build_manifest, open_dataset, write_shard, write_spaces
from storage.loading.packing import pack

DOFS, BATCH, ITEMS, TURNS, WORKERS = 16_641, 32, 256, 15, (0, 2, 4)


class Whole(torch.utils.data.Dataset):
    """One contiguous array, opened once a process."""

    def __init__(self, path):
        self.path, self.array = path, None

    def rows(self, rows):
        """Arrays of some rows, one after the other."""
        if self.array is None:
            self.array = h5py.File(self.path)["u"]
        return [self.array[row].astype("f4", copy=False) for row in rows]

    def batch(self, rows):
        """One array of some rows."""
        return np.stack(self.rows(rows))

    def __len__(self):
        return self.rows([0]) and len(self.array)

    def __getitem__(self, row):
        return {"id": row, "u": torch.from_numpy(self.rows([row])[0])}


class PerItem(torch.utils.data.Dataset):
    """The shards, the file opened for every item."""

    def __init__(self, ds):
        self.ds = ds
        entries = ds.manifest["shards"]
        numbers = [ds.shard_of(row) for row in range(len(ds))]
        stored = {int(i): k for rows in ds.by_shard() for k, i in enumerate(ds.ids[rows])}
        self.where = [
            (f"{ds.path}/shards/{entries[shard]['file']}", stored[int(i)])
            for i, shard in zip(ds.ids, numbers, strict=True)
        ]

    def rows(self, rows):
        """Arrays of some rows, one after the other."""
        found = []
        for row in rows:
            path, place = self.where[row]
            with h5py.File(path) as file:
                found.append(file["outputs/u"][place].astype("f4", copy=False))
        return found

    def batch(self, rows):
        """One array of some rows."""
        return np.stack(self.rows(rows))

    def __len__(self):
        return len(self.where)

    def __getitem__(self, row):
        return {"id": row, "u": torch.from_numpy(self.rows([row])[0])}


class Ours:
    """A view of our data set with the peers' methods."""

    def __init__(self, ds):
        self.ds = ds

    def rows(self, rows):
        """Arrays of some rows, one after the other."""
        return [self.ds.read("u", row, "f4") for row in rows]

    def batch(self, rows):
        """One array of some rows."""
        return self.ds.read("u", rows, "f4")

    def loaded(self):
        """The view for PyTorch."""
        return self.ds.torch(inputs=[], outputs=["u"])


def make(root, shards, samples):
    """A data set of random numbers with shuffled ids, its packed copy, and the peers' arrays."""
    folder = DataFolder(root / "set")
    folder.create()
    digest = write_spaces(folder.spaces, {"fields": {"u": {"role": "output", "space": "p1"}}})
    rng = np.random.default_rng(0)
    ids = rng.permutation(shards * samples).reshape(shards, samples)
    block = rng.standard_normal((samples, DOFS))
    for batch in range(shards):
        columns = {"outputs/u": block + batch, "samples/id": ids[batch]}
        write_shard(folder, ShardHeader("key", 0, batch, digest), columns)
    build_manifest(folder, {"data_key": "key"})
    ds = open_dataset(folder.path)
    start = time.perf_counter()
    pack(ds)
    seconds = time.perf_counter() - start
    with h5py.File(root / "f8.h5", "w") as wide, h5py.File(root / "f4.h5", "w") as narrow:
        shape = (len(ds), DOFS)
        arrays = wide.create_dataset("u", shape, "f8"), narrow.create_dataset("u", shape, "f4")
        for start in range(0, len(ds), 256):
            values = ds.read("u", slice(start, start + 256))
            for array in arrays:
                array[start : start + 256] = values
    return ds, seconds


def loader(data, workers):
    """Random batches, with workers that stay."""
    sampler = RandomSampler(data, replacement=True, num_samples=ITEMS)
    kept = {"persistent_workers": workers > 0, "num_workers": workers}
    return DataLoader(data, batch_size=BATCH, sampler=sampler, **kept)


def drain(batches):
    for _ in batches:
        pass


def works(readers, size):
    """(way of access, reader) → what to time for ITEMS samples."""
    rng, found = np.random.default_rng(1), {}

    def rows():
        return rng.integers(0, size, ITEMS).tolist()

    for name, reader in readers.items():
        found["a row", name] = lambda r=reader: [r.rows([row]) for row in rows()]
        found["a batch of 32", name] = lambda r=reader: [
            r.batch(part) for part in np.reshape(rows(), (-1, BATCH)).tolist()
        ]
    for workers in WORKERS:
        for name, reader in readers.items():
            batches = loader(reader.loaded() if isinstance(reader, Ours) else reader, workers)
            found[f"DataLoader, {workers} workers", name] = lambda b=batches: drain(b)
    return found


PEERS = {"shards f8": "one array f8", "packed f4": "one array f4"}


def measure(readers, size):
    """Rows of the table: microseconds a sample, and how many times as fast as the peers."""
    found = works(readers, size)
    times = {key: [] for key in found}
    for turn in range(TURNS + 1):
        for key, work in found.items():
            start = time.perf_counter()
            work()
            if turn:  # the first opens files and starts workers
                times[key].append((time.perf_counter() - start) / ITEMS * 1e6)

    def speed(way, name, peer):
        if peer is None:
            return ""
        return float(np.median(np.divide(times[way, peer], times[way, name])))

    return [
        {
            "random samples": way,
            "reader": name,
            "µs a sample": float(np.median(times[way, name])),
            "× one array": speed(way, name, PEERS.get(name)),
            "× opening per item": speed(way, name, "opened per item"),
        }
        for way, name in found
    ]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--shards", type=int, default=100)
    arguments.add_argument("--samples", type=int, default=64, help="samples a shard")
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=asked.place) as root:
        ds, seconds = make(Path(root), asked.shards, asked.samples)
        readers = {
            "shards f8": Ours(ds),
            "one array f8": Whole(f"{root}/f8.h5"),
            "packed f4": Ours(ds.packed()),
            "one array f4": Whole(f"{root}/f4.h5"),
            "opened per item": PerItem(ds),
        }
        rows = measure(readers, len(ds))
    note = f"{DOFS} dofs, {asked.shards} shards of {asked.samples} samples; packed in "
    report("loading", rows, asked.results, note=note + f"{seconds:.1f} s")


if __name__ == "__main__":
    main()
