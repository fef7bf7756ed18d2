"""Every domain is what it says: area, names, cells, grid; bad meshes are refused with the place."""

import meshes  # isort: skip
import numpy as np
import pytest

from meshes import (
    Annulus,
    BackwardStep,
    Box,
    ChannelCylinder,
    Disk,
    Interval,
    LShape,
    MeshError,
    PerforatedPlate,
    Rectangle,
    SlottedBlock,
    UnitSquare,
    check_quality,
    mesh_tree,
    tag_names,
)
from meshes.quality import cell_volumes
from meshes.rows import row_keys
from meshes.tagged import boundary_facets

QUAD, HEX = "quadrilateral", "hexahedron"
TWO_HOLES = (((0.3, 0.3), 0.1), ((0.7, 0.6), 0.15))
# domain, its volume, the length (area, count) of each name; None where a circle is a polygon
STRAIGHT = [
    (Interval(5, -1.0, 2.0), 3.0, {"left": 1, "right": 1}),
    (UnitSquare(4), 1.0, {"left": 1, "right": 1, "bottom": 1, "top": 1}),
    (UnitSquare(3, "crossed"), 1.0, {"left": 1, "right": 1, "bottom": 1, "top": 1}),
    (UnitSquare(3, cell=QUAD), 1.0, {"left": 1, "right": 1, "bottom": 1, "top": 1}),
    (Rectangle((3, 2), (-1, 0), (2, 1)), 3.0, {"left": 1, "right": 1, "bottom": 3, "top": 3}),
    (
        Box((2, 1, 2), (0, 0, 0), (1, 2, 3)),
        6.0,
        {"left": 6, "right": 6, "front": 3, "back": 3, "bottom": 2, "top": 2},
    ),
    (
        Box((2, 1, 2), (0, 0, 0), (1, 2, 3), HEX),
        6.0,
        {"left": 6, "right": 6, "front": 3, "back": 3, "bottom": 2, "top": 2},
    ),
    (LShape(3), 3.0, {"outer": 6, "reentrant": 2}),
    (LShape(2, QUAD), 3.0, {"outer": 6, "reentrant": 2}),
    (
        SlottedBlock(8),
        0.975,
        {"left": 1, "right": 1, "bottom": 1, "top": 0.95, "slot": 1.05},
    ),
    (BackwardStep(4, 1.0, 3.0, cell=QUAD), 3.5, {"inlet": 0.5, "outlet": 1, "walls": 8.5}),
]
CURVED = [
    (Disk(0.3), np.pi, {"outer": 2 * np.pi}),
    (Disk(0.3, (1.0, 2.0), 2.0, QUAD), 4 * np.pi, {"outer": 4 * np.pi}),
    (Annulus(0.15), 0.75 * np.pi, {"inner": np.pi, "outer": 2 * np.pi}),
    (
        PerforatedPlate(0.1, TWO_HOLES, hole_size=0.05),
        1 - 0.0325 * np.pi,
        {"left": 1, "right": 1, "bottom": 1, "top": 1, "hole": 0.5 * np.pi},
    ),
    (
        ChannelCylinder(0.08, cell=QUAD),
        2.2 * 0.41 - 0.0025 * np.pi,
        {"inlet": 0.41, "outlet": 0.41, "walls": 4.4, "cylinder": 0.1 * np.pi},
    ),
]


def names_of(case):
    domain = case[0]
    return f"{type(domain).__name__}-{getattr(domain, 'cell', 'interval')}"


def facet_measures(tree):
    """Length or area of each stored facet."""
    x = tree["points"][tree["facet_tags"]["vertices"]]
    if x.shape[1] == 1:
        return np.ones(len(x))
    if x.shape[1] == 2:
        return np.linalg.norm(x[:, 1] - x[:, 0], axis=1)
    halves = [(0, 1, 2)] if x.shape[1] == 3 else [(0, 1, 2), (1, 2, 3)]
    areas = [np.cross(x[:, b] - x[:, a], x[:, c] - x[:, a]) for a, b, c in halves]
    return sum(np.linalg.norm(area, axis=1) / 2 for area in areas)


