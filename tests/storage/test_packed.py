"""The packed copy: what the shards hold, in single precision; never of other samples."""

import json
import pickle
import shutil

import numpy as np
import pytest
import synthetic
from synthetic import KEY, make_dataset, make_tree, write_batch

from storage import DamagedFile, DataFolder, StorageError, StorageFull, build_manifest, open_dataset
from storage.errors import BadSelection
from storage.handles import close_handles
from storage.loading.packed import find_packed, packed_faults
from storage.loading.packing import pack, remove_packed
from storage.spaces import spaces_hash


@pytest.fixture
def path(tmp_path):
    return make_dataset(tmp_path)


def packed_file(path, column="outputs.u"):
    (file,) = (path / "packed").glob(f"{column}-*.npy")
    return file


def extend(path, batch=9, first=100):
    """Commit four more samples and finalise."""
    folder = DataFolder(path)
    ids = np.arange(first, first + 4)
    write_batch(folder, "scalar", make_tree(), spaces_hash(folder.spaces), ids, batch)
    build_manifest(folder, {"data_key": KEY}, split_seed=1)


@pytest.mark.parametrize("kind", ["scalar", "mixed", "time", "displacement"])
def test_it_is_the_data_set_in_single_precision(tmp_path, kind):
    ds = open_dataset(make_dataset(tmp_path, kind, failed=(3,)))
    done = []
    pack(ds, progress=done.append)
    assert done[-1] == len(ds) == 23 and done == sorted(done)
    packed = ds.packed()
    assert (packed.ids.tolist(), packed.inputs, packed.outputs) == (
        ds.ids.tolist(), ds.inputs, ds.outputs,
    )  # fmt: skip
    rows = np.random.default_rng(0).integers(0, len(ds), 40)
    for name in (*ds.inputs, *ds.outputs):
        expected = ds.read(name).astype("f4")
        assert packed.read(name).dtype == np.float32
        np.testing.assert_array_equal(packed.read(name, rows), expected[rows])
        np.testing.assert_array_equal(packed.read(name, 5), expected[5])
        np.testing.assert_array_equal(packed.mapped(name), expected)
        np.testing.assert_array_equal(np.load(packed_file(ds.path, f"*.{name}")), expected)
    for name in ("parameters/c", "solve/iterations", *(["times"] if kind == "time" else [])):
        np.testing.assert_array_equal(packed.read(name, rows), ds.read(name, rows))
        assert packed.read(name).dtype == ds.read(name).dtype
    assert packed[2].keys() == ds[2].keys()


def test_views_of_it_are_views_of_the_data_set(path):
    ds = open_dataset(path)
    pack(ds)
    for name in ("train", "validation", "test"):
        one, other = ds.packed().split(name), ds.split(name).packed()
        assert one.ids.tolist() == other.ids.tolist() == ds.split(name).ids.tolist()
        for view in (one, other, pickle.loads(pickle.dumps(one))):
            np.testing.assert_array_equal(view.read("u"), ds.split(name).read("u").astype("f4"))
    picked = ds.packed().select([17, 3, 8])
    np.testing.assert_array_equal(picked.read("a"), ds.select([17, 3, 8]).read("a").astype("f4"))
    torch = pytest.importorskip("torch")
    batch = next(iter(torch.utils.data.DataLoader(picked.torch(), batch_size=3)))
    np.testing.assert_array_equal(batch["u"], picked.read("u"))
    with pytest.raises(StorageError, match="is no packed array; map that of all"):
        picked.mapped("u")


def test_chosen_fields_are_packed_and_the_others_read_from_shards(path):
    ds = open_dataset(path)
    pack(ds, ["u"])
    packed = ds.packed()
    assert packed.read("a").dtype == np.float64 and packed.read("u").dtype == np.float32
    np.testing.assert_array_equal(packed.read("a"), ds.read("a"))
    before = packed_file(path).stat()
    pack(ds, ["a"])
    after = packed_file(path).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)  # it was kept
    assert ds.packed().read("a").dtype == np.float32
    with pytest.raises(BadSelection, match="'b' is not one of"):
        pack(ds, ["b"])


def test_none_is_said(path):
    with pytest.raises(StorageError, match="has no packed copy; run `rekrylov pack"):
        open_dataset(path).packed()
    assert list(packed_faults(open_dataset(path))) == [] and not remove_packed(path)


def test_a_copy_of_other_samples_is_refused_and_made_again(path):
    pack(open_dataset(path))
    old = open_dataset(path).packed()
    first = packed_file(path)
    extend(path)
    with pytest.raises(StorageError, match="from 24 samples in other shards than the 28 of now"):
        open_dataset(path).packed()
    ((where, text),) = packed_faults(open_dataset(path))
    assert where == "packed/index.json" and "run `rekrylov pack" in text
    ds = open_dataset(path)
    pack(ds)
    np.testing.assert_array_equal(ds.packed().read("u"), ds.read("u").astype("f4"))
    assert not first.exists() and list(packed_faults(ds)) == []
    with pytest.raises(DamagedFile, match=first.name):  # not the rows of another copy
        old.read("u")


def truncate(file):
    file.write_bytes(file.read_bytes()[:-8])


