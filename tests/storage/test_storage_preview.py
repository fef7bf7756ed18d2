"""Pictures of real samples: every dimension, vectors, time, geometry of their own."""

import meshes  # noqa: F401  (it fixes the order of the imports)

# isort: split
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pipeline import stages
from pipeline.spec import parse_spec
from storage import DataFolder, open_dataset
from storage.pictures import preview
from storage.pictures.drawing import arrows, colour_limits
from storage.pictures.preview import samples_picture

LAW = {"law": "lognormal"}
SQUARE = {"domain": "unit_square", "resolution": 6}
CASES = {
    "line": (
        {"family": "poisson", "source": {"law": "gaussian"}},
        {"domain": "unit_interval", "resolution": 8},
    ),
    "square": (
        {"family": "darcy", "coefficient": LAW, "output_space": {"family": "P", "degree": 2}},
        SQUARE,
    ),
    "quadrilaterals": ({"family": "darcy", "coefficient": LAW}, SQUARE | {"cell": "quadrilateral"}),
    "box": ({"family": "darcy", "coefficient": LAW}, {"domain": "box", "resolution": [3, 3, 3]}),
    "vectors": ({"family": "curl_curl", "reluctivity": LAW}, SQUARE),
    "mixed": ({"family": "darcy_mixed", "coefficient": LAW}, SQUARE),
    "time": (
        {
            "family": "heat",
            "diffusivity": LAW,
            "start": {"law": "gaussian"},
            "end": 0.1,
            "steps": 2,
        },
        SQUARE,
    ),
    "long": (
        {"family": "darcy", "coefficient": LAW},
        {"domain": "rectangle", "high": [5, 1], "resolution": [20, 4]},
    ),
    "moving": (
        {"family": "poisson"},
        {"domain": "perforated_plate", "size": 0.2, "morph": {"radius": {"low": 0.1, "high": 0.2}}},
    ),
}


def made(name, root, problem, mesh):
    spec = parse_spec({"name": name, "samples": 3, "problem": problem, "mesh": mesh})
    stages.solve(spec, root, quiet=True)
    folder = DataFolder(stages.sample(spec, root))
    stages.finalise(spec, folder)
    return open_dataset(folder.path)


@pytest.fixture
def texts(monkeypatch):
    """All texts of the figures that are drawn."""
    seen, real = [], preview._png

    def spy(figure):
        labels = [ax.title for ax in figure.axes] + [ax.yaxis.label for ax in figure.axes]
        labels += [ax.xaxis.label for ax in figure.axes]
        seen.extend(label.get_text() for label in labels if label.get_text())
        return real(figure)

    monkeypatch.setattr(preview, "_png", spy)
    return seen


@pytest.mark.parametrize("name", CASES)
def test_every_field_is_drawn(name, tmp_path, texts):
    dataset = made(name, tmp_path, *CASES[name])
    texts.clear()
    path = samples_picture(dataset, [0, 1, 2], tmp_path / "picture.png")
    image = Image.open(path)
    assert image.mode == "P" and len(np.unique(np.asarray(image))) > 8
    samples = [text for text in texts if text.startswith("sample ")]
    assert [text.split("\n")[0] for text in samples] == ["sample 0", "sample 1", "sample 2"]
    drawn = [name for name in (*dataset.inputs, *dataset.outputs) if name != "displacement"]
    assert len(texts) == 3 + len(drawn)
    if name == "time":
        assert all("\nt = " in text for text in samples)
    if name == "moving":
        assert all("\nhole_radius = 0.1" in text for text in samples)
    if name == "box":
        assert any("x–y plane" in text.replace("\n", " ") for text in texts)
    if name == "long":
        width, height = image.size
        assert height < width, "samples are stacked"


def shown_field(values, n=1):
    """A field of one sample on a square of 2n² triangles, constant in each."""
    from meshes import SpaceName, space_tree
    from storage.pictures.triangles import drawing
    from tests.meshes.space_cases import cube, space

    tree = cube("triangle", n)
    how = drawing(tree, space_tree(space(tree, SpaceName("DG", 0))))
    return preview._Shown(how, how.values(np.asarray(values, dtype=float)), None)


def line_of(fields, stacked=False):
    figure = Figure()
    axes = figure.subplots(1, len(fields), squeeze=False)[0]
    preview._draw_line(figure, axes, fields, "viridis", "u", stacked)
    bars = [ax for ax in figure.axes if ax not in axes]
    limits = [ax.collections[0].get_clim() for ax in axes]
    return bars, limits


def test_samples_share_a_scale_unless_some_would_be_invisible():
    alike = [shown_field([0, 1]), shown_field([1, 2])]
    bars, limits = line_of(alike)
    assert len(bars) == 1 and limits == [(0, 2), (0, 2)]
    unlike = [shown_field([0, 1]), shown_field([10, 20])]
    bars, limits = line_of(unlike)
    assert len(bars) == 2 and limits == [(0, 1), (10, 20)]
    assert len(line_of(unlike, stacked=True)[0]) == 1


def test_rare_values_do_not_set_the_scale():
    values = np.r_[np.linspace(0.0, 1.0, 1000), 50.0]
    limits, extend = colour_limits(values)
    assert (limits.vmin, extend) == (0.0, "max") and limits.vmax < 1.001
    limits, extend = colour_limits(np.full(5, 3.0))
    assert limits.vmin < 3.0 < limits.vmax and extend == "neither"


def test_arrows_point_where_the_vector_does():
    how = shown_field(np.zeros(2 * 40**2), 40).how
    angle = np.deg2rad(30)
    vectors = np.tile([np.cos(angle), np.sin(angle)], (len(how.points), 1))
    vectors[how.points[:, 0] < 0.3] *= 1e-3
    ax = Figure().subplots()
    arrows(ax, how, vectors, 1.0)
    (quiver,) = ax.collections
    assert len(quiver.U) == 8 * 11, "where the vector is nearly zero there is none"
    assert np.allclose(np.arctan2(quiver.V, quiver.U), angle)


def test_values_on_the_boundary_alone_are_drawn_there(tmp_path):
    problem = {"family": "poisson", "boundary": {"law": "chebyshev", "over": "edges", "degree": 3}}
    dataset = made("edges", tmp_path, problem, SQUARE)
    (g,) = dataset.inputs
    for shown in preview._samples(dataset, g, [0, 2]):
        x = shown.how.points
        assert shown.how.triangles.shape[1] == 2
        assert ((np.abs(x) < 1e-12) | (np.abs(x - 1) < 1e-12)).any(axis=1).all()
    assert preview._samples(dataset, "u", [0])[0].how.triangles.shape[1] == 3
