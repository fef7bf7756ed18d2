"""Predictions with a checkpoint: what can be given, what is written, and the solver's answer."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import pyvista
import vtk

from pipeline.cli import main
from pipeline.operators import CheckpointMismatch, TrainConfig, TrainingError, train
from pipeline.operators.functions import checked, interpolation, read_functions
from pipeline.operators.predict import home_of, load, milliseconds, predict, predict_samples
from pipeline.operators.task import make_task
from storage import DataFolder, open_dataset
from storage.vtkhdf import VtkField, vtk_field, vtkhdf

EXAMPLES = Path(__file__).parents[3] / "examples"
TINY = {"kind": "spon", "processor": {"kind": "messages", "width": 4, "layers": 1, "modes": 4}}
CONFIG = TrainConfig.model_validate(
    {"operator": TINY, "epochs": 1, "controls": [], "tracking": ["csv"]}
)


@pytest.fixture(scope="module")
def darcy(sets):
    """A data set and the folder of a checkpoint in it."""
    return sets["p1"], train(sets["p1"], CONFIG).folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Darcy's equations with a flux in RT1 and a pressure in DG0, by the real solver."""
    from pipeline import stages
    from pipeline.spec import load_spec

    root = tmp_path_factory.mktemp("mixed")
    changes = ["samples=16", "mesh.resolution=6", "train=null"]
    changes += ["splits.train=0.5", "splits.validation=0.25", "splits.test=0.25"]
    spec = load_spec(EXAMPLES / "darcy-mixed.yaml", changes)
    stages.solve(spec, root, quiet=True)
    (folder,) = root.iterdir()
    stages.finalise(spec, DataFolder(folder))
    return folder, train(folder, CONFIG).folder


def rekrylov(*arguments, code=0):
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    assert end.value.code == code


def test_stored_samples_are_predicted_and_compared(darcy, tmp_path, capsys):
    folder, checkpoint = darcy
    files = [tmp_path / "u.npz", tmp_path / "u.h5", tmp_path / "u.png"]
    out = [word for file in files for word in ("--out", file)]
    rekrylov("predict", checkpoint, folder, "--ids", "3,5-7", *out, "--json")
    found = json.loads(capsys.readouterr().out)
    dataset = open_dataset(folder).select([3, 5, 6, 7])
    expected = load(checkpoint, dataset).operator.predict({"a": dataset.read("a")})["u"][:, 0]
    truth, mass = dataset.read("u"), dataset.spaces["p"]["grams"]["mass"]
    error = expected - truth
    norms = [np.sqrt(np.einsum("bi,bi->b", v, (mass @ v.T).T)) for v in (error, truth)]
    assert found["errors"]["l2"] == pytest.approx((norms[0] / norms[1]).mean())
    assert found["files"] == [str(file) for file in files] and found["samples"] == 4
    with np.load(files[0]) as stored:
        np.testing.assert_array_equal(stored["u"], expected)
        np.testing.assert_array_equal(stored["ids"], [3, 5, 6, 7])
        about = json.loads(str(stored["about"]))
    assert about["spaces_hash"] == make_task(dataset).spaces_hash
    assert about["spaces"] == {"u": "p"}
    with h5py.File(files[1]) as stored:
        np.testing.assert_array_equal(stored["u"][:], expected)
    assert files[2].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_file_of_coefficients_is_as_good_as_the_sample(darcy, tmp_path, suffix):
    folder, checkpoint = darcy
    dataset = open_dataset(folder).select([4, 2])
    given, path = dataset.read("a"), tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, a=given)
    else:
        with h5py.File(path, "w") as file:
            file["a"] = given
    stored = predict_samples(load(checkpoint, dataset).operator, dataset)
    for inputs in (path, {"a": given}):
        np.testing.assert_array_equal(predict(checkpoint, inputs).outputs["u"], stored.outputs["u"])


