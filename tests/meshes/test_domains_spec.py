"""The spec's domains: every one builds, says what it has before meshing, and refuses mistakes."""

import subprocess
import sys

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from meshes import MeshError, check_quality, tag_names
from meshes.morph import STEEPEST, morph_strain
from meshes.quality import cell_volumes
from pipeline.domains import DomainSpec
from pipeline.models import identity

ADAPTER = TypeAdapter(DomainSpec)
MORPH = {"x": {"low": 0.45, "high": 0.55}, "radius": {"low": 0.15, "high": 0.25}}
EVERY = [
    {"domain": "unit_interval", "resolution": 4},
    {"domain": "unit_square", "resolution": 3, "cell": "quadrilateral"},
    {"domain": "rectangle", "resolution": [2, 3], "high": [2, 1], "diagonal": "crossed"},
    {"domain": "box", "resolution": [2, 1, 1], "cell": "hexahedron"},
    {"domain": "l_shape", "resolution": 2},
    {"domain": "slotted_block", "resolution": 6},
    {"domain": "backward_step", "resolution": 4, "outlet": 3},
    {"domain": "disk", "size": 0.4},
    {"domain": "annulus", "size": 0.25, "cell": "quadrilateral"},
    {"domain": "perforated_plate", "size": 0.15, "morph": MORPH},
    {"domain": "channel_cylinder", "size": 0.1},
]


def spec(**values):
    return ADAPTER.validate_python(values)


@pytest.mark.parametrize("values", EVERY, ids=lambda v: v["domain"])
def test_every_domain(values):
    coarse, fine = spec(**values, levels=2).mesh_levels()
    made = spec(**values)
    assert (made.tdim, made.gdim) == (coarse["tdim"], coarse["gdim"])
    assert made.cell_type == coarse["cell_type"]
    assert (*made.boundaries, "boundary") == tag_names(coarse)
    assert made.identity_extra() == {}
    volumes = cell_volumes(fine["points"], fine["cells"], fine["cell_type"])
    sides = {"triangle": 2, "tetrahedron": 6}.get(fine["cell_type"], 1)
    h = (volumes.mean() * sides) ** (1 / fine["tdim"])
    assert 0.4 < h / spec(**values, levels=2).mesh_size < 1.5
    assert spec(**values, levels=2).mesh_size == made.mesh_size / 2


def test_snap_and_grid():
    made = spec(domain="disk", size=0.5, levels=2, snap=True, grid=[5, 6])
    assert made.mesh_levels()[1]["nested"] is False
    assert made.build().grid(made.grid)[0] == (5, 6)


def test_evaluation_grid():
    made = spec(domain="unit_square", resolution=3, diagonal="crossed", levels=3)
    shape, points, inside = made.evaluation_grid(made.mesh_levels()[-1])
    assert shape == (13, 13) and inside.all()
    assert np.array_equal(points[12], [0, 1])
    made = spec(domain="l_shape", resolution=2, grid=[5, 7])
    shape, _, inside = made.evaluation_grid(made.mesh_levels()[-1])
    assert shape == (5, 7) and inside.sum() == 35 - 2 * 3


