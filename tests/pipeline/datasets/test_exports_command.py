"""`rekrylov export`: choices, messages, exit codes, a full disk, a killed export."""

import csv
import json
import signal

import h5py
import numpy as np
import pytest
from runs import folder_of, wait_until, write_spec

from pipeline import stages
from pipeline.cli import main
from pipeline.spec import parse_spec
from storage import DataFolder, open_dataset
from storage.exports import FORMATS, ExportOptions

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def box(rekrylov, tmp_path_factory):
    """A data set in three dimensions on tetrahedra, outputs of degree 2."""
    path = tmp_path_factory.mktemp("box")
    problem = {
        "family": "darcy",
        "coefficient": {"law": "lognormal"},
        "output_space": {"family": "P", "degree": 2},
    }
    mesh = {"domain": "box", "resolution": [2, 2, 2]}
    spec = write_spec(path / "box.yaml", name="box", samples=10, mesh=mesh, problem=problem)
    done = rekrylov("run", spec, "--root", path / "data")
    assert done.code == 0, done.text
    return folder_of(path / "data").path


def test_formats_of_a_folder_and_of_a_spec(rekrylov, spec, finished, tmp_path):
    folder = folder_of(finished).path
    done = rekrylov("export", folder, "--to", "well", "--out", tmp_path / "w", "--json")
    assert done.code == 0, done.text
    found = json.loads(done.out)
    assert found["format"] == "well" and found["samples"] == 48 and done.err == ""
    assert str(tmp_path / "w" / "stats.yaml") in found["files"]
    done = rekrylov(
        *("export", spec, "--root", finished, "--to", "csv"),
        *("--split", "test", "--out", tmp_path / "t.csv"),
    )
    assert done.code == 0, done.text
    test = open_dataset(folder).split("test")
    assert f"{len(test)} samples as csv, 1 file" in done.out and "export: " in done.err
    with open(tmp_path / "t.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == test.ids.tolist()
    done = rekrylov(
        *("export", folder, "--to", "pdebench", "--out", tmp_path / "d.hdf5"),
        *("--ids", "3,7-9", "--resolution", "17x5"),
    )
    assert done.code == 0, done.text
    with h5py.File(tmp_path / "d.hdf5") as file:
        assert file["tensor"].shape == (4, 1, 17, 5)
        assert file["sample-ids"][:].tolist() == [3, 7, 8, 9]


def test_three_dimensions_are_read_by_the_well(rekrylov, box, tmp_path):
    from the_well.data import WellDataset

    done = rekrylov(
        *("export", box, "--to", "well", "--out", tmp_path / "w", "--resolution", "5x4x3")
    )
    assert done.code == 0, done.text
    train = open_dataset(box).split("train")
    data = WellDataset(path=str(tmp_path / "w"), well_split_name="train", n_steps_output=0)
    assert len(data) == len(train)
    item = data[1]
    points = item["space_grid"].numpy().astype(np.float64).reshape(-1, 3)
    u = train.function("u", 1)(points).reshape(1, 5, 4, 3, 1)
    np.testing.assert_allclose(item["input_fields"], u, atol=1e-6)
    assert np.abs(u).max() > 1e-3 and item["boundary_conditions"].shape == (3, 2)


def test_an_interval_in_time_is_a_tensor_that_starts_at_the_start(tmp_path):
    heat = {
        "family": "heat",
        "diffusivity": {"law": "lognormal", "field": {"kind": "cosine", "sigma": 0.3}},
        "start": {"law": "gaussian", "field": {"kind": "cosine", "sigma": 1.0}},
        "end": 0.1,
        "steps": 3,
    }
    mesh = {"domain": "unit_interval", "resolution": 8}
    spec = parse_spec({"name": "rod", "samples": 5, "problem": heat, "mesh": mesh})
    stages.solve(spec, tmp_path, quiet=True)
    folder = DataFolder(stages.sample(spec, tmp_path))
    stages.finalise(spec, folder)
    dataset, out = open_dataset(folder.path), tmp_path / "rod.hdf5"
    FORMATS["pdebench"](dataset, out, ExportOptions(resolution=(21,)))
    x = np.linspace(0.0, 1.0, 21)
    with h5py.File(out) as file:
        assert file["tensor"].shape == (5, 4, 21) and file["inputs/a"].shape == (5, 21)
        np.testing.assert_allclose(file["t-coordinate"], [0, *dataset.times], rtol=1e-6)
        np.testing.assert_allclose(file["x-coordinate"], x, rtol=1e-6)
        for row in range(5):
            a = dataset.function("a", row)(x[:, None])[:, 0]
            np.testing.assert_allclose(file["inputs/a"][row], a, rtol=1e-6)
            start = dataset.function("u0", row)(x[:, None])[:, 0]
            steps = [dataset.function("u", row, k)(x[:, None])[:, 0] for k in range(3)]
            np.testing.assert_allclose(file["tensor"][row], [start, *steps], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "xml"], "--to xml: expected one of well, pdebench, neuraloperator"),
        (["--to", "npz", "--outside", "7"], "--outside 7: expected 0 or nan"),
        (["--to", "npz", "--split", "tset"], "split 'tset' is not one of"),
        (["--to", "npz", "--ids", "3,99"], "samples [99] are not stored"),
        (["--to", "npz", "--ids", "x"], "expected numbers and ranges"),
        (["--to", "npz", "--ids", "5-3"], "expected numbers and ranges"),
        (["--to", "npz", "--ids", "9" * 30], "expected numbers and ranges"),
        (["--to", "npz", "--ids", "0-999999999999"], "are more than"),
        (["--to", "npz", "--fields", "a,b"], "field 'b': "),
        (["--to", "npz", "--resolution", "0"], "expected points per direction"),
        (["--to", "well", "--resolution", "4x4x4"], "the mesh has 2 dimensions"),
        (["--to", "npz", "--resolution", "100000000"], "1.0e+16 points"),
        (["--to", "well", "--definition", "d"], "definition 'd': expected one of"),
        (["--to", "vtkhdf", "--out", "s.vtkhdf"], "a file holds one sample, 48 are chosen"),
    ],
)
def test_refusals_are_one_message(finished, tmp_path, capsys, arguments, message):
    if "--out" not in arguments:
        arguments = [*arguments, "--out", "out"]
    arguments = [*arguments[:-1], str(tmp_path / arguments[-1])]
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(folder_of(finished).path), *arguments])
    said = "".join(capsys.readouterr())
    assert stopped.value.code == 2, said
    assert message in " ".join(said.replace("│", " ").split())
    assert "Traceback" not in said and list(tmp_path.iterdir()) == []


