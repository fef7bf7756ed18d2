"""The tables of an imported grid are those that DOLFINx would make."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI

import meshes
from storage import StoredFunction
from storage.importing.tensor_grid import grid_mesh, grid_space

GRIDS = [
    ((5,), (0.5,), (2.0,)),
    ((4, 6), (0.0, -1.0), (1.0, 2.0)),
    ((3, 4, 5), (0.0, 0.0, 1.0), (1.0, 2.0, 3.0)),
]
SCALARS = ("family", "degree", "block_size", "map_type", "needs_transformations", "dim", "element")
SCALARS += ("cell_type", "lagrange_variant", "dpc_variant", "discontinuous")


@pytest.mark.parametrize(("shape", "low", "high"), GRIDS, ids=lambda v: str(len(v)))
def test_tables_are_those_of_dolfinx(shape, low, high):
    mesh = grid_mesh(shape, low, high)
    ours = grid_space(mesh, shape, low, high)
    V = meshes.make_space(meshes.mesh_from_tree(MPI.COMM_SELF, mesh), meshes.SpaceName("P", 1))
    theirs = meshes.space_tree(V)
    jacobians = meshes.quality.corner_jacobians(mesh["points"], mesh["cells"], mesh["cell_type"])
    assert (jacobians > 0).all()  # the first axis of a cell is x
    assert set(theirs) <= set(ours)
    assert {key: ours[key] for key in SCALARS} == {key: theirs[key] for key in SCALARS}
    to_ours = np.empty(len(ours["points"]), int)
    to_ours[theirs["dofmap"].ravel()] = ours["dofmap"].ravel()
    assert np.array_equal(to_ours[theirs["dofmap"]], ours["dofmap"])  # cell by cell, node by node
    assert np.allclose(ours["points"][to_ours], theirs["points"], rtol=0, atol=1e-15 * 4)
    for name in ("mass", "stiffness"):
        found = ours["grams"][name][to_ours][:, to_ours]
        found.sort_indices()
        expected = theirs["grams"][name]
        assert np.array_equal(found.indices, expected.indices)  # the same pattern, zeros included
        assert np.abs(found - expected).max() <= 1e-14 * np.abs(expected).max()


@pytest.mark.parametrize(("shape", "low", "high"), GRIDS, ids=lambda v: str(len(v)))
def test_sides_have_the_names_of_a_box(shape, low, high):
    mesh = grid_mesh(shape, low, high)
    meshes.domains.check_quality(mesh["points"], mesh["cells"], mesh["cell_type"])
    built = meshes.mesh_from_tree(MPI.COMM_SELF, mesh)
    facets = meshes.facet_tags_from_tree(built, mesh)  # raises if one is no facet of a cell
    assert len(facets["boundary"]) == len(mesh["facet_tags"]["values"])
    names = [("left", "right"), ("bottom", "top")]
    names = [names[0], ("front", "back"), names[1]] if len(shape) == 3 else names[: len(shape)]
    tags = mesh["facet_tags"]
    for axis, pair in enumerate(names):
        for name, place in zip(pair, (low[axis], high[axis]), strict=True):
            vertices = tags["vertices"][tags["values"] == tags["names"][name]]
            assert np.allclose(mesh["points"][vertices][..., axis], place)
            others = [n for a, n in enumerate(shape) if a != axis]
            assert len(vertices) == np.prod([n - 1 for n in others])


@given(
    st.lists(st.integers(2, 7), min_size=1, max_size=3),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=25, deadline=None)
def test_products_of_coordinates_are_exact(shape, seed):
    """An array in C order is a vector of coefficients, and x·y·z is in the space."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(-2, 1, len(shape))
    high = low + rng.uniform(0.1, 3, len(shape))
    mesh = grid_mesh(shape, low, high)
    space = grid_space(mesh, shape, low, high)
    sides = [np.linspace(a, b, n) for a, b, n in zip(low, high, shape, strict=True)]
    array = np.prod(np.meshgrid(*sides, indexing="ij"), axis=0)
    u = StoredFunction(mesh, space, array.ravel())
    points = rng.uniform(low, high, (20, len(shape)))
    assert np.allclose(u(points)[:, 0], points.prod(axis=1), rtol=0, atol=1e-12 * 30)
    assert np.array_equal(space["grid"]["matrix"] @ array.ravel(), array.ravel())
    one = np.ones(array.size)
    mass, stiffness = space["grams"]["mass"], space["grams"]["stiffness"]
    assert np.isclose(one @ mass @ one, np.prod(high - low), rtol=1e-12)
    assert np.abs(stiffness @ one).max() <= 1e-11 * np.abs(stiffness.data).max()