def check_names(tree, expected, tolerance):
    tags, sizes = tree["facet_tags"], facet_measures(tree)
    assert tag_names(tree) == (*expected, "boundary")
    for name, length in expected.items():
        found = sizes[tags["values"] == tags["names"][name]].sum()
        assert found == pytest.approx(length, rel=tolerance), name


def check_fully_named(tree):
    exterior = np.sort(boundary_facets(tree["cells"], tree["cell_type"]), axis=1)
    named = np.sort(tree["facet_tags"]["vertices"], axis=1)
    keys = row_keys(np.concatenate([exterior, named]))
    assert np.array_equal(np.sort(keys[: len(exterior)]), np.sort(keys[len(exterior) :]))


@pytest.mark.parametrize("case", STRAIGHT, ids=names_of)
def test_straight_domain(case):
    domain, volume, names = case
    tree = mesh_tree(domain)
    found = cell_volumes(tree["points"], tree["cells"], tree["cell_type"]).sum()
    assert found == pytest.approx(volume, rel=1e-13)
    check_names(tree, names, 1e-13)
    check_fully_named(tree)


@pytest.mark.parametrize("case", CURVED, ids=names_of)
def test_curved_domain(case):
    domain, volume, names = case
    tree = mesh_tree(domain)
    found = cell_volumes(tree["points"], tree["cells"], tree["cell_type"]).sum()
    assert found == pytest.approx(volume, rel=0.03)
    check_names(tree, names, 0.03)
    check_fully_named(tree)
    for name, circles in domain.circles.items():
        rows = tree["facet_tags"]["vertices"][
            tree["facet_tags"]["values"] == tree["facet_tags"]["names"][name]
        ]
        off = [np.abs(np.hypot(*(tree["points"][rows] - c).T) - r) for c, r in circles]
        # gmsh's quadrilaterals are halved triangles, with the middle put back on the circle
        assert np.min(off, axis=0).max() < 1e-9


def test_gmsh_makes_the_same_mesh_again():
    from meshes.gmsh_domains import _meshed

    first = mesh_tree(Annulus(0.2))
    _meshed.cache_clear()
    again = mesh_tree(Annulus(0.2))
    assert np.array_equal(first["points"], again["points"])
    assert np.array_equal(first["cells"], again["cells"])


def test_a_tree_may_be_changed_without_harm():
    tree = mesh_tree(Annulus(0.2))
    tree["points"] += 1
    assert np.abs(mesh_tree(Annulus(0.2))["points"]).max() < 1.01


def test_without_gmsh_it_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "gmsh", None)
    with pytest.raises(MeshError, match="pip install gmsh.*apt-get install libgl1 libglu1-mesa"):
        Disk(0.777).mesh()


@pytest.mark.parametrize("case", [*STRAIGHT[:7]], ids=names_of)
def test_grid_of_a_box_is_all_inside(case):
    shape, points, inside = case[0].grid()
    assert inside.all() and points.shape == (np.prod(shape), len(shape))
    odd = tuple(7 + i for i in range(len(shape)))
    shape, points, inside = case[0].grid(odd)
    assert shape == odd and inside.all()
    assert np.array_equal(points.max(axis=0), mesh_tree(case[0])["points"].max(axis=0))


def test_default_grid_is_that_of_the_squares():
    shape, points, _ = UnitSquare(8, "crossed").grid()
    side = np.linspace(0, 1, 9)
    assert shape == (9, 9)
    assert np.array_equal(
        points, np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    )


def test_grid_masks_what_is_cut_out():
    _, points, inside = LShape(4).grid((17, 17))
    assert np.array_equal(inside, ~((points[:, 0] > 0) & (points[:, 1] < 0)))
    plate = PerforatedPlate(0.1)
    _, points, inside = plate.grid((41, 41))
    distance = np.hypot(*(points - 0.5).T)
    assert inside[distance > 0.2].all() and not inside[distance < 0.19].any()


