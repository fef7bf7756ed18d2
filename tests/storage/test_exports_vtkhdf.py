"""VTKHDF files of samples, read by VTK: quadratic cells, time steps, moved meshes."""

import h5py
import numpy as np
import pytest
import pyvista
import vtk
from synthetic import make_dataset

from meshes import SpaceName, space_tree
from storage import BadSelection, open_dataset
from storage.exports import FORMATS, ExportOptions
from storage.vtkhdf import vtk_cells, vtk_field, vtkhdf

# isort: split
from dolfinx import fem

from tests.meshes.space_cases import CELLS, GDIM, cube, random_reference, shuffled, space


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    kinds = ("scalar", "mixed", "time", "displacement")
    return {kind: open_dataset(make_dataset(root, kind, samples=6)) for kind in kinds}


def read(path, step=0):
    reader = vtk.vtkHDFReader()
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    reader.SetStep(step)
    reader.Update()
    return reader, pyvista.wrap(reader.GetOutputDataObject(0))


@pytest.mark.parametrize("cell", CELLS)
def test_quadratic_cells_hold_p2_exactly(cell, tmp_path):
    tree, gdim = shuffled(cube(cell)), GDIM[cell]
    V = space(tree, SpaceName("P", 2))
    u = fem.Function(V)
    u.interpolate(lambda x: 1 + x[0] ** 2 - 2 * x[gdim - 1] * x[0] + x[gdim - 1])
    table, cells = space_tree(V), vtk_cells(tree, quadratic=True)
    fields = {"u": vtk_field(tree, table, u.x.array[None], cells)}
    (tmp_path / "u.vtkhdf").write_bytes(vtkhdf(tree, fields, None, cells, {"licence": "CC0"}))
    _, grid = read(tmp_path / "u.vtkhdf")
    assert grid.n_points == V.dofmap.index_map.size_global == len(np.unique(grid.points, axis=0))
    x = np.asarray(grid.points, dtype=np.float64)
    at_nodes = 1 + x[:, 0] ** 2 - 2 * x[:, gdim - 1] * x[:, 0] + x[:, gdim - 1]
    np.testing.assert_allclose(grid.point_data["u"], at_nodes, atol=1e-6)
    rng = np.random.default_rng(2)  # between the nodes: VTK's own shape functions
    X, weights = random_reference(cell, 5, rng), np.zeros(cells.cells.shape[1])
    for number in rng.integers(grid.n_cells, size=4):
        for at in X:
            kind, place, sub = grid.GetCell(int(number)), [0.0] * 3, vtk.reference(0)
            kind.EvaluateLocation(sub, [*at, *[0.0] * (3 - gdim)], place, weights)
            ids = [kind.GetPointId(k) for k in range(kind.GetNumberOfPoints())]
            found = weights @ grid.point_data["u"][ids]
            wanted = 1 + place[0] ** 2 - 2 * place[gdim - 1] * place[0] + place[gdim - 1]
            assert found == pytest.approx(wanted, abs=1e-5)
    with h5py.File(tmp_path / "u.vtkhdf") as file:
        assert file.attrs["licence"] == "CC0"


def test_samples_as_a_series(sets, tmp_path):
    dataset = sets["mixed"]
    FORMATS["vtkhdf"](dataset, tmp_path / "v", ExportOptions())
    names = sorted(path.name for path in (tmp_path / "v").glob("*.vtkhdf"))
    assert names == [f"mixed-{i}.vtkhdf" for i in range(6)]
    _, grid = read(tmp_path / "v" / "mixed-4.vtkhdf")
    np.testing.assert_allclose(grid.point_data["a"], dataset.read("a", 4), rtol=1e-6)
    velocity = dataset.read("velocity", 4).reshape(-1, 2)
    np.testing.assert_allclose(grid.point_data["velocity"][:, :2], velocity, atol=1e-6)
    np.testing.assert_allclose(grid.cell_data["pressure"], dataset.read("pressure", 4), rtol=1e-6)
    with h5py.File(tmp_path / "v" / "mixed-4.vtkhdf") as file:
        assert file.attrs["sample_id"] == "4" and file.attrs["data_key"]


def test_steps_that_count(sets, tmp_path):
    dataset = sets["time"]
    one = dataset.select([5])
    FORMATS["vtkhdf"](one, tmp_path / "s.vtkhdf", ExportOptions())
    mask = one.read("times_mask", 0)
    for step in range(mask.sum()):
        reader, grid = read(tmp_path / "s.vtkhdf", step)
        assert reader.GetNumberOfSteps() == mask.sum()
        assert reader.GetTimeValue() == one.read("times", 0)[step]
        np.testing.assert_allclose(grid.point_data["u"], one.read("u", 0)[step], atol=1e-7)


def test_a_moved_mesh(sets, tmp_path):
    one = sets["displacement"].select([3])
    FORMATS["vtkhdf"](one, tmp_path / "m.vtkhdf", ExportOptions(fields=("u",)))
    _, grid = read(tmp_path / "m.vtkhdf")
    moves = one.read("displacement", 0).reshape(-1, 2)
    np.testing.assert_allclose(grid.points[:, :2], one.mesh["points"] + moves, atol=1e-7)
    assert np.abs(moves).max() > 1e-3 and grid.point_data.keys() == ["u"]


def test_one_file_holds_one_sample(sets, tmp_path):
    with pytest.raises(BadSelection, match="a file holds one sample, 6 are chosen"):
        FORMATS["vtkhdf"](sets["scalar"], tmp_path / "s.vtkhdf", ExportOptions())
    assert list(tmp_path.iterdir()) == []
