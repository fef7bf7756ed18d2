"""The encoder's matrix: values of stored functions at points, of every space."""

import numpy as np
import pytest
from darcy_data import Square

from meshes import SpaceName, space_tree
from pipeline.operators.fe.evaluation import evaluation_matrix, volumes
from storage import StoredFunction
from tests.meshes.space_cases import cube, shuffled, space

TRIANGLE = [
    *[SpaceName("P", k) for k in (1, 2, 3)],
    *[SpaceName("DG", k) for k in (1, 2)],
    *[SpaceName("P", 2, (2,)), SpaceName("MINI", 1), SpaceName("CR", 1)],
    *[SpaceName("RT", 1), SpaceName("RT", 2), SpaceName("BDM", 1)],
    *[SpaceName("N1curl", 1), SpaceName("N1curl", 2), SpaceName("N2curl", 1)],
]
TETRAHEDRON = [
    SpaceName("P", 2),
    SpaceName("RT", 1),
    SpaceName("N1curl", 1),
    SpaceName("N2curl", 1),
]
QUADRILATERAL = [SpaceName("P", 1), SpaceName("P", 2, (2,)), SpaceName("RT", 1)]
CASES = [("triangle", n) for n in TRIANGLE] + [("tetrahedron", n) for n in TETRAHEDRON]
CASES += [("quadrilateral", n) for n in QUADRILATERAL]
FULL = ("P", "DG", "BDM", "N2curl", "MINI", "CR")


def made(cell, name):
    tree = shuffled(cube(cell))
    return tree, space_tree(space(tree, name))


def inner_points(tree, rng):
    """One random point inside of every cell, and the numbers of the points of each cell."""
    corners = tree["points"][tree["cells"]]
    weights = rng.dirichlet(np.ones(corners.shape[1]), len(corners))
    if tree["cell_type"] == "quadrilateral":
        weights = np.full(corners.shape[:2], 0.25)
    points = np.einsum("ck,ckg->cg", weights, corners)
    return points, np.arange(len(points))[:, None]


@pytest.mark.parametrize(("cell", "name"), CASES, ids=lambda v: str(v))
def test_values_are_those_of_the_stored_function(cell, name):
    tree, table = made(cell, name)
    rng = np.random.default_rng(1)
    u = rng.standard_normal(table["dim"])
    points, cells = inner_points(tree, rng)
    got = evaluation_matrix(tree, table, points, cells) @ u
    expected = StoredFunction(tree, table, u)(points)
    np.testing.assert_allclose(got.reshape(expected.shape), expected, atol=1e-12)


@pytest.mark.parametrize(("cell", "name"), CASES, ids=lambda v: str(v))
def test_polynomials_of_the_space_are_exact_at_shared_points(cell, name):
    """At vertices, where many cells have their say, they all say the same of a polynomial."""
    tree, table = made(cell, name)
    degree = name.degree if name.family in FULL else name.degree - 1
    u, f = interpolant(tree, table, degree)
    got = evaluation_matrix(tree, table, tree["points"], tree["cells"]) @ u
    expected = f(tree["points"])
    np.testing.assert_allclose(got.reshape(expected.shape), expected, atol=1e-11)


def interpolant(tree, table, degree):
    """Coefficients of a polynomial (vector) field of that degree, and the field."""
    rng = np.random.default_rng(2)
    vector = "interpolation" in table and table["map_type"] != "identity"
    block = int(table["block_size"])
    v = tree["gdim"] if vector else block
    powers = [p for p in np.ndindex(*[degree + 1] * tree["gdim"]) if sum(p) <= degree]
    c = rng.standard_normal((len(powers), v))

    def f(x):
        return np.stack([np.prod(x ** np.array(p), axis=1) for p in powers], axis=1) @ c

    if "points" in table:
        return f(table["points"]).ravel(), f
    matrix = table["interpolation"]["matrix"]
    return matrix @ f(np.asarray(table["interpolation"]["points"])).ravel(), f


def test_points_of_the_space_itself_give_the_identity():
    one = Square(4, 2, 0.2)
    matrix = evaluation_matrix(one.mesh(), one.space(), one.points, one.dofmap)
    np.testing.assert_allclose(matrix.toarray(), np.eye(len(one.points)), atol=1e-12)


def test_shared_points_take_means_weighted_with_volumes():
    two, values = Square(4, 2, 0.2), np.random.default_rng(0).standard_normal(32)
    mesh, area = two.mesh(), volumes(two.mesh())
    corners = two.vertices[two.cells]
    np.testing.assert_allclose(
        area, np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / 2, rtol=1e-12
    )
    got = evaluation_matrix(mesh, two.constants(), two.points, two.dofmap) @ values
    for i in range(len(got)):
        cells = np.flatnonzero((two.dofmap == i).any(axis=1))
        np.testing.assert_allclose(got[i], np.average(values[cells], weights=area[cells]))


@pytest.mark.parametrize("cell", ["interval", "triangle", "tetrahedron", "quadrilateral"])
def test_volumes_fill_the_cube(cell):
    tree = shuffled(cube(cell), moved=False)
    np.testing.assert_allclose(volumes(tree).sum(), 1.0, rtol=1e-12)
