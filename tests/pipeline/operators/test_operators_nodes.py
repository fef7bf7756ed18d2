"""Nodes of spaces: what networks say there reaches every function, whatever the orientation."""

import numpy as np
import pytest

from meshes import SpaceName, space_tree
from pipeline.operators.fe.nodes import space_nodes
from pipeline.operators.fe.places import dof_places
from storage import StoredFunction
from tests.meshes.space_cases import cube, shuffled, space

PIOLA = [
    *[("triangle", SpaceName(f, k)) for f in ("RT", "N1curl") for k in (1, 2)],
    *[("triangle", SpaceName("BDM", 1)), ("triangle", SpaceName("BDM", 2))],
    *[("triangle", SpaceName("N2curl", 1)), ("triangle", SpaceName("N2curl", 2))],
    *[("tetrahedron", SpaceName(f, 1)) for f in ("RT", "N1curl", "N2curl")],
    ("tetrahedron", SpaceName("N1curl", 2)),
    ("quadrilateral", SpaceName("RT", 1)),
]
SCALAR = [
    *[("triangle", SpaceName("P", k)) for k in (1, 2, 3)],
    *[("triangle", SpaceName(f, 1)) for f in ("CR", "MINI", "DG")],
    *[("triangle", SpaceName("MINI", 1, (2,))), ("tetrahedron", SpaceName("MINI", 1))],
]


def made(cell, name, seed=3):
    tree = shuffled(cube(cell), seed)
    return tree, space_tree(space(tree, name))


@pytest.mark.parametrize(("cell", "name"), PIOLA, ids=lambda v: str(v))
def test_every_function_can_be_said(cell, name):
    tree, table = made(cell, name)
    nodes = space_nodes(tree, table)
    assert nodes.matrix.shape == (table["dim"], len(nodes.points) * nodes.components)
    assert np.linalg.matrix_rank(nodes.matrix.toarray(), tol=1e-8) == table["dim"]


@pytest.mark.parametrize(("cell", "name"), PIOLA, ids=lambda v: str(v))
def test_constant_fields_keep_their_direction(cell, name):
    """The first values at all nodes are a constant field: its interpolant is that field."""
    tree, table = made(cell, name)
    nodes, g = space_nodes(tree, table), tree["gdim"]
    field = np.arange(1.0, g + 1)
    w = np.zeros((len(nodes.points), nodes.components))
    w[:, :g] = field
    u = StoredFunction(tree, table, nodes.matrix @ w.ravel())
    values = u(tree["points"][tree["cells"]].mean(axis=1))
    np.testing.assert_allclose(values, np.tile(field, (len(values), 1)), rtol=1e-9)


@pytest.mark.parametrize(("cell", "name"), SCALAR, ids=lambda v: str(v))
def test_scalar_nodes_are_the_dofs(cell, name):
    tree, table = made(cell, name)
    nodes = space_nodes(tree, table)
    b = int(table["block_size"])
    assert nodes.components == b and len(nodes.points) * b == table["dim"]
    assert (nodes.matrix != np.eye(table["dim"])).sum() == 0
    inside = (nodes.points > -1e-12) & (nodes.points < 1 + 1e-12)
    assert (
        inside.all()
        and len(np.unique(nodes.points.round(9), axis=0)) == len(nodes.points)
        or (table["discontinuous"])
    )
    corners = tree["points"][tree["cells"]]
    found = nodes.points[nodes.cells]  # every node lies in its cells: no further out than corners
    assert (found.max(axis=1) <= corners.max(axis=1) + 1e-12).all()
    assert (found.min(axis=1) >= corners.min(axis=1) - 1e-12).all()


@pytest.mark.parametrize(("cell", "name"), PIOLA, ids=lambda v: str(v))
def test_nodes_lie_in_their_cells(cell, name):
    tree, table = made(cell, name)
    nodes = space_nodes(tree, table)
    corners = tree["points"][tree["cells"]]
    found = nodes.points[nodes.cells]
    assert (found.max(axis=1) <= corners.max(axis=1) + 1e-12).all()
    assert (found.min(axis=1) >= corners.min(axis=1) - 1e-12).all()


def test_places_of_several_spaces_are_joined():
    """Facets and cells share no node: they meet in cells, so the graph is connected."""
    tree = shuffled(cube("triangle"))
    tables = [space_tree(space(tree, SpaceName(f, k))) for f, k in (("RT", 1), ("DG", 0))]
    places = dof_places(tree, tables)
    sizes = [len(space_nodes(tree, table).points) for table in tables]
    assert len(places.points) == sum(sizes) and places.features.shape[1] == 4
    assert places.edges.min() == 0 and places.edges.max() == len(places.points) - 1
    assert not (places.edges[0] == places.edges[1]).any()
    for table, size in zip(tables, sizes, strict=True):
        matrix, v = places.coefficients(table)
        assert matrix.shape == (table["dim"], v * len(places.points))
        touched = np.unique(matrix.indices // v)
        assert len(touched) <= size and matrix.getnnz(axis=1).min() > 0


def test_constants_in_cells_get_the_vertices_to_talk_over():
    tree = shuffled(cube("triangle"))
    table = space_tree(space(tree, SpaceName("DG", 0)))
    places = dof_places(tree, [table])
    assert len(places.points) == len(tree["cells"]) + len(tree["points"])
    matrix, v = places.coefficients(table)
    assert v == 1 and (matrix[:, : len(tree["cells"])] != np.eye(len(tree["cells"]))).sum() == 0