def test_values_at_points_are_interpolated_and_extended_by_the_nearest(darcy, tmp_path):
    folder, checkpoint = darcy
    operator = load(checkpoint, open_dataset(folder)).operator
    corners = np.array([[0.2, 0.2], [0.8, 0.2], [0.2, 0.8], [0.8, 0.8]])
    points = np.vstack([corners, np.random.default_rng(0).uniform(0.25, 0.75, (40, 2))])
    np.savez(tmp_path / "f.npz", points=points, a=np.stack([2 + points[:, 0], 1 + points[:, 1]]))
    found = read_functions(tmp_path / "f.npz", operator.task)["a"]
    x = np.asarray(operator.task.space(operator.task.inputs[0])["points"])
    inside = ((x > 0.2) & (x < 0.8)).all(axis=1)
    assert inside.sum() > 4
    np.testing.assert_allclose(found[0, inside], 2 + x[inside, 0], atol=1e-12)
    np.testing.assert_allclose(found[1, inside], 1 + x[inside, 1], atol=1e-12)
    corner = np.flatnonzero((x == 0).all(axis=1))
    np.testing.assert_allclose(found[:, corner].ravel(), [2.2, 1.2])


def test_expressions_are_functions_of_the_input_space(darcy, tmp_path):
    folder, checkpoint = darcy
    (tmp_path / "f.yaml").write_text('- a: "exp(sin(pi*x)) + y"\n- a: 2\n')
    rekrylov("predict", checkpoint, tmp_path / "f.yaml", "--out", tmp_path / "u.npz")
    x, y = np.asarray(open_dataset(folder).spaces["p"]["points"]).T
    a = np.stack([np.exp(np.sin(np.pi * x)) + y, np.full(len(x), 2.0)])
    with np.load(tmp_path / "u.npz") as stored:
        np.testing.assert_allclose(stored["u"], predict(checkpoint, {"a": a}).outputs["u"][:, 0])


def test_another_data_set_gives_mesh_and_spaces_when_named(darcy, sets, tmp_path):
    folder, checkpoint = darcy
    away = tmp_path / "checkpoint.safetensors"
    away.write_bytes((checkpoint / away.name).read_bytes())
    dataset = open_dataset(folder)
    given = {"a": dataset[:2]["a"]}
    with pytest.raises(CheckpointMismatch, match="lies in no data set.*--dataset"):
        predict(away, given)
    found = predict(away, given, dataset=folder).outputs["u"]
    np.testing.assert_array_equal(found, predict(checkpoint, given).outputs["u"])
    assert home_of(checkpoint / away.name) == folder.resolve() == home_of(checkpoint)
    with pytest.raises(CheckpointMismatch, match="was trained on spaces"):
        predict(checkpoint, given, dataset=sets["p2"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"b": np.ones(49)}, "input 'a' is missing; expected .'a'."),
        ({"a": np.ones(48)}, r"shape \(48,\); expected \(samples, 49\)"),
        ({"a": np.where(np.arange(98) == 60, np.nan, 1.0).reshape(2, 49)}, "sample 1, position 11"),
        ({"a": -np.ones(49)}, "takes logarithms"),
        ({"a": np.ones(3), "points": np.ones((3, 3))}, "expected finite coordinates"),
        ({"a": np.ones(4), "points": np.eye(3, 2)}, "values at the 3 `points`"),
        ({"a": np.ones(3), "points": np.ones((3, 2))}, "can't be triangulated"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(darcy, tmp_path, capsys, arrays, message):
    np.savez(tmp_path / "f.npz", **arrays)
    rekrylov("predict", darcy[1], tmp_path / "f.npz", "--json", code=2)
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    with pytest.raises(TrainingError, match=message):
        raise TrainingError(said.err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{set}", "--out", "u.vtu"], "suffix '.vtu'; expected one of .npz, .h5, .vtkhdf, .png"),
        (["{set}", "--out", "/nowhere/u.npz"], "folder /nowhere is missing"),
        (["{set}", "--ids", "3", "--split", "test"], "expected one of them"),
        (["{set}", "--ids", "900"], "samples [900] are not stored"),
        (["{set}", "--split", "exam"], "split 'exam' is not one of"),
        (["{set}/manifest.json", "--json"], "suffix '.json'; expected one of"),
        (["nothing.npz", "--json"], "can't be read"),
        (["{other}"], "was trained on spaces"),
        (["nothing.npz"], "name a file with --out"),
        (["nothing.npz", "--against-solver"], "is no data set"),
    ],
)
def test_bad_arguments_of_predict_end_with_2(darcy, sets, capsys, arguments, message):
    words = [word.format(set=darcy[0], other=sets["p2"]) for word in arguments]
    rekrylov("predict", darcy[1], *words, code=2)
    assert message in capsys.readouterr().err


