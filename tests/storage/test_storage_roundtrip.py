"""What the writer writes, the reader reads: all the seams of the format."""

import pickle

import numpy as np
import pytest
from synthetic import KINDS, make_columns, make_dataset, make_tree

from storage import (
    DataFolder,
    StorageError,
    build_manifest,
    check_dataset,
    open_dataset,
    read_records,
)
from storage.ids import pack_ids, unpack_ids
from storage.statistics import Moments


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    return {kind: make_dataset(root, kind, failed=(3, 20)) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back(paths, kind):
    ds = open_dataset(paths[kind])
    assert ds.ids.tolist() == [i for i in range(24) if i not in (3, 20)]
    expected = make_columns(kind, make_tree(kind), ds.ids)
    for name in ds.columns:
        if name != "samples/order":
            np.testing.assert_array_equal(ds.column(name), expected[name])
    batch = ds[[5, 0, -1, 5]]
    for name in [*ds.inputs, *ds.outputs]:
        np.testing.assert_array_equal(batch[name], ds.read(name)[[5, 0, -1, 5]])
        np.testing.assert_array_equal(ds[7][name], ds.read(name, 7))
        np.testing.assert_array_equal(ds[2:9:3][name], ds.read(name)[2:9:3])
    assert {f["id"] for f in ds.manifest["failures"]} == {3, 20}


def test_mixed_blocks_cover_the_mixed_space(paths):
    ds = open_dataset(paths["mixed"])
    blocks = ds.blocks["w"]
    whole = np.concatenate([blocks["velocity"], blocks["pressure"]])
    assert np.array_equal(np.sort(whole), np.arange(len(whole)))
    sample = ds[0]
    w = np.empty(len(whole))
    for name in ds.outputs:
        assert len(blocks[name]) == ds.spaces[ds.fields[name].space]["dim"]
        w[blocks[name]] = sample[name]
    assert np.isfinite(w).all()


def test_times_differ_by_sample_and_are_masked(paths):
    ds = open_dataset(paths["time"])
    sample = ds[4]
    used = sample["times_mask"]
    assert used.dtype == bool and 2 <= used.sum() <= 5
    assert np.isfinite(sample["u"][used]).all() and np.isnan(sample["u"][~used]).all()
    assert np.isfinite(list(ds.statistics["fields"]["u"].values())).all()


def test_displacement_moves_the_reference_mesh(paths):
    ds = open_dataset(paths["displacement"])
    moved = ds.mesh["points"] + ds[0]["displacement"].reshape(-1, 2)
    assert moved.shape == (25, 2) and ds.fields["displacement"].units == "m"


def test_spaces_are_lazy_and_have_csr(paths):
    ds = open_dataset(paths["scalar"])
    space = ds.spaces[ds.fields["u"].space]
    mass, stiffness = space["grams/mass"], space["grams"]["stiffness"]
    assert abs(mass.sum() - 1) < 1e-14 and abs(stiffness.sum()) < 1e-13
    x = ds.mesh["points"][:, 0]
    assert abs(x @ stiffness @ x - 1) < 1e-13
    np.testing.assert_array_equal(ds.read("u")[:, ds.fields["u"].constrained], 0)


def test_times_common_to_all(tmp_path, monkeypatch):
    import synthetic

    def tree(kind, m=4):
        return make_tree(kind, m) | {"times": np.linspace(0, 1, 5)}

    monkeypatch.setattr(synthetic, "make_tree", tree)
    ds = open_dataset(make_dataset(tmp_path))
    np.testing.assert_array_equal(ds.times, np.linspace(0, 1, 5))


@pytest.mark.parametrize("filter", ["gzip", "shuffle+gzip"])
def test_dtype_and_filter(tmp_path, filter):
    ds = open_dataset(make_dataset(tmp_path, dtype=np.float32, filter=filter))
    expected = make_columns("scalar", make_tree(), ds.ids)
    assert ds[0]["u"].dtype == np.float32 and ds.read("parameters/c").dtype == np.float64
    np.testing.assert_array_equal(ds.read("u"), expected["outputs/u"].astype(np.float32))


def test_views(paths):
    ds = open_dataset(paths["scalar"])
    parts = [ds.split(name) for name in ("train", "validation", "test")]
    assert sorted(np.concatenate([part.ids for part in parts])) == ds.ids.tolist()
    assert ds.split("train", n=5).ids.tolist() == parts[0].ids[:5].tolist()
    np.testing.assert_array_equal(parts[0].read("u", 2), ds.select([parts[0].ids[2]])[0]["u"])
    assert np.array_equal(np.sort(np.concatenate(list(ds.by_shard()))), np.arange(len(ds)))
    again = pickle.loads(pickle.dumps(parts[1]))
    np.testing.assert_array_equal(again.read("u"), parts[1].read("u"))
    with pytest.raises(ValueError, match="samples, 999 were asked for"):
        ds.split("train", n=999)
    with pytest.raises(KeyError, match="not one of"):
        ds.split("training")
    with pytest.raises(KeyError, match="samples \\[3\\] are not stored"):
        ds.select([3])
    with pytest.raises(KeyError, match="neither a field"):
        ds.read("nothing")
    with pytest.raises(IndexError):
        ds[22]


def test_statistics_are_those_of_the_training_split(paths):
    ds = open_dataset(paths["scalar"])
    train = ds.split("train")
    values, told = train.read("a"), ds.statistics["fields"]["a"]
    assert unpack_ids(ds.statistics["ids"]).tolist() == train.ids.tolist()
    assert told["mean"] == pytest.approx(values.mean(), rel=1e-13)
    assert told["std"] == pytest.approx(values.std(), rel=1e-13)
    assert (told["min"], told["max"]) == (values.min(), values.max())


def test_moments_keep_digits_far_from_zero():
    values = 1e9 + np.random.default_rng(0).standard_normal(10_000)
    moments = Moments()
    for chunk in np.split(values, [1, 17, 5000]):
        moments.add(chunk)
    assert moments.as_dict()["std"] == pytest.approx(np.std(values - 1e9), rel=1e-6)


def test_without_manifest(tmp_path):
    path = make_dataset(tmp_path)
    whole = open_dataset(path)
    DataFolder(path).manifest.unlink()
    ds = open_dataset(path)
    assert whole.has_manifest and not ds.has_manifest
    assert ds.ids.tolist() == whole.ids.tolist()
    np.testing.assert_array_equal(ds.read("u"), whole.read("u"))
    with pytest.raises(StorageError, match="rekrylov finalise"):
        ds.split("train")


def test_all_samples_failed_is_a_record_alone(tmp_path):
    path = make_dataset(tmp_path, samples=16, shard_size=8, failed=tuple(range(16)), finalise=False)
    records = read_records(DataFolder(path))
    assert [(r.file, len(r.failures), r.ids) for r in records] == [(None, 8, ())] * 2
    assert not list(DataFolder(path).shards.glob("*.h5"))
    assert len(open_dataset(path)) == 0
    manifest = build_manifest(DataFolder(path), {"rtol": 1e-8, "data_key": records[0].data_key})
    assert (manifest["samples"], len(manifest["failures"])) == (0, 16)
    assert {finding.severity for finding in check_dataset(path)} == {"info"}
    assert len(open_dataset(path).split("train")) == 0


@pytest.mark.parametrize("ids", [[], [4], [0, 1, 2, 3], [5, 4, 3], [1, 2, 7, 8, 9, 3], [2**40] * 2])
def test_ids_pack(ids):
    assert unpack_ids(pack_ids(ids)).tolist() == ids


def test_many_open_files_are_bounded(tmp_path):
    from storage import handles

    ds = open_dataset(make_dataset(tmp_path, samples=80, shard_size=1))
    before = ds.read("a")
    assert len(handles._handles().open) <= handles.LIMIT
    np.testing.assert_array_equal(ds.read("a", np.arange(80)[::-1]), before[::-1])


def test_a_batch_goes_to_each_shard_once(paths, monkeypatch):
    from storage import columns

    visited, original = [], columns.read_shard
    monkeypatch.setattr(
        columns, "read_shard", lambda path, *rest: visited.append(path) or original(path, *rest)
    )
    open_dataset(paths["scalar"]).read("a", np.random.default_rng(0).permutation(22))
    assert len(visited) == len(set(visited)) == 3
