"""Several problem definitions over one data set: fields, splits, statistics, no overlap."""

import h5py
import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from storage import BadSelection, DataFolder, build_manifest, open_dataset, split_ids
from storage.ids import pack_ids
from storage.splits import divided

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
OPTIONS = {
    "description": "",
    "inputs": None,
    "outputs": None,
    "seed": 5,
    "fractions": SHARES,
    "ood": None,
}


@pytest.fixture
def folder(tmp_path):
    return DataFolder(synthetic.make_dataset(tmp_path, "scalar", samples=60))


def build(folder, **definitions):
    wanted = {name: OPTIONS | options for name, options in definitions.items()}
    build_manifest(folder, {"data_key": synthetic.KEY}, split_seed=0, definitions=wanted)
    return open_dataset(folder.path)


def test_samples_out_of_range_are_a_split_of_their_own(folder):
    whole = open_dataset(folder.path)
    size = whole.scalars["mean(a)"]
    bound = float(np.median(size))
    ds = build(folder, far={"ood": f"mean(a) > {bound!r}"})
    far = ds.define("far")
    parts = {name: far.split(name).ids for name in (*SHARES, "ood")}
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), ds.ids)  # each id once
    assert set(parts["ood"]) == set(whole.ids[size > bound])
    assert min(map(len, parts.values())) > 0
    assert {name: len(ids) for name, ids in parts.items()} == far.manifest["splits"]["counts"]
    assert np.array_equal(ds.split("far/train").ids, parts["train"])
    near, beyond = (far.split(name).scalars["mean(a)"] for name in ("train", "ood"))
    assert near.max() <= bound < beyond.min()


def test_a_definition_has_its_own_statistics_and_the_data_set_keeps_its_own(folder):
    ds = build(folder, other={"seed": 99, "fractions": {"train": 0.2, "test": 0.8}})
    other = ds.define("other")
    for view in (ds, other):
        values = view.split("train").read("u")
        said = view.statistics["fields"]["u"]
        assert said["mean"] == pytest.approx(values.mean(), rel=1e-12)
        assert said["std"] == pytest.approx(values.std(), rel=1e-12)
        assert said["count"] == values.size
    assert ds.statistics["ids"] != other.statistics["ids"]
    assert len(other) == len(ds)


def test_a_definition_shows_its_fields_alone(tmp_path):
    folder = DataFolder(synthetic.make_dataset(tmp_path, "mixed", samples=20))
    every = open_dataset(folder.path)
    one = every.outputs[:1]
    ds = build(folder, part={"outputs": one}).define("part")
    assert ds.outputs == one and len(every.outputs) > 1
    assert set(ds.statistics["fields"]) == {*every.inputs, *one}
    assert set(ds[0]) & set(every.outputs) == set(one)
    with pytest.raises(KeyError):
        ds.read(every.outputs[1])


def test_a_moved_mesh_stays_moved(tmp_path):
    folder = DataFolder(synthetic.make_dataset(tmp_path, "displacement", samples=20))
    every = open_dataset(folder.path)
    ds = build(folder, still={"inputs": ["a"]}).define("still")
    assert "displacement" in ds.inputs
    moved = every.function("u", 3).mesh["points"]
    assert not np.array_equal(moved, every.mesh["points"])
    assert np.array_equal(ds.function("u", 3).mesh["points"], moved)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inputs": ["zzz"]}, "'zzz'"),
        ({"outputs": ["a"]}, "'a' is not one of"),
        ({"ood": "kurtosis(a) > 1"}, "kurtosis"),
        ({"ood": "mean(a) is large"}, "NAME < NUMBER"),
    ],
)
def test_impossible_definitions_are_refused(folder, options, said):
    before = folder.manifest.read_bytes()
    with pytest.raises(BadSelection, match=said):
        build(folder, wrong=options)
    assert folder.manifest.read_bytes() == before


def test_an_unknown_definition_names_those_there_are(folder):
    ds = build(folder, far={})
    with pytest.raises(BadSelection, match="'far'"):
        ds.define("near")
    with pytest.raises(BadSelection, match="near"):
        ds.split("near/train")


@given(
    st.sets(st.integers(0, 10**12), max_size=80),
    st.integers(0, 2**40),
    st.data(),
)
def test_splits_never_overlap(ids, seed, data):
    outside = data.draw(st.sets(st.sampled_from(sorted(ids)))) if ids else set()
    array = np.array(sorted(ids), dtype=np.int64)
    rule = {"seed": seed, "fractions": SHARES, "ood": {"ids": pack_ids(sorted(outside))}}
    parts = divided(array, rule)
    assert sorted(i for part in parts.values() for i in part.tolist()) == sorted(ids)
    assert set(parts["ood"].tolist()) == outside
    alone = split_ids(array, seed, SHARES)
    assert all(set(parts[name]) == set(alone[name]) - outside for name in SHARES)


def test_scalars_are_those_of_the_samples(folder):
    ds = open_dataset(folder.path)
    build(folder)
    assert folder.scalars.exists()
    stored = open_dataset(folder.path).scalars
    folder.scalars.unlink()
    computed = open_dataset(folder.path).scalars
    assert list(stored) == list(computed)
    assert all(np.array_equal(stored[name], computed[name]) for name in stored)
    assert np.array_equal(stored["id"], ds.ids)
    some = ds.select([7, 3, 20]).scalars
    assert np.array_equal(some["id"], [7, 3, 20])
    assert np.array_equal(some["mean(a)"], stored["mean(a)"][np.searchsorted(ds.ids, [7, 3, 20])])
    mass, a = ds.spaces["p1"]["grams"]["mass"], ds.read("a", 4)
    one = np.ones(len(a))
    mean = one @ (mass @ a) / (one @ (mass @ one))
    std = np.sqrt((a - mean) @ (mass @ (a - mean)) / (one @ (mass @ one)))
    assert stored["mean(a)"][4] == pytest.approx(mean, rel=1e-12)
    assert stored["std(a)"][4] == pytest.approx(std, rel=1e-12)


def test_time_steps_that_do_not_count_have_no_residual(tmp_path, monkeypatch):
    made = synthetic.make_columns

    def columns(kind, tree, ids):
        found = made(kind, tree, ids)
        used = found["times_mask"]
        steps = np.where(used, 1e-9 * (1 + np.arange(used.shape[1])), np.nan)
        return found | {"solve/true_residual": steps}

    monkeypatch.setattr(synthetic, "make_columns", columns)
    ds = open_dataset(synthetic.make_dataset(tmp_path, "time", samples=8))
    last = ds.read("times_mask").sum(axis=1)
    assert len(set(last)) > 1
    np.testing.assert_allclose(ds.scalars["true_residual"], 1e-9 * last)


def test_scalars_of_other_shards_are_not_used(folder):
    build(folder)
    right = open_dataset(folder.path).scalars
    with h5py.File(folder.scalars, "r+") as file:
        place = list(file.attrs["names"]).index("mean(a)")
        file[f"{place:04d}"][...] = 1e9
        digest = file.attrs["digest"]
    assert (open_dataset(folder.path).scalars["mean(a)"] == 1e9).all()  # it is read from the file
    with h5py.File(folder.scalars, "r+") as file:
        file.attrs["digest"] = digest[::-1]
    again = open_dataset(folder.path).scalars
    assert np.array_equal(again["mean(a)"], right["mean(a)"])
    folder.scalars.write_bytes(folder.scalars.read_bytes()[:100])
    assert np.array_equal(open_dataset(folder.path).scalars["mean(a)"], right["mean(a)"])
