"""Evaluation matrices give what DOLFINx gives, for every space and cell type."""

import numpy as np
import pytest

from meshes import SpaceName, evaluation_matrix, grid_tree
from tests.meshes.space_cases import CASES, IDS, cube, random_reference, shuffled, space

# isort: split
from dolfinx import fem

from meshes.evaluation import find_cells
from meshes.mappings import cell_geometry


@pytest.mark.parametrize(("cell", "name"), CASES, ids=IDS)
def test_as_dolfinx(cell, name):
    rng = np.random.default_rng(4)
    V = space(shuffled(cube(cell)), name)
    u = fem.Function(V)
    u.x.array[:] = rng.normal(size=u.x.array.size)
    cells = rng.integers(len(V.dofmap.list), size=80).astype(np.int32)
    geometry = cell_geometry(V.mesh, cells)
    points = geometry.push_forward(random_reference(cell, 80, rng)[:, None])[:, 0]
    padded = np.zeros((80, 3))
    padded[:, : points.shape[1]] = points
    expected = u.eval(padded, cells).ravel()
    found = evaluation_matrix(V, points) @ u.x.array
    assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize("name", [SpaceName("P", 1), SpaceName("P", 2, (2,)), SpaceName("RT", 1)])
def test_points_outside_have_zero_rows(name):
    V = space(shuffled(cube("quadrilateral")), name)
    points = np.array([[0.2, 0.3], [1.5, 0.5], [0.7, 0.9]])
    inside = np.array([True, False, True])
    tree = grid_tree(V, (3,), points, inside)
    v = tree["matrix"].shape[0] // 3
    assert abs(tree["matrix"][v : 2 * v]).nnz == 0 and (tree["inside"] == inside).all()
    both = evaluation_matrix(V, points[inside])
    assert abs(tree["matrix"][np.repeat(inside, v)] - both).nnz == 0
    assert "inside" not in grid_tree(V, (2,), points[inside])


def test_a_point_outside_is_named():
    V = space(shuffled(cube("triangle")), SpaceName("P", 1))
    with pytest.raises(ValueError, match=r"\[1.5 0.5\] is outside"):
        evaluation_matrix(V, np.array([[0.5, 0.5], [1.5, 0.5]]))


def test_every_point_of_a_facet_or_corner_is_found():
    for cell in ("triangle", "tetrahedron", "quadrilateral", "hexahedron"):
        tree = shuffled(cube(cell))
        V = space(tree, SpaceName("P", 1))
        middles = tree["points"][tree["cells"]][:, :2].mean(axis=1)
        for points in (tree["points"], middles):
            assert len(find_cells(V.mesh, points)[0]) == len(points)
