"""Prolongation is exact at points of fine cells wherever the spaces are nested."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshes import SpaceName, hierarchy, prolongation
from tests.meshes.space_cases import (
    CASES,
    CELLS,
    GDIM,
    IDS,
    cube,
    random_reference,
    shuffled,
    space,
)

# isort: split
from dolfinx import fem
from dolfinx.mesh import exterior_facet_indices

from meshes.mappings import cell_geometry, local_cells


def pair(cell, seed=3):
    """A coarse mesh, and a fine one with vertices and cells shuffled once more."""
    coarse = shuffled(cube(cell, 1 if cell == "hexahedron" else 2), seed)
    fine = hierarchy(coarse, 2)[1]
    again = shuffled(fine, seed, moved=False)
    # the same generator: `shuffled` draws vertices first, then the order of the cells
    rng = np.random.default_rng(seed)
    rng.permutation(len(fine["points"]))
    order = rng.permutation(len(fine["cells"]))
    return coarse, again, fine["parents"][order]


def values(V, cells, c, x):
    u = fem.Function(V)
    u.x.array[:] = c
    padded = np.zeros((len(x), 3))
    padded[:, : x.shape[1]] = x
    return u.eval(padded, local_cells(V.mesh)[cells].astype(np.int32)).reshape(len(x), -1)


def deviation(coarse, fine, parents, name, seed=0, nested=True, c=None):
    """Relative distance of u_H and P u_H at random points of fine cells, and `exact`."""
    rng = np.random.default_rng(seed)
    U, V = space(coarse, name), space(fine, name)
    P, exact = prolongation(U, V, parents, nested=nested)
    c = rng.normal(size=P.shape[1]) if c is None else c
    cells = rng.integers(len(parents), size=100)
    X = random_reference(fine["cell_type"], 100, rng)
    geometry = cell_geometry(V.mesh, local_cells(V.mesh)[cells])
    x = geometry.push_forward(X[:, None])[:, 0]
    expected = values(U, parents[cells], c, x)
    return np.abs(values(V, cells, P @ c, x) - expected).max() / np.abs(expected).max(), exact


@pytest.mark.parametrize(("cell", "name"), CASES, ids=IDS)
def test_exact_or_marked(cell, name):
    error, exact = deviation(*pair(cell), name)
    assert exact == (name.family not in ("CR", "MINI"))
    if exact or (cell, name.family) == ("interval", "MINI"):  # that is P2
        assert error < 1e-12
    else:
        assert error > 1e-6


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from([("N1curl", 2), ("RT", 2), ("P", 3)]))
def test_any_tetrahedra(seed, name):
    assert deviation(*pair("tetrahedron", seed), SpaceName(*name), seed)[0] < 1e-12


@pytest.mark.parametrize("family", ["CR", "MINI"])
def test_constants_of_spaces_that_are_not_nested(family):
    coarse, fine, parents = pair("tetrahedron")
    U, V = (space(tree, SpaceName(family, 1)) for tree in (coarse, fine))
    one = fem.Function(U)
    one.interpolate(lambda x: 0 * x[0] + 1)
    error, exact = deviation(coarse, fine, parents, SpaceName(family, 1), c=one.x.array)
    assert error < 1e-13 and not exact


@pytest.mark.parametrize("name", [SpaceName("P", 2), SpaceName("RT", 2), SpaceName("N1curl", 1)])
def test_snapped_meshes(name):
    coarse, fine, parents = pair("triangle")
    edge = np.isclose(fine["points"][:, 0], 1.0)
    fine["points"][edge, 0] += 0.05 * np.sin(np.pi * fine["points"][edge, 1])
    with pytest.raises(ValueError, match="not a part of its parent .* nested=False"):
        deviation(coarse, fine, parents, name)
    constant = fem.Function(space(coarse, name))
    vector = np.array([1.0, 2.0]) if name.family != "P" else np.array([1.0])
    constant.interpolate(lambda x: np.outer(vector, 1 + 0 * x[0]).squeeze())
    error, exact = deviation(coarse, fine, parents, name, nested=False, c=constant.x.array)
    assert error < 1e-13 and not exact


def boundary_dofs(V):
    dim = V.mesh.topology.dim - 1
    V.mesh.topology.create_connectivity(dim, dim + 1)
    return fem.locate_dofs_topological(V, dim, exterior_facet_indices(V.mesh.topology))


@pytest.mark.parametrize("cell", ["triangle", "tetrahedron", "quadrilateral"])
@pytest.mark.parametrize("name", [("P", 1), ("P", 2), ("RT", 1), ("RT", 2), ("N1curl", 2)])
def test_zero_on_the_boundary_stays_zero(cell, name):
    coarse, fine, parents = pair(cell)
    U, V = (space(tree, SpaceName(*name)) for tree in (coarse, fine))
    P, _ = prolongation(U, V, parents)
    free = np.setdiff1d(np.arange(P.shape[1]), boundary_dofs(U))
    rows = P[boundary_dofs(V)]
    assert rows.shape[0] > 0 and abs(rows[:, free]).sum() < 1e-12 and abs(rows).sum() > 0


def test_what_is_refused():
    coarse, fine, parents = pair("triangle")
    U, V = space(coarse, SpaceName("P", 1)), space(fine, SpaceName("P", 1))
    with pytest.raises(ValueError, match="spaces of one element"):
        prolongation(U, space(fine, SpaceName("P", 2)), parents)
    with pytest.raises(ValueError, match="one stored coarse cell, 0 … 7, for each of the 32"):
        prolongation(U, V, parents[:-1])
    with pytest.raises(ValueError, match="not a part of its parent"):
        prolongation(U, V, np.roll(parents, 5))


@pytest.mark.long
def test_a_hundred_thousand_cells_in_seconds():
    import time

    coarse, fine = hierarchy(cube("tetrahedron", 14), 2)
    assert len(fine["cells"]) > 1e5 and GDIM[CELLS[2]] == 3
    U, V = space(coarse, SpaceName("N1curl", 1)), space(fine, SpaceName("N1curl", 1))
    start = time.perf_counter()
    prolongation(U, V, fine["parents"])
    assert time.perf_counter() - start < 30
