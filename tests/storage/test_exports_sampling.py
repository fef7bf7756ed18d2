"""Functions on a grid are evaluated: polynomials of the space come out exactly."""

import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from l_shapes import make_l_shape
from synthetic import make_dataset

from meshes import SpaceName, space_tree
from storage import BadSelection, open_dataset
from storage.exports import FORMATS, ExportOptions
from storage.exports.grid_samples import GridSamples
from storage.exports.moments import Moments
from storage.exports.options import parse_resolution
from storage.exports.sampling import Evaluation, Grid
from storage.exports.sides import sides

# isort: split
from dolfinx import fem

from tests.meshes.space_cases import CELLS, GDIM, cube, shuffled, space

AT_65 = ExportOptions(resolution=(65,))


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    return {kind: open_dataset(make_dataset(root, kind, samples=10)) for kind in synthetic.KINDS}


@pytest.fixture(scope="module")
def l_shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    return {kind: make_l_shape(root, kind, samples=6) for kind in ("scalar", "displacement")}


def grid_of(tree, n):
    return Grid(tuple(np.linspace(0.0, 1.0, n + k) for k in range(tree["gdim"])))


def polynomial(x, degree):
    found = 1.0 + 0.0 * x[0]
    for k in range(len(x)):
        found = found + (k + 1.5) * x[k] - (degree > 1) * (k + 0.5) * x[k] * x[0]
    return found


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", [("P", 1), ("P", 2), ("P", 2, (2,)), ("DG", 1)])
def test_polynomials_are_exact(cell, name):
    name = SpaceName(*name)
    tree, gdim = shuffled(cube(cell)), GDIM[cell]
    V = space(tree, name)
    u, rows = fem.Function(V), max(1, int(np.prod(name.shape)))

    def expected(x):
        parts = [(k + 1) * polynomial(x[:gdim], name.degree) - k for k in range(rows)]
        return np.stack(parts) if name.shape else parts[0]

    u.interpolate(expected)
    points = grid_of(tree, 6).points
    evaluation = Evaluation(tree, {"V": space_tree(V)}, points)
    assert evaluation.inside.all()
    found = evaluation("V", u.x.array)
    wanted = np.reshape(expected(points.T), (rows, -1)).T
    assert np.abs(found - wanted).max() < 1e-12


@pytest.mark.parametrize(("cell", "family"), [("triangle", "RT"), ("tetrahedron", "N1curl")])
def test_piola_mapped_fields_are_exact(cell, family):
    tree, gdim = shuffled(cube(cell)), GDIM[cell]
    V = space(tree, SpaceName(family, 1))
    u = fem.Function(V)
    u.interpolate(lambda x: np.stack([np.full(x.shape[1], k - 0.5) for k in range(gdim)]))
    points = grid_of(tree, 5).points
    found = Evaluation(tree, {"V": space_tree(V)}, points)("V", u.x.array)
    assert np.abs(found - (np.arange(gdim) - 0.5)).max() < 1e-12


def test_blocks_of_points_are_joined_in_order(monkeypatch, sets):
    from storage.exports import sampling

    whole = next(iter(GridSamples(sets["mixed"], AT_65))).outputs
    monkeypatch.setattr(sampling, "_BLOCK", 100)
    parts = next(iter(GridSamples(sets["mixed"], AT_65))).outputs
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, rtol=0, atol=1e-14)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 19), st.integers(2, 19)),
    slope=st.tuples(*[st.floats(-1e3, 1e3)] * 3),
)
def test_affine_functions_on_any_grid(shape, slope):
    mesh = synthetic.square_mesh(5)
    grid = Grid(tuple(np.linspace(0.0, 1.0, n) for n in shape))
    affine = mesh["points"] @ slope[:2] + slope[2]
    found = Evaluation(mesh, {"p": synthetic.p1_space(mesh)}, grid.points)("p", affine)
    wanted = grid.axes[0][:, None] * slope[0] + grid.axes[1] * slope[1] + slope[2]
    assert np.abs(found.reshape(shape) - wanted).max() <= 1e-12 * max(1.0, np.abs(slope).max())


def test_at_nodes_the_values_are_the_coefficients(sets):
    samples = GridSamples(sets["scalar"], ExportOptions(resolution=(5, 5)))
    for sample in samples:
        for name, values in (sample.inputs | sample.outputs).items():
            stored = sets["scalar"].read(name, sample.row).reshape(5, 5)
            assert np.abs(values - stored).max() < 1e-13
    assert sample.row == 9 and not samples.has_outside


def test_vectors_and_cells(sets):
    dataset = sets["mixed"]
    samples = GridSamples(dataset, ExportOptions(resolution=(7, 9)))
    for sample in samples:
        for name in ("velocity", "pressure"):
            expected = dataset.function(name, sample.row)(samples.grid.points)
            shape = (1, 7, 9, 2) if name == "velocity" else (1, 7, 9)
            assert sample.outputs[name].shape == shape
            assert np.abs(sample.outputs[name].reshape(expected.shape) - expected).max() < 1e-13


def test_only_steps_that_count_and_their_times(sets):
    dataset = sets["time"]
    samples = GridSamples(dataset, ExportOptions(resolution=(5,)))
    part = samples.select(dataset.ids[[7, 2]])
    for k, row in enumerate((7, 2)):
        mask = dataset.read("times_mask", row)
        sample = list(part)[k]
        stored = dataset.read("u", row)[mask].reshape(-1, 5, 5)
        assert part.lengths[k] == mask.sum() and sample.row == k
        assert np.abs(sample.outputs["u"] - stored).max() < 1e-13
        np.testing.assert_array_equal(part.times(k), dataset.read("times", row)[mask])


