"""Full and read-only disks, damaged and foreign files: one clear message, nothing lost."""

import json
import os

import numpy as np
import pytest
from synthetic import KEY, make_dataset, make_tree, write_batch

from storage import (
    DamagedFile,
    DamagedShard,
    DataFolder,
    FormatMismatch,
    ReadOnly,
    RevisionMismatch,
    ShardHeader,
    StorageFull,
    build_manifest,
    check_dataset,
    errors,
    files,
    open_dataset,
    read_records,
    write_shard,
    write_spaces,
)
from storage.handles import close_handles


@pytest.fixture
def small_disk(disk):
    """A real file system of 2 MB."""
    yield disk("2m").path
    close_handles()


def test_full_disk_in_the_middle_of_a_shard(small_disk):
    folder = DataFolder(small_disk / f"scalar-{KEY}")
    folder.create()
    tree = make_tree(m=16)
    digest = write_spaces(folder.spaces, tree)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 300_000)
    with pytest.raises(StorageFull, match=r"no space left .* what was committed is safe: free"):
        for batch in range(99):
            ids = np.arange(100 * batch, 100 * batch + 100)
            write_batch(folder, "scalar", tree, digest, ids, batch)
    assert 1 <= batch < 10 and not list(small_disk.rglob("*.tmp"))
    assert [r.batch for r in read_records(folder)] == list(range(batch))
    assert not [f for f in check_dataset(folder.path) if f.severity == "error"]
    ballast.unlink()
    (folder.shards / "0000-000000.h5").stat()
    for other in range(1, batch):  # room for one more
        (folder.shards / f"0000-{other:06d}.h5").unlink()
        folder.record(0, other).unlink()
    assert write_batch(folder, "scalar", tree, digest, ids, batch).batch == batch


def test_full_disk_at_the_record(small_disk, monkeypatch):
    folder = DataFolder(small_disk / f"scalar-{KEY}")
    folder.create()
    tree = make_tree(m=2)
    digest = write_spaces(folder.spaces, tree)
    original, ballast = files.commit_json, small_disk / "ballast"

    def fill_first(*args, **kwargs):
        with open(ballast, "wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 4096):
                    pass
            except OSError:
                pass
        return original(*args, **kwargs)

    monkeypatch.setattr(files, "commit_json", fill_first)
    with pytest.raises(StorageFull, match="0000-000000.json"):
        write_batch(folder, "scalar", tree, digest, np.arange(3), 0)
    assert read_records(folder) == [] and not list(small_disk.rglob("*.tmp"))
    monkeypatch.setattr(files, "commit_json", original)
    ballast.unlink()
    record = write_batch(folder, "scalar", tree, digest, np.arange(3), 0)
    assert [path.name for path in folder.shards.glob("*.h5")] == [record.file]


def test_read_only_disk_is_read_and_refuses_writes(disk):
    made = disk("2m")
    small_disk = made.path
    path = make_dataset(small_disk, m=2)
    made.remount("ro")
    folder = DataFolder(path)
    assert len(open_dataset(path, verify=True).read("u")) == 24
    assert check_dataset(path) == []
    header = ShardHeader(KEY, 0, 99, "x")
    with pytest.raises(ReadOnly, match="cannot be written .* choose another root"):
        write_shard(folder, header, {"samples/id": np.array([99])})
    with pytest.raises(ReadOnly):
        build_manifest(folder, {"data_key": KEY})
    with pytest.raises(ReadOnly):
        DataFolder(small_disk / "new").create()
    close_handles()


def test_one_family():
    for name in ("DamagedShard", "FormatMismatch", "ReadOnly", "RevisionMismatch", "StorageFull"):
        assert issubclass(getattr(errors, name), errors.StorageError)


def test_a_disk_that_alters_what_is_written(tmp_path, monkeypatch):
    class BadDisk:
        def __getattr__(self, name):
            return getattr(os, name)

        def write(self, file, data):
            return os.write(file, bytes([data[0] ^ 1]) + bytes(data[1:]))

    monkeypatch.setattr(files, "os", BadDisk())
    with pytest.raises(errors.StorageError, match="does not read back"):
        files.commit_bytes(tmp_path / "x", b"some bytes", replace=False)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def path(tmp_path):
    path = make_dataset(tmp_path, m=2)
    close_handles()
    return path


def shard(path):
    return path / "shards" / "0000-000001.h5"


def truncate(file):
    file.write_bytes(file.read_bytes()[:-100])


def flip(file, position=-2000):
    data = bytearray(file.read_bytes())
    data[position] ^= 0x40
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, lambda file: file.unlink(), lambda f: flip(f, 20)])
def test_damaged_shard_is_named(path, damage):
    damage(shard(path))
    with pytest.raises(DamagedShard, match=r"0000-000001.h5: .* `rekrylov check`"):
        open_dataset(path, verify=True).read("u")


