"""Samples of others become shards: the same values, in blocks, resumed, refused if not finite."""

import h5py
import numpy as np
import pytest

from storage import DataFolder, StorageError, build_manifest, open_dataset, read_records
from storage.importing import content_key, open_source, read_layout, write_samples
from storage.importing import writer as writing


def arrays(samples=20, steps=3, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "inputs/a": rng.standard_normal((samples, 6, 5)),
        "parameters/mu": rng.uniform(1, 2, samples),
        "outputs/u": rng.standard_normal((samples, steps, 6, 5)),
        "times": np.linspace(0.5, 2.0, steps),
    }


def write_npz(path, content):
    with open(path, "wb") as file:
        np.savez(file, **content)
    return path


def write_hdf5(path, content):
    with h5py.File(path, "w") as file:
        for key, values in content.items():
            file[key] = values
    return path


def imported(path, root, **options):
    with open_source(path) as source:
        layout = read_layout(source, **options)
        key = content_key(source, layout)
        folder = DataFolder(root)
        write_samples(source, layout, folder, key)
    build_manifest(folder, {"name": "d", "data_key": key, "rtol": None, "problem": {}})
    return open_dataset(folder.path, verify=True)


@pytest.mark.parametrize("write", [write_npz, write_hdf5])
def test_values_come_back_bit_by_bit(tmp_path, write):
    content = arrays()
    dataset = imported(write(tmp_path / "f", content), tmp_path / "d")
    assert np.array_equal(dataset.ids, np.arange(20))
    assert np.array_equal(dataset.read("a"), content["inputs/a"].reshape(20, 30))
    assert np.array_equal(dataset.read("u"), content["outputs/u"].reshape(20, 3, 30))
    assert np.array_equal(dataset.read("mu"), content["parameters/mu"])
    assert np.array_equal(dataset.times, content["times"])
    assert "solve/true_residual" not in dataset.columns
    assert (dataset.fields["a"].role, dataset.fields["u"].role) == ("input", "output")
    u = dataset.function("u", 4, step=1)
    at = u(np.array([[1.0, 0.25]]))[0, 0]
    assert np.isclose(at, content["outputs/u"][4, 1, 5, 1], rtol=1e-14)
    assert u.time == content["times"][1]
    grid = dataset.spaces["P1"]["grid"]
    assert np.array_equal(grid["matrix"] @ dataset.read("a", 3), content["inputs/a"][3].ravel())
    assert len(dataset.split("train")) + len(dataset.split("validation")) < 20 + 1


def key_of(path, **options):
    with open_source(path) as source:
        return content_key(source, read_layout(source, **options))


def test_the_key_is_that_of_the_content(tmp_path, monkeypatch):
    content = arrays()
    first = key_of(write_npz(tmp_path / "a", content))
    assert key_of(write_hdf5(tmp_path / "b", content)) == first
    monkeypatch.setattr(writing, "_MOST", 1)  # blocks of another size
    assert key_of(tmp_path / "a") == first
    monkeypatch.undo()
    others = {first, key_of(tmp_path / "a", domain=[0, 2, 0, 1])}
    for key, at in (("inputs/a", (7, 0, 0)), ("parameters/mu", (3,)), ("times", (2,))):
        values = content[key].copy()
        values[at] = np.nextafter(values[at], 9.0)
        others.add(key_of(write_npz(tmp_path / "c", content | {key: values})))
    swapped = {key: v[::-1] if len(v) == 20 else v for key, v in content.items()}
    others.add(key_of(write_npz(tmp_path / "c", swapped)))
    names = {"inputs": ["inputs/a=b", "parameters/mu"], "outputs": ["outputs/u"]}
    others.add(key_of(tmp_path / "a", **names))
    assert len(others) == 7


@pytest.mark.parametrize(
    ("key", "value"), [("inputs/a", np.nan), ("outputs/u", np.inf), ("outputs/u", -1e200)]
)
def test_a_value_that_is_not_finite_is_refused_with_its_sample(tmp_path, key, value):
    content = arrays()
    content[key][13, 1, 2] = value
    message = rf"{key[-1]} holds NaN, Inf or numbers beyond 1e150 in sample 13 "
    with pytest.raises(StorageError, match=message):
        imported(write_npz(tmp_path / "f", content), tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_no_more_than_a_shard_is_read_at_once(tmp_path, monkeypatch):
    """Both passes see blocks of one shard; nothing holds the file."""
    monkeypatch.setattr(writing, "_SHARD", 4 * 30 * 8 * 3)  # of 4 fields in double precision
    seen = []
    with open_source(write_npz(tmp_path / "f", arrays(samples=40))) as source:
        rows = source.rows

        def spied(key, axis, start, stop):
            seen.append((key, stop - start))
            return rows(key, axis, start, stop)

        object.__setattr__(source, "rows", spied)
        layout = read_layout(source)
        seen.clear()
        key = content_key(source, layout)
        write_samples(source, layout, DataFolder(tmp_path / "d"), key)
    sizes = {count for name, count in seen if name != "times"}
    assert sizes <= {3, 1} and len(seen) == 2 * 3 * 14


def test_a_broken_off_import_goes_on(tmp_path):
    path = write_npz(tmp_path / "f", arrays())
    whole = imported(path, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(done):
        if done >= 9:
            raise Stop

    with open_source(path) as source:
        layout = read_layout(source)
        key = content_key(source, layout)
        folder = DataFolder(tmp_path / "d")
        with pytest.raises(Stop):
            write_samples(source, layout, folder, key, stop)
        committed = {path.name: path.stat().st_mtime_ns for path in folder.shards.iterdir()}
        assert 0 < len(folder.committed()) < 10
        rows, read = source.rows, []

        def spied(*where):
            read.append(where[2])
            return rows(*where)

        object.__setattr__(source, "rows", spied)
        write_samples(source, layout, folder, key)
        assert min(read) == 2 * len(committed) // 2  # two samples a shard; a file and a record
    for name, time in committed.items():
        assert (folder.shards / name).stat().st_mtime_ns == time  # kept, not written again
    found = {r.batch: r.sha256 for r in read_records(folder)}
    assert found == {r.batch: r.sha256 for r in read_records(DataFolder(whole.path))}


def test_steps_of_pdebench_are_input_and_output(tmp_path):
    tensor = np.random.default_rng(3).standard_normal((6, 4, 9)).astype("f4")
    content = {"tensor": tensor, "t-coordinate": np.arange(5.0)}
    dataset = imported(write_hdf5(tmp_path / "f", content), tmp_path / "d")
    assert np.array_equal(dataset.read("a"), tensor[:, 0])
    assert np.array_equal(dataset.read("u"), tensor[:, 1:])
    assert dataset.read("u").dtype == np.float32
    assert dataset.times.tolist() == [1.0, 2.0, 3.0]