def test_reading_a_spec_starts_no_mpi():
    code = (
        "import sys\nfrom pydantic import TypeAdapter\nfrom pipeline.domains import DomainSpec\n"
        f"made = TypeAdapter(DomainSpec).validate_python({EVERY[9]!r})\n"
        "made.mesh_size, made.boundaries, made.morph.names\n"
        "assert not {'meshes', 'mpi4py', 'dolfinx', 'gmsh'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"domain": "square"}, "unit_interval"),
        ({"domain": "unit_square", "resolution": 4, "size": 1}, "Extra inputs"),
        ({"domain": "unit_square", "resolution": 4, "levels": 0}, "greater than or equal to 1"),
        ({"domain": "unit_square", "resolution": 4, "grid": [4]}, "got 1 numbers; allowed: 2"),
        ({"domain": "rectangle", "resolution": [1, 1], "low": [1, 0]}, "low < high"),
        ({"domain": "slotted_block", "resolution": 4, "centre": 0.01}, "within 0 < x < 1"),
        ({"domain": "backward_step", "resolution": 4, "step": 1}, "below height = 1"),
        ({"domain": "annulus", "size": 0.1, "inner": 1}, "below outer = 1"),
        (
            {"domain": "perforated_plate", "size": 0.1, "holes": [{"x": 0, "y": 0, "radius": 1}]},
            "holes.0: radius 1 at",
        ),
        (
            {
                "domain": "perforated_plate",
                "size": 0.1,
                "holes": [{"x": x, "y": 0.5, "radius": 0.15} for x in (0.3, 0.5)],
            },
            "holes.1: touches",
        ),
        (
            {
                "domain": "perforated_plate",
                "size": 0.1,
                "morph": {"x": {"low": 0.3, "high": 0.35}},
                "holes": [{"x": x, "y": x, "radius": 0.1} for x in (0.3, 0.7)],
            },
            "morph: got 2 holes; allowed: one",
        ),
        ({"domain": "channel_cylinder", "size": 0.1, "radius": 0.2}, "radius: radius 0.2 at"),
        ({"domain": "perforated_plate", "size": 0.1, "morph": {}}, "nothing varies"),
        (
            {"domain": "perforated_plate", "size": 0.1, "morph": {"x": {"low": 1, "high": 0}}},
            "low ≤ high",
        ),
        (
            {"domain": "perforated_plate", "size": 0.1, "morph": {"x": {"low": 0.3, "high": 0.5}}},
            "shift . growth ≤ 0.15",
        ),
        (
            {
                "domain": "perforated_plate",
                "size": 0.1,
                "morph": {"radius": {"low": 0.05, "high": 0.2}},
            },
            "radius ≥ 0.08",
        ),
    ],
)
def test_mistakes(values, match):
    with pytest.raises(ValidationError, match=match):
        spec(**values)


def test_morph():
    made = spec(**EVERY[9])
    assert made.morph.names == ("x", "radius")
    assert made.morph.ranges == ((0.45, 0.55), (0.15, 0.25))
    tree = made.mesh_levels()[-1]
    points = tree["points"]
    for values in np.stack(np.meshgrid(*made.morph.ranges), -1).reshape(-1, 2):
        u = made.displacement(points, values)
        check_quality(points + u, tree["cells"], "triangle", points)
        tags = tree["facet_tags"]
        hole = np.unique(tags["vertices"][tags["values"] == tags["names"]["hole"]])
        off = np.hypot(*(points + u - [values[0], 0.5])[hole].T) - values[1]
        assert np.abs(off).max() < 1e-12
    with pytest.raises(ValueError, match="got 3 values for the parameters"):
        made.displacement(points, np.zeros(3))
    with pytest.raises(MeshError, match="folds"):
        made.displacement(points, np.array([0.9, 0.2]))


def test_the_spec_allows_what_the_map_calls_good():
    """The bound is written twice, as reading a spec must not import meshes."""
    from pipeline.domain_models import _STRAIN

    most = _STRAIN / STEEPEST * (0.5 - 0.2)
    assert morph_strain((0.5, 0.5), 0.2, (0.5 + most, 0.5), 0.2, 0.5) == pytest.approx(_STRAIN)
    law = {"low": 0.5 - most + 1e-9, "high": 0.5 + most - 1e-9}
    spec(domain="perforated_plate", size=0.1, morph={"x": law})
    with pytest.raises(ValidationError, match="too far"):
        spec(domain="perforated_plate", size=0.1, morph={"x": law | {"high": 0.5 + most + 1e-6}})


def test_a_file_enters_the_identity_with_its_content(tmp_path):
    from meshes.gmsh_model import gmsh_session
    from tests.meshes.test_domains_user import save, two_squares

    with gmsh_session() as gmsh:
        two_squares(gmsh)
        path = save(gmsh, tmp_path / "two.msh")
    made = spec(domain="file", path=str(path))
    assert (made.tdim, made.boundaries, made.mesh_size, made.cell_type) == (2, None, None, None)
    assert identity(made)["path"] is None  # its content counts, not its place
    before = made.identity_extra()
    assert len(before["sha256"]) == 64
    assert len(made.mesh_levels()[0]["cells"]) > 4
    path.write_bytes(path.read_bytes() + b"\n")
    assert made.identity_extra() != before
    with pytest.raises(MeshError, match="expected dimension 3"):
        spec(domain="file", path=str(path), dimension=3).mesh_levels()
    with pytest.raises(ValueError, match="can't be read"):
        spec(domain="file", path=str(tmp_path / "none.msh")).identity_extra()
