"""Parts of a data set made with different sample ranges, joined by `rekrylov merge`."""

import time

import numpy as np

from storage import open_dataset


def folder(root):
    (found,) = root.glob("small-*")
    return found


def make(rekrylov, spec, root, *options):
    words = [word for text in options for word in ("--set", text)]
    done = rekrylov("run", spec, "--root", root, *words)
    assert done.code == 0, done.text
    return folder(root)


def test_parts_of_other_ranges_make_one_data_set(rekrylov, spec, finished, tmp_path):
    a = make(rekrylov, spec, tmp_path / "a", "samples=20")
    b = make(rekrylov, spec, tmp_path / "b", "first=16", "samples=32")
    assert np.array_equal(open_dataset(b).ids, np.arange(16, 48))
    whole = tmp_path / "c" / a.name
    whole.parent.mkdir()
    done = rekrylov("merge", a, b, "--into", whole)
    assert done.code == 0, done.text
    ds, alone = open_dataset(whole), open_dataset(folder(finished))
    assert np.array_equal(ds.ids, alone.ids)
    assert np.array_equal(ds.read("a"), alone.read("a"))  # bit for bit
    error = np.linalg.norm(ds.read("u") - alone.read("u"), axis=1)
    assert (error <= 1e-6 * np.linalg.norm(alone.read("u"), axis=1)).all()
    check = rekrylov("check", whole, "--full")
    assert check.code == 0 and "48 samples" in check.text, check.text
    status = rekrylov("status", whole)
    assert "48 of 48 samples" in status.text
    extended = make(rekrylov, spec, whole.parent, "samples=50")  # it goes on from there
    assert extended == whole and len(open_dataset(whole)) == 50
    assert np.array_equal(open_dataset(whole).select(ds.ids).read("u"), ds.read("u"))


def test_a_killed_merge_leaves_nothing_that_counts(rekrylov, spec, tmp_path):
    a = make(rekrylov, spec, tmp_path / "a", "samples=24", "storage.shard_size=1")
    b = make(rekrylov, spec, tmp_path / "b", "first=24", "samples=24", "storage.shard_size=1")
    whole = tmp_path / "whole"
    process = rekrylov.start("merge", a, b, "--into", whole)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("whole.*.tmp/shards/*.json")) and time.monotonic() < end:
        time.sleep(0.005)
    process.kill()
    process.wait(60)
    assert not whole.exists()
    assert list(tmp_path.glob("whole.*.tmp"))  # it was caught at work
    done = rekrylov("merge", a, b, "--into", whole)
    assert done.code == 0, done.text
    assert len(open_dataset(whole)) == 48
    assert not list(tmp_path.glob("whole.*.tmp"))
    again = rekrylov("merge", a, b, "--into", whole)
    assert again.code == 2 and "exists" in again.text