@pytest.mark.parametrize("damage", [truncate, lambda file: file.unlink(), lambda f: flip(f, 20)])
def test_damage_to_the_structure_needs_no_checksum(path, damage):
    damage(shard(path))
    with pytest.raises(DamagedShard, match=r"0000-000001.h5: .* `rekrylov check`"):
        open_dataset(path).read("u")


@pytest.mark.parametrize("damage", [truncate, lambda file: file.unlink()])
def test_damage_under_an_open_handle_is_seen(path, damage):
    ds = open_dataset(path)
    ds.read("u")
    damage(shard(path))
    with pytest.raises(DamagedShard, match="0000-000001.h5: "):
        ds.read("u")


def test_one_flipped_bit_is_seen_on_request(path):
    data = shard(path).read_bytes()
    value = open_dataset(path).select(read_records(DataFolder(path))[1].ids[:1]).read("a")[0, 3]
    flip(shard(path), data.index(value.tobytes()) + 3)
    with pytest.raises(DamagedShard, match="0000-000001.h5: its SHA-256 is not"):
        open_dataset(path, verify=True).read("u")


def edit(place, **changes):
    place.write_text(json.dumps(json.loads(place.read_text()) | changes))


def test_another_format_is_refused(path):
    edit(path / "manifest.json", format=2)
    with pytest.raises(FormatMismatch, match="has format 2, this package reads format 1"):
        open_dataset(path)
    edit(path / "shards" / "0000-000001.json", format=2)
    with pytest.raises(FormatMismatch, match="0000-000001.json: has format 2"):
        read_records(DataFolder(path))


def test_another_data_key_is_refused(path):
    with pytest.raises(RevisionMismatch, match=f"has data key {KEY}, expected other"):
        read_records(DataFolder(path), "other")
    edit(path / "shards" / "0000-000001.json", data_key="other")
    with pytest.raises(RevisionMismatch, match="0000-000001.json: has data key other"):
        read_records(DataFolder(path))
    with pytest.raises(RevisionMismatch):
        build_manifest(DataFolder(path), {"data_key": KEY})
    header = ShardHeader("third", 0, 0, "x")
    with pytest.raises(RevisionMismatch, match="expected third"):
        write_shard(DataFolder(path), header, {"samples/id": np.array([99])})


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": 1}', '{"format": 1, "ids": ["x"]}', "\xff\xfe"]
)
def test_malformed_record_is_named(path, text):
    (path / "shards" / "0000-000001.json").write_text(text)
    with pytest.raises(DamagedShard, match=r"0000-000001.json: "):
        read_records(DataFolder(path))


@pytest.mark.parametrize("changes", [{"batch": 0}, {"bytes": "1"}, {"file": "../x.h5"}, {"new": 1}])
def test_record_that_makes_no_sense_is_named(path, changes):
    edit(path / "shards" / "0000-000001.json", **changes)
    with pytest.raises(DamagedShard, match=r"0000-000001.json: "):
        read_records(DataFolder(path))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1, "shards": [{"ids": [{}]}]}'])
def test_malformed_manifest_is_named(path, text):
    (path / "manifest.json").write_text(text)
    with pytest.raises(DamagedFile, match="manifest.json: .*rekrylov"):
        open_dataset(path)


def test_foreign_spaces_are_refused(path):
    (path / "spaces.h5").unlink()
    write_spaces(path / "spaces.h5", make_tree(m=3))
    ds = open_dataset(path)
    with pytest.raises(RevisionMismatch, match=r"spaces.h5: has hash .* were made with"):
        ds.spaces["p1"]


def test_no_data_set(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no data set"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "lack 'samples/id'"),
        ({"samples/id": np.arange(2), "inputs/a": np.zeros((3, 4))}, "expected 2 rows"),
        ({"samples/id": np.array([1, 1])}, "is twice"),
        ({"samples/id": np.empty(0, int)}, "at least one sample or failure"),
    ],
)
def test_columns_that_do_not_fit(tmp_path, columns, message):
    folder = DataFolder(tmp_path)
    folder.create()
    with pytest.raises(ValueError, match=message):
        write_shard(folder, ShardHeader("k", 0, 0, "h"), columns)
    assert not list(folder.shards.iterdir())
