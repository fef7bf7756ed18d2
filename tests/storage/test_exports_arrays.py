"""PDEBench, neuraloperator, NumPy, CSV, Parquet: each read back by what it is for."""

import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet
import pytest
import yaml
from l_shapes import make_l_shape
from synthetic import make_dataset

from storage import BadSelection, StorageError, open_dataset
from storage.exports import FORMATS, ExportOptions

OPTIONS = ExportOptions(resolution=(9, 7))
POINTS = np.stack(np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 7), indexing="ij"), -1)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    kinds = ("scalar", "mixed", "time")
    made = {kind: open_dataset(make_dataset(root, kind, samples=20)) for kind in kinds}
    return made | {"moving": make_l_shape(root, "displacement", samples=20)}


def on_grid(dataset, name, row):
    return dataset.function(name, row)(POINTS.reshape(-1, 2)).reshape(9, 7, -1)


def test_pdebench_darcy(sets, tmp_path):
    dataset = sets["scalar"]
    assert FORMATS["pdebench"](dataset, tmp_path / "d.hdf5", OPTIONS) == [tmp_path / "d.hdf5"]
    with h5py.File(tmp_path / "d.hdf5") as file:
        nu, tensor = file["nu"], file["tensor"]
        assert nu.shape == (20, 9, 7) and tensor.shape == (20, 1, 9, 7) and nu.dtype == "f4"
        np.testing.assert_allclose(file["x-coordinate"], np.linspace(0, 1, 9), atol=1e-7)
        np.testing.assert_allclose(file["y-coordinate"], np.linspace(0, 1, 7), atol=1e-7)
        for row in (0, 7, 19):
            np.testing.assert_allclose(nu[row], on_grid(dataset, "a", row)[..., 0], rtol=1e-6)
            u = on_grid(dataset, "u", row)[..., 0]
            np.testing.assert_allclose(tensor[row, 0], u, rtol=1e-6, atol=1e-12)
        np.testing.assert_array_equal(file["sample-ids"], dataset.ids)
        np.testing.assert_array_equal(file["parameters/c"], dataset.column("c"))
        assert file.attrs["rekrylov_data_key"] == dataset.manifest["data_key"]


def test_pdebench_samples_in_groups(sets, tmp_path):
    dataset = sets["time"]
    FORMATS["pdebench"](dataset, tmp_path / "d.h5", OPTIONS)
    with h5py.File(tmp_path / "d.h5") as file:
        assert sorted(file) == [f"{i:04d}" for i in range(20)]
        for row in (0, 5, 11):
            group, mask = file[f"{row:04d}"], dataset.read("times_mask", row)
            assert group["data"].shape == (mask.sum(), 9, 7, 1)
            for step in range(mask.sum()):
                u = dataset.function("u", row, step)(POINTS.reshape(-1, 2)).reshape(9, 7)
                np.testing.assert_allclose(group["data"][step, ..., 0], u, atol=1e-6)
            times = dataset.read("times", row)[mask]
            np.testing.assert_allclose(group["grid/t"], times, rtol=1e-6)
            a = on_grid(dataset, "a", row)[..., 0]
            np.testing.assert_allclose(group["inputs/a"], a, rtol=1e-6)
            sim = yaml.safe_load(group.attrs["config"])["sim"]
            assert (sim["xdim"], sim["ydim"], sim["tdim"]) == (9, 7, mask.sum())


def test_pdebench_says_what_is_inside_and_what_it_has_no_layout_for(sets, tmp_path):
    FORMATS["pdebench"](sets["moving"], tmp_path / "d.hdf5", ExportOptions(resolution=(65,)))
    with h5py.File(tmp_path / "d.hdf5") as file:
        assert file["inside"].shape == (20, 65, 65)
        assert (file["tensor"][:, 0][~file["inside"][:]] == 0).all()
        assert len(np.unique(file["inside"], axis=0)) > 5
    with pytest.raises(BadSelection, match="one scalar input and one scalar output in the plane"):
        FORMATS["pdebench"](sets["mixed"], tmp_path / "m.hdf5", OPTIONS)
    chosen = ExportOptions(resolution=(9, 7), fields=("a", "pressure"))
    FORMATS["pdebench"](sets["mixed"], tmp_path / "m.hdf5", chosen)


