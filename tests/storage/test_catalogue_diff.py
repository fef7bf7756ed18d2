"""Two data sets compared by what is in them; figures of one; and the trash."""

import json
import os
import shutil
import socket
import time
from itertools import pairwise

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from storage import DataFolder, StorageError, open_dataset
from storage.catalogue import Catalogue
from storage.catalogue.diff import diff
from storage.catalogue.figures import _figures, figures
from storage.catalogue.specs import MISSING, changes, flatten
from storage.catalogue.trash import empty_trash, in_trash, move_to_trash, writing
from tests.storage.synthetic import KEY, make_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("made"), samples=12, shard_size=4, m=2)


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made, tmp_path / made.name)


def change(folder, ids, name, factor):
    """Alter values in place; checksums are not looked at here."""
    for path in folder.glob("shards/*.h5"):
        with h5py.File(path, "r+") as file:
            for row in np.flatnonzero(np.isin(file["samples/id"][:], ids)):
                file[name][row] = file[name][row] * factor


def edit(folder, **values):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_copy_is_the_same(made, copy):
    found = diff(open_dataset(made), open_dataset(copy))
    assert found["same"] and found["spaces_equal"] and found["spec"] == {}
    assert found["ids"] == {"common": 12, "only_a": 0, "only_b": 0}
    assert found["columns"]["outputs/u"] == {
        "equal": 12,
        "largest": 0.0,
        "id": None,
        "largest_by_rtol": 0.0,
    }
    assert set(found["columns"]) == {"inputs/a", "outputs/u", "parameters/c"}


def test_changed_values_are_counted_and_measured(made, copy):
    change(copy, [3, 7], "outputs/u", 1 + 1e-6)
    change(copy, [7], "outputs/u", 1 + 2e-6)
    found = diff(open_dataset(made), open_dataset(copy))
    column = found["columns"]["outputs/u"]
    assert not found["same"] and (column["equal"], column["id"]) == (10, 7)
    assert column["largest"] == pytest.approx(3e-6, rel=1e-5)
    assert column["largest_by_rtol"] == pytest.approx(300, rel=1e-5)
    assert found["columns"]["inputs/a"]["equal"] == 12


def test_a_nan_in_one_alone_is_said(made, copy):
    change(copy, [3], "outputs/u", np.nan)
    column = diff(open_dataset(made), open_dataset(copy))["columns"]["outputs/u"]
    assert (column["equal"], column["not_finite"], column["largest"]) == (11, 1, 0.0)


def test_masked_steps_of_both_are_no_difference(tmp_path):
    for name in ("a", "b"):
        make_dataset(tmp_path / name, "time", samples=6, shard_size=3, m=1)
    pair = [open_dataset(tmp_path / name / f"time-{KEY}") for name in ("a", "b")]
    column = diff(*pair)["columns"]["outputs/u"]
    assert np.isnan(pair[0].read("u")).any() and column["equal"] == 6 and column["largest"] == 0


def test_other_ids_order_and_shards_are_matched_by_id(made, tmp_path):
    other = make_dataset(tmp_path, samples=9, shard_size=2, m=2, failed=(4,))
    found = diff(open_dataset(made), open_dataset(other))
    assert found["ids"] == {"common": 8, "only_a": 4, "only_b": 0} and not found["same"]
    assert all(column["equal"] == 8 for column in found["columns"].values())
    found = diff(open_dataset(other), open_dataset(made))
    assert all(column["equal"] == 8 for column in found["columns"].values())


def test_other_spaces_shapes_and_fields_are_not_compared(made, tmp_path):
    other = make_dataset(tmp_path, "mixed", samples=6, shard_size=3, m=3)
    found = diff(open_dataset(made), open_dataset(other))
    columns = found["columns"]
    assert not found["spaces_equal"]
    assert "shapes are (9,) and (16,)" in columns["inputs/a"]["not_compared"]
    assert "mixed-0123456789 has none" in columns["outputs/u"]["not_compared"]
    assert columns["parameters/c"]["equal"] == 6
    assert found["fields"]["velocity.role"] == [MISSING, "output"]


def test_no_common_ids_compare_nothing(made):
    dataset = open_dataset(made)
    found = diff(dataset.select(range(6)), dataset.select(range(6, 12)))
    assert found["ids"]["common"] == 0 and found["columns"] == {} and not found["same"]


def test_specs_and_versions_that_differ_are_listed(made, copy):
    edit(copy, spec={"rtol": 1e-6, "mesh": {"n": 4}}, provenance={"versions": {"numpy": "9"}})
    found = diff(open_dataset(made), open_dataset(copy))
    assert found["spec"] == {"rtol": [MISSING, 1e-6], "mesh.n": [MISSING, 4]}
    assert found["versions"] == {"numpy": [MISSING, "9"]} and not found["same"]