def test_a_checkpoint_that_is_none_ends_with_2(darcy, capsys):
    rekrylov("predict", darcy[0] / "nothing", darcy[0], code=2)
    assert "`rekrylov train` makes one" in capsys.readouterr().err


def test_inputs_of_different_length_are_refused(darcy):
    from dataclasses import replace

    task = replace(load(darcy[1], open_dataset(darcy[0])).operator.task, parameters=("mu",))
    with pytest.raises(TrainingError, match="numbers of samples are .'a': 2, 'mu': 3"):
        checked({"a": np.ones((2, 49)), "mu": np.ones(3)}, task)
    assert checked({"a": np.ones(49), "mu": 1}, task)["mu"].shape == (1, 1)


def test_paraview_reads_fluxes_by_cells_and_potentials_by_vertices(mixed, tmp_path):
    folder, checkpoint = mixed
    rekrylov("predict", checkpoint, folder, "--ids", "1,2", "--out", tmp_path / "u.vtkhdf")
    dataset = open_dataset(folder)
    grid = pyvista.read(tmp_path / "u-2.vtkhdf")
    row = int(np.flatnonzero(dataset.ids == 2)[0])
    np.testing.assert_allclose(grid.points[:, :2], dataset.mesh["points"])
    assert grid.area == pytest.approx(1.0)
    np.testing.assert_array_equal(grid.cell_data["p_true"], dataset.read("p", row))
    middles = np.asarray(dataset.mesh["points"])[dataset.mesh["cells"]].mean(axis=1)
    flux = dataset.function("sigma", row)(middles)
    np.testing.assert_allclose(grid.cell_data["sigma_true"][:, :2], flux, atol=1e-12)
    np.testing.assert_array_equal(grid.cell_data["sigma_true"][:, 2], 0)
    a = dataset.function("a", row)(np.asarray(dataset.mesh["points"]))[:, 0]
    np.testing.assert_allclose(grid.point_data["a"], a)
    space = dataset.spaces["RT1"]
    points, matrix = interpolation(space)
    affine = matrix @ (np.array([2.0, -1.0]) + points).ravel()  # RT1 holds c + x
    values = vtk_field(dataset.mesh, space, affine[None]).values[0]
    np.testing.assert_allclose(values[:, :2], [2.0, -1.0] + middles, atol=1e-12)
    np.testing.assert_array_equal(values[:, 2], 0)


def test_the_time_steps_of_a_file(sets, tmp_path):
    dataset = open_dataset(sets["p2"])
    points, space = np.asarray(dataset.spaces["p"]["points"]), dataset.spaces["p"]
    times, still = np.array([0.0, 0.5, 2.0]), points @ [1.0, 2.0]
    fields = {
        "u": vtk_field(dataset.mesh, space, np.outer(times, still)),
        "a": vtk_field(dataset.mesh, space, still[None]),
    }
    (tmp_path / "u.vtkhdf").write_bytes(vtkhdf(dataset.mesh, fields, times))
    reader = vtk.vtkHDFReader()
    reader.SetFileName(str(tmp_path / "u.vtkhdf"))
    reader.UpdateInformation()
    assert reader.GetNumberOfSteps() == 3
    for step, time in enumerate(times):
        reader.SetStep(step)
        reader.Update()
        grid = pyvista.wrap(reader.GetOutputDataObject(0))
        at = grid.points[:, :2] @ [1.0, 2.0]
        assert reader.GetTimeValue() == time
        np.testing.assert_allclose(grid.point_data["u"], time * at, atol=1e-6)
        np.testing.assert_allclose(grid.point_data["a"], at, atol=1e-6)
    with pytest.raises(ValueError, match="'b' has 2 steps; expected 1 or 3"):
        vtkhdf(dataset.mesh, {"b": VtkField(True, np.zeros((2, 16)))}, times)