def test_neuraloperator_reads_its_files(sets, tmp_path):
    from neuralop.data.datasets.pt_dataset import PTDataset

    dataset = sets["scalar"].select(sets["scalar"].ids)
    square = ExportOptions(resolution=(9,), fields=("a", "u"))
    FORMATS["neuraloperator"](dataset, tmp_path / "n", square)
    names = {path.name for path in (tmp_path / "n").glob("*.pt")}
    assert names == {f"scalar_{split}_9.pt" for split in ("train", "validation", "test")}
    train, test = dataset.split("train"), dataset.split("test")
    data = PTDataset(tmp_path / "n", "scalar", len(train), [len(test)], 4, [4], 9, [9])
    assert len(data.train_db) == len(train) and len(data.test_dbs[9]) == len(test)
    points = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 2, indexing="ij"), -1)
    for split, found in ((train, data.train_db), (test, data.test_dbs[9])):
        for row in range(len(split)):
            for key, name in (("x", "a"), ("y", "u")):
                wanted = split.function(name, row)(points.reshape(-1, 2)).reshape(1, 9, 9)
                np.testing.assert_array_equal(found[row][key], wanted.astype(np.float32))


def test_neuraloperator_channels(sets, tmp_path):
    import torch

    dataset = sets["mixed"]
    FORMATS["neuraloperator"](dataset, tmp_path / "n", OPTIONS)
    data = torch.load(tmp_path / "n" / "mixed_train_9x7.pt")
    train = dataset.split("train")
    assert data["channels"] == {"x": ["a"], "y": ["pressure", "velocity_0", "velocity_1"]}
    assert data["y"].shape == (len(train), 3, 9, 7) and data["x"].shape == (len(train), 1, 9, 7)
    u = np.moveaxis(on_grid(train, "velocity", 2), -1, 0)
    np.testing.assert_array_equal(data["y"][2, 1:], u.astype(np.float32))
    assert data["about"]["data_key"] == dataset.manifest["data_key"]
    moved = sets["moving"]
    FORMATS["neuraloperator"](moved, tmp_path / "m", OPTIONS)
    data = torch.load(tmp_path / "m" / "displacement_train_9x7.pt")
    assert data["channels"]["x"] == ["a", "inside"]
    assert set(np.unique(data["x"][:, 1])) == {0.0, 1.0}


def test_neuraloperator_refuses_what_it_cannot_hold(sets, tmp_path, monkeypatch):
    with pytest.raises(BadSelection, match="as many time steps of each sample"):
        FORMATS["neuraloperator"](sets["time"], tmp_path / "n", OPTIONS)
    ids = [i for i in range(20) if i % 4 == 1]  # three steps each
    FORMATS["neuraloperator"](sets["time"].select(ids), tmp_path / "n", OPTIONS)
    import torch

    found = [torch.load(path) for path in sorted((tmp_path / "n").glob("*.pt"))]
    assert all(data["y"].shape[1:] == (3, 9, 7) for data in found)
    with monkeypatch.context() as patch:
        patch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5000))
        with pytest.raises(StorageError, match="needs 0.0 GiB of memory"):
            FORMATS["neuraloperator"](sets["scalar"], tmp_path / "h", OPTIONS)
    assert not (tmp_path / "h").exists()


def test_npz_of_coefficients(sets, tmp_path):
    dataset = sets["time"]
    FORMATS["npz"](dataset, tmp_path / "s.npz", ExportOptions())
    with np.load(tmp_path / "s.npz") as found:
        for column in ("inputs/a", "outputs/u", "times", "times_mask", "parameters/c"):
            np.testing.assert_array_equal(found[column], dataset.column(column))
        np.testing.assert_array_equal(found["id"], dataset.ids)
        for name in ("points", "cells"):
            np.testing.assert_array_equal(found[name], dataset.mesh[name])
        np.testing.assert_array_equal(found["dofmaps/p1"], dataset.spaces["p1"]["dofmap"])
        about = json.loads(str(found["about"]))
    assert about["spaces"] == {"a": "p1", "u": "p1"} and about["cell_type"] == "triangle"
    assert about["data_key"] == dataset.manifest["data_key"]