trees = st.recursive(
    st.integers(0, 2) | st.lists(st.integers(0, 1), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
).filter(lambda tree: isinstance(tree, dict))


@settings(max_examples=100, deadline=None)
@given(trees, trees)
def test_changes_are_empty_for_equal_trees_alone(first, second):
    found = changes(flatten(first), flatten(second))
    assert (found == {}) == (first == second)
    assert set(found) <= set(flatten(first)) | set(flatten(second))


def test_figures(made):
    found = figures(open_dataset(made))
    assert found["samples"] == 12 and set(found["fields"]) == {"a", "u"}
    assert {"iterations", "true_residual", "seconds", "mean(a)"} <= set(found["scalars"])
    values = open_dataset(made).scalars["mean(a)"]
    figure = found["scalars"]["mean(a)"]
    assert figure["q50"] == pytest.approx(np.median(values)) and figure["max"] == values.max()
    json.dumps(found, allow_nan=False)


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(0, 30), elements=st.floats(-1e6, 1e6))
    | hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(1e-12, 1e12))
    | hnp.arrays(np.float64, st.integers(1, 30), elements=st.integers(0, 9).map(float))
    | hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(allow_infinity=True))
)
def test_histograms_count_every_value_once(values):
    figure = _figures(values)
    finite = values[np.abs(values) < 1e300]
    assert figure["count"] == len(finite)
    if len(finite):
        histogram = figure["histogram"]
        edges, counts = np.array(histogram["edges"]), np.array(histogram["counts"])
        assert counts.sum() == len(finite) and len(edges) == len(counts) + 1
        inner = [((finite >= lo) & (finite < hi)).sum() for lo, hi in pairwise(edges)]
        assert counts[:-1].tolist() == inner[:-1] if finite.min() < finite.max() else True


def test_a_deleted_data_set_comes_back_whole(copy):
    root = copy.parent
    catalogue = Catalogue(root)
    catalogue.refresh()
    before = sorted(path.name for path in copy.rglob("*"))
    place = move_to_trash(copy, root)
    assert place.parent == root / ".trash" and place.name.endswith(copy.name)
    assert not copy.exists() and catalogue.count() == 0  # the index was told
    assert in_trash(root) == [place]
    place.rename(copy)
    assert sorted(path.name for path in copy.rglob("*")) == before
    catalogue.refresh()
    assert catalogue.count() == 1 and in_trash(root) == []


def test_the_trash_is_emptied_of_data_sets_alone(copy, tmp_path):
    root = copy.parent
    move_to_trash(copy, root)
    (root / ".trash" / "notes").mkdir()
    (root / ".trash" / f"20260101T000000-{KEY}").symlink_to(tmp_path)
    assert len(empty_trash(root)) == 1
    assert sorted(os.listdir(root / ".trash")) == [f"20260101T000000-{KEY}", "notes"]
    assert tmp_path.exists()


def test_what_is_elsewhere_or_no_data_set_stays(copy, tmp_path):
    (tmp_path / "root").mkdir()
    link = tmp_path / "root" / "link"
    link.symlink_to(copy)
    (tmp_path / "root" / "photos").mkdir()
    inside = copy / "shards"
    cases = [(copy, tmp_path / "root"), (link, tmp_path / "root"), (inside, copy)]
    cases += [(tmp_path / "root" / "photos", tmp_path / "root"), (tmp_path / "root", tmp_path)]
    cases += [
        (tmp_path / "root" / ".." / copy.name, tmp_path / "root"),
        (tmp_path / "no", tmp_path),
    ]
    for folder, root in cases:
        with pytest.raises(StorageError):
            move_to_trash(folder, root)
    assert copy.is_dir() and link.is_symlink() and not (tmp_path / "root" / ".trash").exists()


def test_a_trash_that_leads_elsewhere_is_refused(copy, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (copy.parent / ".trash").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="is a link"):
        move_to_trash(copy, copy.parent)
    assert in_trash(copy.parent) == [] and copy.is_dir()


def test_a_data_set_that_is_being_written_stays(copy):
    host = socket.gethostname()
    live = copy / "shards" / f"0000-000003.h5.{host}.{os.getpid()}.0123abcd.tmp"
    live.write_bytes(b"")
    with pytest.raises(StorageError, match="is writing"):
        move_to_trash(copy, copy.parent)
    live.rename(copy / "shards" / f"0000-000003.h5.{host}.999999999.0123abcd.tmp")
    assert writing(copy) is None
    (copy / "manifest.json").unlink()
    with pytest.raises(StorageError, match="isn't finished"):
        move_to_trash(copy, copy.parent)
    long_ago = time.time() - 3600
    os.utime(copy / "shards", (long_ago, long_ago))
    assert move_to_trash(copy, copy.parent).is_dir()
    assert DataFolder(copy).path.parent.is_dir()
