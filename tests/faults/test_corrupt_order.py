"""A corrupt `order.h5`: every stage that reads it names it, and `repair` puts another one there."""

import shutil

import h5py
import numpy as np
import pytest
from inside import command, told_once
from killing import assert_each_once, assert_equal, everything
from runs import assert_sound, committed, folder_of

from storage import append_segment, read_order, set_path

pytestmark = pytest.mark.timeout(240)


def flipped(path):
    with h5py.File(path) as file:
        offset = file["segments/0000/path"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset + 100] ^= 0x10
    path.write_bytes(data)


def scrambled(path):
    """Bytes all over the file, as after a bad sector."""
    data = bytearray(path.read_bytes())
    where = np.random.default_rng(1).integers(0, len(data), len(data) // 20)
    for at in where:
        data[at] ^= 0x55
    path.write_bytes(data)


def of_another(path):
    """The same ids in another order, as of a run with another sort."""
    (segment,) = read_order(path)
    path.unlink()
    append_segment(path, segment.ids)
    set_path(path, 0, segment.path[::-1].copy(), segment.offsets)


def folder_there(path):
    path.unlink()
    path.mkdir()
    (path / "x").write_text("x")


KINDS = {
    "flipped": flipped,
    "scrambled": scrambled,
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-500]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no HDF5\n" * 500),
    "of another data set": of_another,
    "a folder": folder_there,
}


@pytest.fixture
def opened(root):
    """A copy of the data set in which a batch is to be solved, and the path of its order file."""
    folder = folder_of(root)
    folder.record(0, 5).unlink()
    folder.shard(0, 5).unlink()
    return root, folder.order


LONG = ("torn", "empty")  # as flipped, and as text


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.long) if k in LONG else k for k in KINDS]
)
def test_it_is_named_and_mended(opened, spec, undisturbed, kind):
    root, order = opened
    before = committed(root)
    KINDS[kind](order)
    words = ["--root", root]
    cure = {"a folder": "remove it", "of another data set": "run `rekrylov repair`"}
    cure = cure.get(kind, "run `rekrylov check`")
    told_once(command("solve", spec, *words), 3, "order.h5", cure)
    if kind != "of another data set":  # that one counts right
        told_once(command("status", spec, *words), 3, "order.h5", cure)
    assert command("check", folder_of(root).path).code == 3
    assert committed(root) == before
    mended = command("repair", folder_of(root).path)
    assert mended.code == 0, mended
    assert {name: committed(root)[name] for name in before} == before
    assert_each_once(root)
    assert_equal(everything(root), everything(undisturbed[0]))


@pytest.mark.long
def test_a_run_on_ranks_stops_at_it_and_goes_on_after_the_repair(rekrylov, spec, undisturbed, root):
    flipped(folder_of(root).order)
    options = ["--root", root, "--ranks", "2"]
    done = rekrylov("run", spec, *options)
    assert done.code == 3 and "order.h5" in done.text and "Traceback" not in done.text
    assert rekrylov("repair", folder_of(root).path).code == 0
    done = rekrylov("run", spec, *options)
    assert done.code == 0, done.text
    shutil.rmtree(folder_of(root).path / "damaged")
    assert_sound(root)
    assert_equal(everything(root), everything(undisturbed[0]))
