"""Features as a Dask array, larger than memory, are sorted block by block."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from pipeline.ordering import blocks, nearest, path_length, sort_features
from pipeline.ordering.blocks import reduced
from pipeline.ordering.grid import on_grid

da = pytest.importorskip("dask.array")


def rows_of_fields(n, d, seed=0):
    """Smooth random rows: d values of 40 random waves with a falling spectrum."""
    rng = np.random.default_rng(seed)
    waves = np.cos(np.outer(np.arange(40), np.linspace(0, np.pi, d)))
    return np.exp(rng.normal(size=(n, 40)) / np.arange(1, 41) @ waves)


@pytest.mark.parametrize("chunks", [(100, 700), (999, 13), (2000, 700), ((7, 1, 1992), (600, 100))])
@pytest.mark.parametrize("sort", ["greedy", "nearest"])
def test_chunks_do_not_matter(monkeypatch, chunks, sort):
    rows = rows_of_fields(2000, 700)
    expected = sort_features(reduced(rows, 32), sort)
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 8 * 700 * 450)
    assert np.array_equal(sort_features(da.from_array(rows, chunks=chunks), sort), expected)


@pytest.mark.parametrize("d", [1, 5, 32])
def test_few_columns_are_taken_as_they_are(d):
    rows = rows_of_fields(300, d)
    lazy = sort_features(da.from_array(rows, chunks=(50, 2)), "nearest")
    assert np.array_equal(lazy, nearest(on_grid(rows)))


def test_the_path_is_short_in_the_full_distance():
    rows = rows_of_fields(3000, 1500)
    lengths = [
        path_length(rows, sort_features(rows, "greedy")),
        path_length(rows, sort_features(da.from_array(rows, chunks=(500, -1)), "nearest")),
    ]
    assert lengths[1] < 1.02 * lengths[0]
    assert lengths[1] < 0.6 * path_length(rows, np.arange(3000))


def test_a_value_that_is_not_finite_is_named_by_its_row():
    rows = rows_of_fields(500, 100)
    rows[321, 7] = np.inf
    with pytest.raises(ValueError, match="row 321"):
        sort_features(da.from_array(rows, chunks=(100, 30)), "nearest")


def test_rows_of_unknown_number_are_refused():
    rows = da.from_array(rows_of_fields(50, 10), chunks=10)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        sort_features(rows[rows[:, 0] > 1])


BOUND = 64 * 2**20
SCRIPT = """
import resource, sys
import dask.array as da, h5py, numpy as np
from pipeline.ordering import sort_features
rows = h5py.File(sys.argv[1])["rows"]
features = da.from_array(rows, chunks=(500, -1))
sort_features(features[:1000], "nearest")  # loads all code
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    rows[()]
    print("the bound does not bind")
except MemoryError:
    pass
np.save(sys.argv[3], sort_features(features))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_features_larger_than_the_memory_that_is_left(tmp_path):
    """120 MB of rows are sorted with 64 MiB of address space left, which can't hold them."""
    n, d = 30_000, 1000
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        stored = file.create_dataset("rows", (n, d), dtype="f4")
        for start in range(0, n, 3000):
            stored[start : start + 3000] = rows_of_fields(3000, d, seed=start)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "rows.h5", str(BOUND), "path.npy"],
        env=os.environ
        | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.getcwd(),
            "UCX_MEM_EVENTS": "n",  # MPI's transport, loaded with the compiled loops, says else
        },  # on standard output that it can't have more memory
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert 4 * n * d > BOUND
    assert np.array_equal(np.sort(np.load(tmp_path / "path.npy")), np.arange(n))
