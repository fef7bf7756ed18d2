"""The Well's layout, held against its specification and read by its own loader."""

import h5py
import numpy as np
import pytest
import yaml
from l_shapes import make_l_shape
from synthetic import make_dataset
from the_well.data import WellDataset
from the_well.data.normalization import ZScoreNormalization

from storage import DataFolder, build_manifest, open_dataset
from storage.exports import FORMATS, ExportOptions

OPTIONS = ExportOptions(resolution=(9, 7))
PROBLEM = {"initial": ["a(x, y)"], "symbols": {"nu": {"value": "0.3"}, "g": {"value": "1 - x"}}}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    return {
        kind: open_dataset(make_dataset(root, kind, samples=24))
        for kind in ("scalar", "mixed", "time", "displacement")
    }


def exported(dataset, out, options=OPTIONS):
    written = FORMATS["well"](dataset, out, options)
    assert all(path.is_file() for path in written)
    files = sorted(path for path in written if path.suffix == ".hdf5")
    for path in files:
        assert_is_of_the_well(path)
    return files


def assert_is_of_the_well(path):
    """What the format's page says: groups, attributes, shapes, types."""
    with h5py.File(path) as file:
        n, dim = int(file.attrs["n_trajectories"]), int(file.attrs["n_spatial_dims"])
        assert file.attrs["grid_type"] == "cartesian" and isinstance(
            file.attrs["dataset_name"], str
        )
        space = list(file["dimensions"].attrs["spatial_dims"])
        time = file["dimensions/time"]
        steps, sizes = time.shape[-1], {name: len(file[f"dimensions/{name}"]) for name in space}
        assert len(space) == dim and set(file["dimensions"]) == {"time", *space}
        for name in file.attrs["simulation_parameters"]:
            assert name in file.attrs and name in file["scalars"]
        tables = [(time, 0, ())] + [(file[f"dimensions/{k}"], 0, None) for k in space]
        for group in ("scalars", "t0_fields", "t1_fields", "t2_fields"):
            assert sorted(file[group].attrs["field_names"]) == sorted(file[group])
            order = int(group[1]) if group != "scalars" else 0
            for table in file[group].values():
                full = () if group == "scalars" else tuple(sizes.values()) + (dim,) * order
                tables.append((table, order, full))
                if group != "scalars":
                    assert table.attrs["dim_varying"].tolist() == [True] * dim
        for table, _, shape in tables:
            flags = [table.attrs[f"{kind}_varying"] for kind in ("sample", "time")]
            assert all(isinstance(flag, np.bool_) for flag in flags) and table.dtype == "f4"
            if shape is not None:
                lead = (n,) * bool(flags[0]) + (steps,) * bool(flags[1])
                assert table.shape == lead + shape, table.name
        for name, side in file["boundary_conditions"].items():
            (axis,) = side.attrs["associated_dims"]
            assert side["mask"].dtype == bool and side["mask"].shape == (sizes[axis],)
            assert name == f"{axis}_{side.attrs['bc_type'].lower()}"


def loader(out, split="train", **options):
    return WellDataset(
        path=str(out), well_split_name=split, normalization_path="stats.yaml", **options
    )


def test_steady_samples_with_and_without_a_zero_frame(sets, tmp_path):
    dataset = sets["scalar"]
    exported(dataset, tmp_path / "one")
    one = loader(tmp_path / "one", n_steps_output=0)
    train = dataset.split("train")
    assert len(one) == len(train)
    x, y = np.linspace(0, 1, 9), np.linspace(0, 1, 7)
    points = np.stack(np.meshgrid(x, y, indexing="ij"), -1)
    for row in (0, 3):
        item = one[row]
        a = train.function("a", row)(points.reshape(-1, 2)).reshape(9, 7, 1)
        u = train.function("u", row)(points.reshape(-1, 2)).reshape(1, 9, 7, 1)
        np.testing.assert_array_equal(item["constant_fields"].numpy(), a.astype(np.float32))
        np.testing.assert_array_equal(item["input_fields"].numpy(), u.astype(np.float32))
        np.testing.assert_allclose(item["space_grid"].numpy(), points, atol=1e-7)
        np.testing.assert_allclose(item["constant_scalars"], train.read("c", row), rtol=1e-6)
        assert (item["boundary_conditions"] == 0).all()  # walls all around
    exported(dataset, tmp_path / "two", ExportOptions(resolution=(9, 7), zero_frame=True))
    two = loader(tmp_path / "two")  # its defaults: one step in, one step out
    assert len(two) == len(train) and (two[3]["input_fields"] == 0).all()
    assert (two[3]["output_fields"] == one[3]["input_fields"]).all()


def test_every_split_has_its_folder_and_no_sample_is_lost(sets, tmp_path):
    dataset = sets["scalar"]
    exported(dataset, tmp_path / "w")
    found = []
    for ours, theirs in (("train", "train"), ("validation", "valid"), ("test", "test")):
        path = tmp_path / "w" / "data" / theirs / "scalar.hdf5"
        with h5py.File(path) as file:
            ids = file["sample_ids"][:]
            np.testing.assert_array_equal(ids, dataset.split(ours).ids)
            found += ids.tolist()
            assert file.attrs["rekrylov_data_key"] == dataset.manifest["data_key"]
            assert file.attrs["rekrylov_spaces_hash"] == dataset.manifest["spaces_hash"]
            assert file.attrs["rekrylov_exported_by"].startswith("rekrylov")
    assert sorted(found) == dataset.ids.tolist()
    exported(dataset.split("test"), tmp_path / "t")
    assert [path.name for path in (tmp_path / "t" / "data").iterdir()] == ["test"]