def test_grid_of_a_wrong_shape_is_refused():
    with pytest.raises(MeshError, match=r"shape \(4,\).*2 numbers"):
        UnitSquare(2).grid([4])


def test_a_grid_inside_can_be_evaluated():
    from mpi4py import MPI

    domain = Disk(0.4, cell=QUAD)
    mesh = meshes.mesh_from_tree(MPI.COMM_SELF, mesh_tree(domain))
    V = meshes.make_space(mesh, meshes.SpaceName("P", 1))
    shape, points, inside = domain.grid((33, 33))
    E = meshes.evaluation_matrix(V, points[inside])
    coordinates = V.tabulate_dof_coordinates()[:, :2]
    assert np.abs(E @ coordinates[:, 0] - points[inside][:, 0]).max() < 1e-9


SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("points", "cells", "cell", "match"),
    [
        (
            SQUARE,
            [[0, 1, 2], [1, 1, 2]],
            "triangle",
            r"cell 1 with .*\(1, 0\), .*degenerate",
        ),
        ([[0, 0], [1, 0], [2, 0]], [[0, 1, 2]], "triangle", "cell 0 .*degenerate"),
        (SQUARE, [[0, 1, 3, 2]], QUAD, "cell 0 .*inverted at a corner.*order the vertices"),
        (SQUARE, [[0, 1, 2], [1, 2, 3], [2, 0, 1]], "triangle", "cell 2 .*same vertices as cell 0"),
        (SQUARE, [[0, 1, 4]], "triangle", r"cell 0 has vertices \[0, 1, 4\]"),
        ([[0, 0], [1, np.nan], [0, 1]], [[0, 1, 2]], "triangle", r"vertex 1 is at \(1, nan\)"),
        (np.c_[SQUARE, SQUARE[:, 0]], [[0, 1, 2]], "triangle", "dimension 2 in 3 dimensions"),
        (SQUARE, [[0, 1, 2]], "prism", "supported: interval"),
        (SQUARE, np.empty((0, 3)), "triangle", "at least one"),
    ],
)
def test_bad_meshes_are_refused(points, cells, cell, match):
    with pytest.raises(MeshError, match=match):
        check_quality(np.array(points, dtype=float), np.array(cells, dtype=np.int64), cell)


def test_both_orientations_of_a_simplex_are_fine_but_a_morph_may_not_turn_one():
    cells = np.array([[0, 1, 2], [1, 2, 3], [3, 1, 2]][:2])
    check_quality(SQUARE, cells, "triangle")
    moved = SQUARE + np.array([[0, 0], [0, 0], [0, 0], [-1.5, -1.5]])
    with pytest.raises(MeshError, match=r"cell 1 with vertices .*\(-0.5, -0.5\) is inverted by"):
        check_quality(moved, cells, "triangle", SQUARE)


def test_three_cells_on_a_facet_are_refused():
    with pytest.raises(MeshError, match="3 cells share the facet"):
        boundary_facets(np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]]), "triangle")


@pytest.mark.parametrize(
    ("domain", "match"),
    [
        (SlottedBlock(4, centre=0.01), "within the unit square"),
        (BackwardStep(4, step=1.0), "0 < step < height"),
        (Annulus(0.1, 1.0, 0.5), "inner < outer"),
        (PerforatedPlate(0.1, (((0.1, 0.5), 0.2),)), r"hole 0 at .*nearest side is 0.1 away"),
        (PerforatedPlate(0.1, (((0.4, 0.5), 0.1), ((0.5, 0.5), 0.1))), "touch"),
        (Disk(-1.0), "positive length"),
        (Disk(0.5, cell="tetrahedron"), "expected triangle or quadrilateral"),
    ],
)
def test_impossible_domains_are_refused(domain, match):
    with pytest.raises(MeshError, match=match):
        domain.mesh()
