"""Positional reads agree with NumPy's indexing and with h5py, whatever the layout."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import make_dataset

from storage import DamagedShard, open_dataset, positional
from storage.handles import _handles, _layouts, close_handles
from storage.positional import Descriptor, Layout, read_at

TYPES = ["f8", "f4", "i8", "i4", "u1", "?"]


@st.composite
def stored(draw):
    """An HDF5 data set and how it is stored."""
    count = draw(st.integers(1, 9))
    shape = (count, *draw(st.lists(st.integers(1, 5), max_size=2)))
    chunks = (draw(st.integers(1, count)), *shape[1:])
    chunked = draw(st.booleans())
    return shape, draw(st.sampled_from(TYPES)), {"chunks": chunks} if chunked else {}


@pytest.mark.parametrize("small", [0, 1 << 14])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(made=stored(), data=st.data())
def test_rows_are_those_of_h5py(tmp_path_factory, monkeypatch, small, made, data):
    monkeypatch.setattr(positional, "_SMALL", small)  # row by row, or with what is between
    shape, kind, options = made
    values = np.random.default_rng(1).integers(0, 2**31, shape).astype(kind)
    path = tmp_path_factory.getbasetemp() / "positional.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, **options)
        file.create_dataset("y", data=values, **options)
    with h5py.File(path) as file:
        layout = _layouts(file)["y"]
    rows = data.draw(st.lists(st.integers(0, shape[0] - 1), max_size=8).map(sorted))
    places = data.draw(st.permutations(range(len(rows))))
    wanted = data.draw(st.sampled_from([kind, "f4"]))
    out = np.zeros((len(rows), *shape[1:]), wanted)
    read_at(Descriptor(str(path)), layout, rows, places, out)
    np.testing.assert_array_equal(out[places], values[rows].astype(wanted))


def test_a_file_that_ends_early_is_an_error(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(np.arange(7.0).tobytes())
    layout = Layout.make([0], 4, (4, 2), "f8")
    out = np.empty((2, 2))
    read_at(Descriptor(str(file)), layout, [0, 2], [1, 0], out)
    assert out.tolist() == [[4, 5], [0, 1]]
    for rows in ([3], [2, 3], [0, 3]):
        with pytest.raises(EOFError, match="ends before byte 64"):
            read_at(Descriptor(str(file)), layout, rows, [0, 1], np.empty((len(rows), 2)))
    layout = Layout.make([0], 5, (3, 2), "f8")  # the chunk has room for more
    for rows in ([3], [-1], [0, 3]):
        with pytest.raises(IndexError):
            read_at(Descriptor(str(file)), layout, rows, [0, 1], np.empty((len(rows), 2)))


def test_chunks_may_lie_anywhere(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(np.arange(40, dtype="u1").tobytes())
    for chunks in ([0, 7, 21, 16], [8, 0, 4, 16], [20, 13, 7, 0]):
        check_chunks(file, chunks)


def check_chunks(file, chunks):
    layout = Layout.make(chunks, 2, (8, 2), "u1")
    out = np.empty((8, 2), "u1")
    for rows in (range(8), [0, 2], [2, 3, 4, 7]):
        read_at(Descriptor(str(file)), layout, list(rows), range(len(rows)), out)
        starts = np.array([chunks[row // 2] + row % 2 * 2 for row in rows])
        np.testing.assert_array_equal(out[: len(rows)], starts[:, None] + [0, 1])


def test_the_kernel_may_give_less_than_asked(tmp_path, monkeypatch):
    file = tmp_path / "x"
    file.write_bytes(np.arange(4000.0).tobytes())
    original = os.preadv

    class Slow:
        def __getattr__(self, name):
            return getattr(os, name)

        def preadv(self, fd, buffers, offset):
            return original(fd, [memoryview(buffers[0]).cast("B")[:1001]], offset)

    monkeypatch.setattr(positional, "os", Slow())
    out = np.zeros((1, 4000))
    read_at(Descriptor(str(file)), Layout.make([0], 1, (1, 4000), "f8"), [0], [0], out)
    assert np.array_equal(out[0], np.arange(4000.0))


def test_filtered_and_odd_columns_go_through_hdf5(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("plain", data=np.ones((4, 3)), chunks=(1, 3))
        file.create_dataset("gzip", data=np.ones((4, 3)), chunks=(1, 3), compression="gzip")
        file.create_dataset("split", data=np.ones((4, 3)), chunks=(1, 2))
        file.create_dataset("big", data=np.ones((4, 3), ">f8"), chunks=(1, 3))
        file.create_dataset("text", data=["a"] * 4)
        file.create_dataset("unwritten", (4, 3), "f8", chunks=(1, 3))
        file.create_dataset("half", (4, 3), "f8", chunks=(1, 3))[2] = 1
    with h5py.File(tmp_path / "x.h5") as file:
        assert set(_layouts(file)) == {"plain"}


@pytest.mark.parametrize(
    "options", [{"filter": "gzip"}, {"filter": "shuffle+gzip"}, {"dtype": "f4"}]
)
def test_other_shards_read_the_same(tmp_path, options):
    plain = open_dataset(make_dataset(tmp_path / "plain"))
    other = open_dataset(make_dataset(tmp_path / "other", **options))
    rows = [5, 23, 5, 0]
    for name in ("a", "u"):
        expected = plain.read(name, rows).astype(options.get("dtype", "f8"))
        np.testing.assert_array_equal(other.read(name, rows), expected)
        np.testing.assert_array_equal(other.read(name, rows, "f4"), expected.astype("f4"))
        np.testing.assert_array_equal(other.read(name, 23, "f4"), expected[1].astype("f4"))


def test_more_shards_than_may_be_open(tmp_path, monkeypatch):
    from storage import handles

    ds = open_dataset(make_dataset(tmp_path, samples=60, shard_size=1, finalise=False))
    expected = ds.read("u")
    close_handles()
    monkeypatch.setattr(handles, "_DESCRIPTORS", 8)
    for _ in range(3):
        rows = np.random.default_rng(0).integers(0, 60, 40)
        np.testing.assert_array_equal(ds.read("u", rows), expected[rows])
    assert len(_handles().descriptors) <= 8


def test_threads_that_close_each_others_files(tmp_path, monkeypatch):
    """A descriptor stays open while it is read; else its number may be another file's."""
    from storage import handles

    ds = open_dataset(make_dataset(tmp_path, samples=24, shard_size=1, finalise=False, m=16))
    expected = ds.read("u")
    close_handles()
    monkeypatch.setattr(handles, "_DESCRIPTORS", 1)

    def wrong(seed):
        rows = np.random.default_rng(seed).integers(0, 24, 300).tolist()
        return [row for row in rows if not np.array_equal(ds.read("u", row), expected[row])]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(wrong, range(4))) == [[]] * 4


def test_a_shard_that_is_replaced_is_looked_at_again(tmp_path):
    ds = open_dataset(make_dataset(tmp_path), verify=True)
    ds.read("u")
    shard = ds.path / "shards" / ds.manifest["shards"][0]["file"]
    data = bytearray(shard.read_bytes())
    data[-3] ^= 1
    shard.unlink()
    shard.write_bytes(data)
    with pytest.raises(DamagedShard, match="SHA-256"):
        ds.read("u")


FORKS = """
import os, sys
import numpy as np
from storage import open_dataset
from storage.handles import _handles
ds = open_dataset(sys.argv[1])
expected = ds.read("u")
child = os.fork()
same = np.array_equal(ds.read("u"), expected)
if child == 0:
    assert same and _handles().known and not _handles().open
else:
    assert same and _handles().open and os.waitpid(child, 0)[1] == 0
"""


def test_a_child_process_goes_on_with_what_is_known(tmp_path):
    command = [sys.executable, "-c", FORKS, str(make_dataset(tmp_path))]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