def test_vectors_are_vectors(sets, tmp_path):
    dataset = sets["mixed"]
    exported(dataset, tmp_path / "w")
    item = loader(tmp_path / "w", n_steps_output=0)[1]
    train = dataset.split("train")
    points = item["space_grid"].numpy().astype(np.float64).reshape(-1, 2)
    velocity = train.function("velocity", 1)(points).reshape(9, 7, 2)
    assert item["input_fields"].shape == (1, 9, 7, 3)  # pressure, then the velocity
    np.testing.assert_allclose(item["input_fields"][0, ..., 1:], velocity, atol=1e-6)
    with h5py.File(next((tmp_path / "w").rglob("train/*.hdf5"))) as file:
        assert list(file["t1_fields"]) == ["velocity"] and "x_open" in file["boundary_conditions"]


def test_marches_start_at_their_start_and_have_files_by_length(sets, tmp_path):
    folder = DataFolder(sets["time"].path)
    common = {"name": "a/../time", "data_key": sets["time"].manifest["data_key"]}
    build_manifest(folder, common | {"problem": PROBLEM}, split_seed=1)
    dataset = open_dataset(folder.path)
    files = exported(dataset, tmp_path / "w")
    assert all(path.name.startswith("a-time-") for path in files)
    train, seen = dataset.split("train"), []
    for path in files:
        if path.parent.name != "train":
            continue
        with h5py.File(path) as file:
            for place, sample_id in enumerate(file["sample_ids"]):
                row = int(np.flatnonzero(train.ids == sample_id)[0])
                mask = train.read("times_mask", row)
                times = np.append(0.0, train.read("times", row)[mask])
                time = file["dimensions/time"]
                found = time[place] if time.attrs["sample_varying"] else time[:]
                np.testing.assert_array_equal(found, times.astype(np.float32))
                u = file["t0_fields/u"][place]
                assert len(u) == len(times) and np.isfinite(u).all()
                np.testing.assert_array_equal(u[0], file["t0_fields/a"][place])
                seen.append(sample_id)
            assert file.attrs["nu"] == 0.3 and file["scalars/nu"][()] == np.float32(0.3)
            assert "g" not in file.attrs
    assert sorted(seen) == train.ids.tolist()
    item = loader(tmp_path / "w")[0]
    assert item["input_fields"].shape == item["output_fields"].shape == (1, 9, 7, 1)


@pytest.mark.parametrize("kind", ["scalar", "displacement"])
def test_what_is_inside_is_a_field(tmp_path, kind):
    dataset = make_l_shape(tmp_path, kind, samples=16)
    exported(dataset, tmp_path / "w", ExportOptions(resolution=(65,)))
    with h5py.File(next((tmp_path / "w").rglob("train/*.hdf5"))) as file:
        inside, u = file["t0_fields/inside"], file["t0_fields/u"]
        moves = kind == "displacement"
        assert inside.attrs["sample_varying"] == moves and not inside.attrs["time_varying"]
        assert set(np.unique(inside)) == {0.0, 1.0} and len(u) > 8
        if moves:
            assert len(np.unique(inside[:], axis=0)) > 5
        outside = np.broadcast_to(inside[:] == 0, u[:, 0].shape)
        assert (u[:, 0][outside] == 0).all() and "displacement" not in file["t1_fields"]


def test_statistics_are_those_of_the_training_files(sets, tmp_path):
    exported(sets["mixed"], tmp_path / "w", ExportOptions(resolution=(9, 7), zero_frame=True))
    stats = yaml.safe_load((tmp_path / "w" / "stats.yaml").read_text())
    with h5py.File(next((tmp_path / "w").rglob("train/*.hdf5"))) as file:
        for group in ("t0_fields", "t1_fields"):
            for name, table in file[group].items():
                data = table[:].astype(np.float64)
                axes = tuple(range(data.ndim - int(group[1])))
                kinds = {"": data}
                if table.attrs["time_varying"]:
                    kinds["_delta"] = np.diff(data, axis=1)
                for suffix, values in kinds.items():
                    found = [stats[k + suffix][name] for k in ("mean", "std", "rms")]
                    wanted = values.mean(axes), values.std(axes), np.sqrt((values**2).mean(axes))
                    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-14)
    options = {"use_normalization": True, "normalization_type": ZScoreNormalization}
    data = loader(tmp_path / "w", **options)
    assert data.norm is not None
    fields = np.stack([data[k]["output_fields"] for k in range(len(data))])
    assert np.abs(fields).mean() < 10
    exported(sets["scalar"], tmp_path / "one")
    assert loader(tmp_path / "one", n_steps_output=0, **options).norm is not None


def test_progress_and_three_dimensions_of_values(sets, tmp_path):
    told = []
    exported(sets["scalar"], tmp_path / "w", ExportOptions(resolution=(3,), progress=told.append))
    assert told == list(range(1, 25))
