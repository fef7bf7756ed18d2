"""Drawings of every kind of space on real meshes with shuffled and moved vertices."""

import numpy as np
import pytest

from meshes import SpaceName, space_tree
from storage import StoredFunction, moved_mesh
from storage.pictures.triangles import drawing, inner_cells, outline

# isort: split
from dolfinx import fem

from tests.meshes.space_cases import cube, shuffled, space

SPACES = [
    ("interval", SpaceName("P", 1), 1),
    ("interval", SpaceName("P", 3), 3),
    ("triangle", SpaceName("P", 1), 1),
    ("triangle", SpaceName("P", 2), 2),
    ("triangle", SpaceName("P", 3), 3),
    ("triangle", SpaceName("DG", 0), 0),
    ("triangle", SpaceName("DG", 1), 1),
    ("triangle", SpaceName("CR", 1), 1),
    ("triangle", SpaceName("MINI", 1), 1),
    ("triangle", SpaceName("MINI", 1, (2,)), 1),
    ("triangle", SpaceName("P", 2, (2,)), 2),
    ("triangle", SpaceName("RT", 1), 0),
    ("triangle", SpaceName("BDM", 1), 1),
    ("triangle", SpaceName("N1curl", 2), 1),
    ("quadrilateral", SpaceName("Q", 1), 1),
    ("quadrilateral", SpaceName("P", 2), 2),
    ("quadrilateral", SpaceName("DG", 0), 0),
    ("tetrahedron", SpaceName("P", 2), 2),
    ("tetrahedron", SpaceName("N1curl", 1), 0),
    ("hexahedron", SpaceName("P", 1), 1),
]
IDS = [f"{cell}-{name}" for cell, name, _ in SPACES]


def polynomial(x, values, degree):
    """Values (p, v) of some polynomial of a degree at x (p, g)."""
    shift = x.sum(axis=1) + 0.3 * x[:, 0]
    return np.stack([(k + 1.0) + (shift + 0.5 * k) ** degree for k in range(values)], axis=1)


def measure(how):
    """Length or area of what is drawn."""
    corners = how.points[how.triangles]
    sides = corners[:, 1:] - corners[:, :1]
    if sides.shape[1] == 1:
        return np.linalg.norm(sides[:, 0], axis=1).sum()
    return np.abs(np.linalg.det(sides)).sum() / 2


@pytest.mark.parametrize(("cell", "name", "degree"), SPACES, ids=IDS)
def test_values_are_those_of_the_function_at_the_points(cell, name, degree):
    tree = shuffled(cube(cell))
    V = space(tree, name)
    u = fem.Function(V)
    size = int(np.prod(V.element.basix_element.value_shape, dtype=int)) * V.dofmap.index_map_bs

    def f(x):
        values = polynomial(x[: tree["gdim"]].T, size, degree).T
        return values if size > 1 else values[0]

    u.interpolate(f)
    how = drawing(tree, space_tree(V))
    x = np.full((len(how.points), tree["gdim"]), 0.5)
    x[:, list(how.axes)] = how.points
    values = how.values(u.x.array)
    assert np.abs(values - polynomial(x, size, degree)).max() < 1e-10
    assert measure(how) == pytest.approx(1.0, abs=1e-12)


def test_a_cell_of_higher_degree_is_cut_and_jumps_are_kept():
    tree = shuffled(cube("triangle"))
    counts = {}
    for k in (0, 1, 2, 3):
        V = space(tree, SpaceName("P" if k else "DG", k))
        counts[k] = len(drawing(tree, space_tree(V)).triangles) // len(tree["cells"])
    assert counts == {0: 1, 1: 64, 2: 64, 3: 64}
    V = space(tree, SpaceName("DG", 0))
    u = np.arange(float(len(tree["cells"])))
    how = drawing(tree, space_tree(V))
    corners = how.values(u)[how.triangles][..., 0]
    assert (np.ptp(corners, axis=1) == 0).all() and len(np.unique(corners)) == len(u)


def test_fine_meshes_are_cut_less():
    tree = cube("triangle", 56)
    for k, count in ((1, 1), (3, 4)):
        V = space(tree, SpaceName("P", k))
        assert len(drawing(tree, space_tree(V)).triangles) == count * len(tree["cells"])


def test_a_slice_leaves_out_what_is_outside():
    tree = cube("hexahedron", 4)
    middle = tree["points"][tree["cells"]].mean(axis=1)
    tree["cells"] = tree["cells"][(middle[:, 0] < 0.5) | (middle[:, 1] < 0.5)]  # an L
    used, cells = np.unique(tree["cells"], return_inverse=True)
    tree |= {"points": tree["points"][used], "cells": cells.reshape(-1, 8)}
    how = drawing(tree, space_tree(space(tree, SpaceName("P", 1))))
    assert measure(how) == pytest.approx(0.75, abs=1e-4)  # a square at the corner
    assert how.axes == (0, 1)
    tree["points"] = tree["points"] * [0.1, 1.0, 2.0]
    how = drawing(tree, space_tree(space(tree, SpaceName("P", 1))))
    assert how.axes == (1, 2) and how.size == pytest.approx((1.0, 2.0))


def test_a_moved_mesh_carries_its_functions():
    tree = shuffled(cube("triangle"), moved=False)
    V, W = space(tree, SpaceName("P", 2)), space(tree, SpaceName("P", 1, (2,)))
    u, d = fem.Function(V), fem.Function(W)
    u.interpolate(lambda x: x[0] * x[1])
    d.interpolate(lambda x: np.stack([0.2 * x[0] + 0.1 * x[1], 0.3 * x[1]]))
    moved = moved_mesh(tree, space_tree(W), d.x.array)
    x = np.random.default_rng(2).uniform(0.05, 0.95, (40, 2))
    there = x + np.stack([0.2 * x[:, 0] + 0.1 * x[:, 1], 0.3 * x[:, 1]], axis=1)
    values = StoredFunction(moved, space_tree(V), u.x.array)(there)[:, 0]
    assert np.abs(values - x[:, 0] * x[:, 1]).max() < 1e-12
    assert measure(drawing(moved, space_tree(V))) == pytest.approx(1.2 * 1.3)
    assert tree["points"].max() == 1.0, "the reference mesh is left alone"


@pytest.mark.parametrize("cell", ["triangle", "quadrilateral"])
def test_an_outline_is_the_boundary(cell):
    tree = shuffled(cube(cell, 4))
    V = space(tree, SpaceName("P", 2))
    u = fem.Function(V)
    u.interpolate(lambda x: x[0] ** 2 + x[0] * x[1])
    how = outline(tree, space_tree(V))
    x, y = how.points.T
    assert (np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) < 1e-12).all()
    assert measure(how) == pytest.approx(4.0)
    assert np.abs(how.values(u.x.array)[:, 0] - (x**2 + x * y)).max() < 1e-12
    middle = tree["points"][tree["cells"]]
    on_edge = ((middle < 1e-12) | (middle > 1 - 1e-12)).any(axis=(1, 2))
    assert np.array_equal(inner_cells(tree), ~on_edge) and inner_cells(tree).any()