def test_no_data_set_and_an_older_export(rekrylov, finished, tmp_path):
    done = rekrylov("export", tmp_path, "--to", "npz", "--out", tmp_path / "s.npz")
    assert done.code == 2 and "no data set there" in done.text, done.text
    line = ["export", folder_of(finished).path, "--to", "npz", "--out", tmp_path / "s.npz"]
    assert rekrylov(*line).code == 0
    before = (tmp_path / "s.npz").read_bytes()
    again = rekrylov(*line, "--fields", "u")
    assert again.code == 2 and "exists; name another place, or replace it with --force" in again.err
    assert (tmp_path / "s.npz").read_bytes() == before
    assert rekrylov(*line, "--fields", "u", "--force").code == 0
    assert len((tmp_path / "s.npz").read_bytes()) < len(before)


def test_a_full_and_a_read_only_disk(rekrylov, finished, disk):
    place = disk("400k")
    folder = folder_of(finished).path
    for name in ("well", "npz", "pdebench", "vtkhdf", "neuraloperator"):
        line = ("export", folder, "--to", name, "--out", place.path / "out")
        done = rekrylov(*line, "--resolution", "65")
        if name in ("npz", "vtkhdf") and done.code == 0:
            pytest.fail(f"{name} fits on the disk")
        assert done.code == 4, done.text
        assert "no space left" in done.messages[0] and "Traceback" not in done.text
        assert list(place.path.iterdir()) == []
    place.remount("ro")
    done = rekrylov("export", folder, "--to", "csv", "--out", place.path / "t.csv")
    assert done.code == 2 and "cannot be written" in done.messages[0], done.text


def test_terminated_half_way(rekrylov, finished, tmp_path):
    folder = folder_of(finished).path
    process = rekrylov.start(
        *("export", folder, "--to", "well", "--out", tmp_path / "w", "--resolution", "900")
    )
    wait_until(lambda: any(tmp_path.rglob("*.hdf5")), process)
    process.send(signal.SIGTERM)
    done = process.wait()
    assert done.code == 4, done.text
    assert list(tmp_path.iterdir()) == []