def flip(file):
    data = bytearray(file.read_bytes())
    data[-2] ^= 0x40
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, lambda file: file.unlink()])
@pytest.mark.parametrize("opened", [True, False])
def test_a_short_or_missing_file_is_named(path, damage, opened):
    pack(open_dataset(path))
    packed = open_dataset(path).packed()
    if opened:
        packed.read("u")
    damage(packed_file(path))
    for work in (lambda: packed.read("u"), lambda: packed.read("u", 0), lambda: packed.mapped("u")):
        with pytest.raises(DamagedFile, match=r"outputs\.u-.*npy: .*; run `rekrylov pack"):
            work()
    assert len(list(packed_faults(open_dataset(path), full=False))) == 1
    pack(open_dataset(path))
    assert list(packed_faults(open_dataset(path))) == []
    np.testing.assert_array_equal(
        open_dataset(path).packed().read("u"), open_dataset(path).read("u").astype("f4")
    )


def test_a_flipped_bit_is_found_by_the_checksum(path):
    pack(open_dataset(path))
    flip(packed_file(path))
    ((where, text),) = packed_faults(open_dataset(path))
    assert where.startswith("packed/outputs.u") and "SHA-256" in text
    with pytest.raises(DamagedFile, match="SHA-256"):
        open_dataset(path, verify=True).packed().read("u")
    before = packed_file(path, "inputs.a").stat().st_ino
    pack(open_dataset(path))
    assert list(packed_faults(open_dataset(path))) == []
    assert packed_file(path, "inputs.a").stat().st_ino == before


def edited(path, change):
    file = path / "packed" / "index.json"
    value = json.loads(file.read_text())
    file.write_text(json.dumps(change(value)))


def entry(**changes):
    def change(value):
        value["columns"]["outputs/u"] |= changes
        return value

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda value: [],
        lambda value: value | {"format": 2},
        lambda value: value | {"columns": [1]},
        lambda value: {k: v for k, v in value.items() if k != "digest"},
        entry(file="../../x.npy"),
        entry(dtype="|O"),
        entry(dtype="<U1"),  # as many bytes
        entry(dtype="nothing"),
        entry(offset=0),
        entry(shape=[24, 5, 5]),
        entry(shape=[25, 25]),
        entry(bytes=17),
        entry(sha256=None),
    ],
)
def test_a_malformed_index_is_damage(path, change):
    pack(open_dataset(path))
    edited(path, change)
    with pytest.raises(DamagedFile, match=r"index\.json: is (malformed|no index)"):
        open_dataset(path).packed()
    pack(open_dataset(path))
    assert find_packed(open_dataset(path)) is not None


def test_torn_json_is_damage(path):
    pack(open_dataset(path))
    truncate(path / "packed" / "index.json")
    with pytest.raises(DamagedFile, match="not valid JSON"):
        open_dataset(path).packed()


def test_a_broken_off_packing_leaves_the_copy_before(path):
    pack(open_dataset(path), ["u"])
    before = sorted(file.name for file in (path / "packed").iterdir())

    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(open_dataset(path), progress=stop)
    assert sorted(file.name for file in (path / "packed").iterdir()) == before
    assert list(packed_faults(open_dataset(path))) == []


def test_a_damaged_shard_is_not_copied(path):
    shard = path / "shards" / "0000-000001.h5"
    data = shard.read_bytes()
    ds = open_dataset(path)
    value = ds.read("u", next(row for row in range(24) if ds.shard_of(row) == 1))
    at = data.index(value.tobytes()) + 40
    shard.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    pack(ds)  # only a checksum can tell
    remove_packed(path)
    with pytest.raises(DamagedFile, match="0000-000001.h5: its SHA-256"):
        pack(open_dataset(path, verify=True))
    assert not (path / "packed" / "index.json").exists()


def test_a_value_too_large_is_refused(tmp_path, monkeypatch):
    original = synthetic._sample

    def sample(kind, tree, i, steps):
        made = original(kind, tree, i, steps)
        return made | {"inputs/a": np.full(25, 1e39)} if i == 7 else made

    monkeypatch.setattr(synthetic, "_sample", sample)
    ds = open_dataset(make_dataset(tmp_path))
    with pytest.raises(StorageError, match="inputs/a of sample 7 has 1e[+]39, too large"):
        pack(ds)
    pack(ds, ["u"])


def test_a_full_disk_is_said_before_the_work(disk):
    path = make_dataset(disk("2m").path, m=16, samples=64)
    ballast = disk_ballast(path)
    with pytest.raises(StorageFull, match="or pack fewer fields"):
        pack(open_dataset(path))
    assert not list((path / "packed").iterdir())
    ballast.unlink()
    pack(open_dataset(path))
    close_handles()


def disk_ballast(path):
    """Leave 50 kB free."""
    ballast = path.parent / "ballast"
    ballast.write_bytes(b"\0" * max(0, shutil.disk_usage(path).free - 50_000))
    return ballast


def test_removed(path):
    pack(open_dataset(path))
    assert remove_packed(path) and not (path / "packed").exists()


def test_no_sample_at_all(tmp_path):
    path = make_dataset(tmp_path, samples=3, failed=(0, 1, 2))
    pack(open_dataset(path))
    assert len(open_dataset(path).packed()) == 0
