"""Morphed holes: exact circles, fixed outer boundaries, and no inverted cell in the good range."""

import meshes  # isort: skip
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshes import (
    Annulus,
    ChannelCylinder,
    MeshError,
    PerforatedPlate,
    check_quality,
    hole_morph,
    mesh_tree,
)
from meshes.morph import STEEPEST, morph_strain

# domain, name of the hole, distance to the nearest other boundary
CASES = {
    "plate": (PerforatedPlate(0.1), "hole", 0.5),
    "plate, fine at the hole": (PerforatedPlate(0.1, hole_size=0.03), "hole", 0.5),
    "quadrilaterals": (PerforatedPlate(0.1, cell="quadrilateral"), "hole", 0.5),
    "channel": (ChannelCylinder(0.06), "cylinder", 0.2),
    "annulus": (Annulus(0.15), "inner", 1.0),
}


def polygon_area(points, edges):
    """Area within closed polygons of undirected edges around their mean, star-shaped."""
    centre = points[np.unique(edges)].mean(axis=0)
    a, b = points[edges[:, 0]] - centre, points[edges[:, 1]] - centre
    return np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=60, deadline=None)
@given(
    angle=st.floats(0, 2 * np.pi),
    strain=st.floats(0, 0.75),
    share=st.floats(0, 1),
    shrink=st.floats(0.4, 1),
    grow=st.booleans(),
)
def test_good_range(case, angle, strain, share, shrink, grow):
    domain, name, outer = CASES[case]
    tree = mesh_tree(domain)
    ((centre0, radius0),) = domain.circles[name]
    budget = strain * (outer - radius0) / STEEPEST
    growth = share * budget if grow else (shrink - 1) * radius0
    shift = budget - max(growth, 0.0)
    centre = (centre0[0] + shift * np.cos(angle), centre0[1] + shift * np.sin(angle))
    radius = radius0 + growth
    assert morph_strain(centre0, radius0, centre, radius, outer) == pytest.approx(strain, abs=1e-9)
    points = tree["points"]
    u = hole_morph(points, centre0, radius0, centre, radius, outer)
    check_quality(points + u, tree["cells"], tree["cell_type"], points)

    tags = tree["facet_tags"]
    edges = tags["vertices"][tags["values"] == tags["names"][name]]
    circle = np.unique(edges)
    off = np.hypot(*(points + u - centre)[circle].T) - radius
    assert np.abs(off).max() < 1e-12
    assert not u[np.setdiff1d(tags["vertices"], circle)].any()
    scale = (radius / radius0) ** 2
    area = polygon_area(points + u, edges)
    assert area == pytest.approx(scale * polygon_area(points, edges), rel=1e-10)


def test_the_map_is_smooth_and_folds_where_it_says():
    """Along the line through the moving direction the map stays monotone up to strain 1."""
    line = np.c_[np.linspace(0.2, 1.0, 4001), np.zeros(4001)]
    for strain in (0.5, 0.99):
        u = hole_morph(line, (0, 0), 0.2, (strain * 0.8 / 1.5, 0), 0.2, 1.0)
        x = line[:, 0] + u[:, 0]
        slope = np.diff(x) / np.diff(line[:, 0])
        assert slope.min() == pytest.approx(1 - strain, abs=1e-3)
        assert np.abs(np.diff(slope)).max() < 1e-2


def test_an_inverted_cell_is_found_with_its_place():
    """Coarse cells invert before the map folds: check_quality says where."""
    domain = Annulus(0.9)
    tree = mesh_tree(domain)
    points, found = tree["points"], []
    for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False):
        shift = 0.98 / 1.5 * 0.5
        centre = (shift * np.cos(angle), shift * np.sin(angle))
        u = hole_morph(points, (0, 0), 0.5, centre, 0.5, 1.0)
        try:
            check_quality(points + 1.6 * u, tree["cells"], "triangle", points)
        except MeshError as error:
            found.append(str(error))
    assert found and all("is inverted by the displacement" in text for text in found)


@pytest.mark.parametrize(
    ("centre", "radius", "outer", "match"),
    [
        ((0.4, 0.0), 0.2, 0.5, "folds .strain 2"),
        ((0.0, 0.0), 0.45, 0.5, "folds"),
        ((0.0, 0.0), -0.1, 0.5, "positive new radius"),
        ((0.0, 0.0), 0.1, 0.2, "old radius < outer"),
    ],
)
def test_impossible_morphs_are_refused(centre, radius, outer, match):
    with pytest.raises(MeshError, match=match):
        hole_morph(np.array([[0.3, 0.0]]), (0.0, 0.0), 0.2, centre, radius, outer)


def test_exports():
    assert meshes.hole_morph is hole_morph