@pytest.mark.parametrize(("kind", "gdim"), [("quadrilateral", 2), ("hexahedron", 3)])
def test_squares_and_bricks_are_not_twisted(tmp_path, kind, gdim):
    size = np.array([2.0, 1.0, 1.0])[:gdim]
    corners = size * np.array([[k >> axis & 1 for axis in range(gdim)] for k in range(2**gdim)])
    mesh = {"cell_type": kind, "gdim": gdim, "tdim": gdim, "points": corners}
    mesh["cells"] = np.arange(2**gdim)[None]
    (tmp_path / "m.vtkhdf").write_bytes(vtkhdf(mesh, {}))
    grid = pyvista.read(tmp_path / "m.vtkhdf")
    sizes = grid.compute_cell_sizes()
    assert abs(sizes["Area" if gdim == 2 else "Volume"][0]) == pytest.approx(2.0)


def test_the_network_is_timed_by_sample(darcy):
    dataset = open_dataset(darcy[0])
    operator, batches = load(darcy[1], dataset).operator, []
    known = operator.predict
    operator.predict = lambda inputs, batch_size: (
        batches.append((len(inputs["a"]), batch_size)) or known(inputs, batch_size)
    )
    assert milliseconds(operator, {"a": dataset[:3]["a"]}, 8) > 0
    assert batches == [(8, 8)] * 5


def test_the_rival_is_the_coarsest_mesh_that_is_no_worse(mixed, capsys):
    folder, checkpoint = mixed
    rekrylov("predict", checkpoint, folder, "--ids", "0-3", "--against-solver", "--json")
    found = json.loads(capsys.readouterr().out)["against_solver"]
    assert found["samples"] == 4 and found["stored"]["resolution"] == 6
    assert [entry["resolution"] for entry in found["tried"]] == list(
        range(2, 2 + len(found["tried"]))
    )
    error = found["network"]["error"]
    assert all(entry["error"] > error for entry in found["tried"][:-1])
    assert found["rival"]["error"] <= error and found["rival"]["ms"] > 0


def test_the_rival_on_the_same_mesh_finds_the_stored_solutions(mixed):
    from pipeline.dataset_folder import resolve
    from pipeline.stages.rival import _on, _Rival

    spec, _ = resolve(mixed[0], ".")
    dataset = open_dataset(mixed[0]).select([0, 3])
    coarse, fine = (_Rival(_on(spec, n), dataset, ["p", "sigma"]).error() for n in (2, 6))
    assert fine < 1e-6 < 1e-2 < coarse < 1


@pytest.mark.parametrize(
    ("example", "why"),
    [
        ("darcy-moving-hole", "a mesh of its own"),
        ("stokes", "the domain is curved"),
        ("darcy", None),
    ],
)
def test_meshes_that_cannot_be_coarsened_are_named(example, why):
    from pipeline.spec import load_spec
    from pipeline.stages.rival import _no_coarser

    found = _no_coarser(load_spec(EXAMPLES / f"{example}.yaml"))
    assert found is None if why is None else why in found


def test_coarser_meshes_are_counted_from_the_finest_level():
    from pipeline.spec import load_spec
    from pipeline.stages.rival import _coarser, _finest, _on

    spec = load_spec(EXAMPLES / "darcy.yaml", ["mesh.resolution=4", "mesh.levels=3"])
    assert _finest(spec) == 16
    assert list(_coarser(16)) == [2, 3, 4, 5, 6, 7, 8, 10, 12, 15]
    assert list(_coarser((4, 2))) == [(2, 1), (3, 2)]
    assert (_on(spec, 8).mesh.resolution, _on(spec, 8).mesh.levels) == (8, 1)