def test_npz_on_a_grid(sets, tmp_path):
    dataset = sets["mixed"]
    FORMATS["npz"](dataset, tmp_path / "s.npz", OPTIONS)
    with np.load(tmp_path / "s.npz") as found:
        assert found["outputs/velocity"].shape == (20, 9, 7, 2) and "inside" not in found
        for row in (0, 19):
            for key, name in (("inputs/a", "a"), ("outputs/velocity", "velocity")):
                wanted = on_grid(dataset, name, row).reshape(found[key][row].shape)
                assert np.abs(found[key][row] - wanted).max() < 1e-13
    FORMATS["npz"](sets["moving"], tmp_path / "m.npz", OPTIONS)
    FORMATS["npz"](sets["time"], tmp_path / "t.npz", OPTIONS)
    with np.load(tmp_path / "m.npz") as moved, np.load(tmp_path / "t.npz") as marched:
        assert moved["inside"].shape == (20, 9, 7) and not moved["inside"].all()
        mask = sets["time"].column("times_mask")
        assert marched["outputs/u"].shape == (20, mask.sum(axis=1).max(), 9, 7)
        known = np.isfinite(marched["outputs/u"]).all(axis=(2, 3))
        np.testing.assert_array_equal(known.sum(axis=1), mask.sum(axis=1))
        np.testing.assert_array_equal(np.isfinite(marched["times"]), known)


def test_equal_data_make_equal_files(sets, tmp_path):
    for name in ("npz", "csv"):
        for k in (1, 2):
            FORMATS[name](sets["scalar"], tmp_path / f"{name}{k}", ExportOptions())
        assert (tmp_path / f"{name}1").read_bytes() == (tmp_path / f"{name}2").read_bytes()


def test_tables_come_back_bit_by_bit(sets, tmp_path):
    dataset = sets["scalar"]
    FORMATS["csv"](dataset, tmp_path / "t.csv", ExportOptions())
    FORMATS["parquet"](dataset, tmp_path / "t.parquet", ExportOptions())
    table, parquet = pd.read_csv(tmp_path / "t.csv"), pd.read_parquet(tmp_path / "t.parquet")
    text = (tmp_path / "t.csv").read_text().splitlines()
    assert len(text) == 21 and text[0].startswith("id,order,iterations")
    for name, values in dataset.scalars.items():
        at = text[0].split(",").index(name)
        read = [float(line.split(",")[at]) for line in text[1:]]
        np.testing.assert_array_equal(read, values)
        np.testing.assert_allclose(table[name], values, rtol=1e-15)
        np.testing.assert_array_equal(parquet[name], values)
    for found in (table, parquet):
        for name in ("train", "validation", "test"):
            ids = found["id"][found["split"] == name].to_numpy()
            np.testing.assert_array_equal(ids, dataset.split(name).ids)
    about = pyarrow.parquet.read_schema(tmp_path / "t.parquet").metadata
    assert about[b"rekrylov_data_key"].decode() == dataset.manifest["data_key"]


def test_a_file_appears_whole_or_not_at_all(sets, tmp_path):
    def stop(done):
        if done == 3:
            raise RuntimeError("stopped")

    dataset = sets["scalar"]
    for name in FORMATS:
        if name not in ("well", "pdebench", "neuraloperator", "vtkhdf"):
            continue
        out, fields = tmp_path / name, ("u",) if name == "vtkhdf" else ("a", "u")
        with pytest.raises(RuntimeError, match="stopped"):
            FORMATS[name](dataset, out, ExportOptions(resolution=(5,), progress=stop))
        assert list(tmp_path.iterdir()) == []
        FORMATS[name](dataset, out, ExportOptions(resolution=(5,)))
        before = {path: path.read_bytes() for path in files(out)}
        with pytest.raises(StorageError, match="exists; name another place, or replace it"):
            FORMATS[name](dataset, out, ExportOptions(resolution=(5,)))
        with pytest.raises(RuntimeError, match="stopped"):
            FORMATS[name](dataset, out, ExportOptions(resolution=(6,), force=True, progress=stop))
        assert {path: path.read_bytes() for path in files(out)} == before
        FORMATS[name](dataset, out, ExportOptions(resolution=(6,), force=True, fields=fields))
        assert {path: path.read_bytes() for path in files(out)} != before
        for path in sorted(tmp_path.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def test_a_folder_that_is_no_export_is_left_alone(sets, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    forced = ExportOptions(resolution=(5,), force=True)
    with pytest.raises(StorageError, match=r"thesis: is no export .* and is left alone"):
        FORMATS["well"](sets["scalar"], tmp_path / "thesis", forced)
    with pytest.raises(StorageError, match="thesis: is a folder; this format is one file"):
        FORMATS["npz"](sets["scalar"], tmp_path / "thesis", forced)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"
    with pytest.raises(StorageError, match="is missing; create it first"):
        FORMATS["csv"](sets["scalar"], tmp_path / "no" / "t.csv", ExportOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def files(out: Path):
    return [out] if out.is_file() else sorted(path for path in out.rglob("*") if path.is_file())