def test_a_moving_mesh_is_evaluated_where_it_is(l_shapes):
    dataset = l_shapes["displacement"]
    samples = GridSamples(dataset, ExportOptions(resolution=(65,), outside=np.nan))
    assert samples.moving and samples.has_outside and samples.inputs == ["a"]
    insides = set()
    for row, sample in enumerate(samples):
        u = dataset.function("u", row)
        cells, _ = u.locate(samples.grid.points)
        inside = sample.inside.ravel()
        np.testing.assert_array_equal(inside, cells >= 0)
        found = sample.outputs["u"].ravel()
        assert np.isnan(found[~inside]).all() and not inside.all()
        assert np.abs(found[inside] - u(samples.grid.points[inside])[:, 0]).max() < 1e-13
        insides.add(inside.tobytes())
    assert len(insides) == 6


def test_outside_of_the_l_shape(l_shapes):
    dataset = l_shapes["scalar"]
    samples = GridSamples(dataset, ExportOptions(resolution=(17,), outside=np.nan))
    x, y = np.meshgrid(*samples.grid.axes, indexing="ij")
    sample = next(iter(samples))
    np.testing.assert_array_equal(sample.inside, (x <= 0.5) | (y <= 0.5))
    np.testing.assert_array_equal(np.isnan(sample.outputs["u"][0]), ~sample.inside)
    zero = next(iter(GridSamples(dataset, ExportOptions(resolution=(17,)))))
    assert (zero.inputs["a"][~zero.inside] == 0).all() and zero.inputs["a"][0, 0] > 0
    with pytest.raises(BadSelection, match="none of 4 grid points is in the domain"):
        Evaluation(dataset.mesh, {"p1": dataset.spaces["p1"]}, np.full((4, 2), 0.9))


def test_samples_are_read_a_few_at_a_time(sets, monkeypatch):
    from storage.exports import grid_samples

    once = [s.outputs["u"] for s in GridSamples(sets["scalar"], AT_65)]
    monkeypatch.setattr(grid_samples, "READ_BYTES", 1)
    again = list(GridSamples(sets["scalar"], AT_65))
    np.testing.assert_array_equal(np.stack(once), np.stack([s.outputs["u"] for s in again]))
    assert [s.row for s in again] == list(range(10))


def test_memory_does_not_grow_with_the_samples(tmp_path):
    """The peak of 40 samples is that of 8, though 32 more are 17 MB."""
    import tracemalloc

    dataset = open_dataset(make_dataset(tmp_path, "scalar", samples=40))
    peaks = {}
    for count in (8, 40):
        for name in ("well", "npz", "pdebench"):
            tracemalloc.start()
            part = dataset.select(dataset.ids[:count])
            options = ExportOptions(resolution=(182,))
            FORMATS[name](part, tmp_path / f"{name}-{count}", options)
            peaks[name, count] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    for name in ("well", "npz", "pdebench"):
        assert peaks[name, 40] < peaks[name, 8] + 2e6, peaks


def test_sides_with_and_without_dirichlet_data(sets):
    found = sides(sets["scalar"], ["u"])
    assert [(s.axis, s.end, s.kind, s.fixed) for s in found] == [
        (axis, end, "wall", ("u",)) for axis in (0, 1) for end in (0, 1)
    ]
    assert {s.kind for s in sides(sets["mixed"], ["velocity", "pressure"])} == {"open"}


@settings(max_examples=40, deadline=None)
@given(
    blocks=st.lists(
        st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=6), min_size=1, max_size=6
    )
)
def test_moments_in_pieces(blocks):
    moments, whole = Moments(), np.concatenate([np.array(b) for b in blocks])
    for block in blocks:
        moments.add("u", np.array(block), False, 0)
    found = moments.as_dict()
    scale = max(1.0, np.abs(whole).max())
    assert found["mean"]["u"] == pytest.approx(whole.mean(), abs=1e-12 * scale)
    assert found["std"]["u"] == pytest.approx(whole.std(), abs=1e-7 * scale)
    assert found["rms"]["u"] == pytest.approx(np.sqrt((whole**2).mean()), abs=1e-9 * scale)
    assert found["mean_delta"] == {}


def test_what_cannot_be_chosen_is_named(sets):
    dataset = sets["scalar"]
    with pytest.raises(BadSelection, match=r"field 'v': scalar-0123456789 has \['a', 'u'\]"):
        GridSamples(dataset, ExportOptions(fields=("v",)))
    with pytest.raises(BadSelection, match="no sample is chosen"):
        GridSamples(dataset.select([]), ExportOptions())
    with pytest.raises(BadSelection, match="no grid is stored; name a resolution"):
        GridSamples(dataset, ExportOptions())
    with pytest.raises(BadSelection, match=r"resolution \(4, 4, 4\): the mesh has 2 dimensions"):
        GridSamples(dataset, ExportOptions(resolution=(4, 4, 4)))
    assert parse_resolution("64x32") == (64, 32)
    for text in ("64x", "1", "a", "3x3x3x3", "-4"):
        with pytest.raises(BadSelection, match="expected points per direction"):
            parse_resolution(text)
