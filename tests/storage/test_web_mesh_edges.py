"""Edges of meshes: each once, and where a plane cuts cells."""

import meshes  # noqa: F401  (it fixes the order of the imports)

# isort: split
import numpy as np
import pytest

from storage.pictures.mesh_edges import mesh_edges
from storage.pictures.triangles import Plane, drawing
from tests.meshes.space_cases import cube, space


def length(ends):
    return np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).sum()


def test_plane_meshes_have_each_edge_once():
    n = 3
    for kind, expected in (
        ("triangle", 2 * n * (n + 1) + n * n),
        ("quadrilateral", 2 * n * (n + 1)),
    ):
        ends = mesh_edges(cube(kind, n))
        assert ends.shape == (expected, 2, 2)
        assert len(np.unique(np.sort(ends.round(9).reshape(-1, 4)), axis=0)) <= expected
    assert np.isclose(length(mesh_edges(cube("quadrilateral", n))), 2 * (n + 1))


def test_a_line_has_none():
    assert mesh_edges(cube("interval", 4)).shape == (0, 2, 2)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("at", [0.0, 0.3, 0.5, 1.0])
def test_a_slice_of_boxes_is_a_grid(axis, at):
    n = 4
    ends = mesh_edges(cube("hexahedron", n), Plane(axis, at))
    assert np.isclose(length(ends), 2 * (n + 1))
    assert ends.min() > -1e-12 and ends.max() < 1 + 1e-12


@pytest.mark.parametrize("at", [0.0, 0.37, 0.5, 1.0])
def test_a_slice_of_tetrahedra_closes(at):
    """Every point of a cut is the end of two or more segments, and they fill the square."""
    ends = mesh_edges(cube("tetrahedron", 2), Plane(2, at))
    points, count = np.unique(ends.reshape(-1, 2).round(6), axis=0, return_counts=True)
    assert count.min() >= 2
    assert np.allclose(points.min(axis=0), 0) and np.allclose(points.max(axis=0), 1)
    assert length(ends) >= 2 * 3 - 1e-9


def test_a_drawing_is_where_its_plane_is():
    from meshes import SpaceName, space_tree

    tree = cube("tetrahedron", 2)
    table = space_tree(space(tree, SpaceName("P", 1)))
    for axis in range(3):
        how = drawing(tree, table, Plane(axis, 0.25))
        values = how.values(np.asarray(table["points"])[:, axis])
        assert np.allclose(values, 0.25) and how.axes == Plane(axis).axes
