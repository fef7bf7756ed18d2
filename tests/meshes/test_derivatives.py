"""Discrete derivatives are derivatives, point by point, and d∘d is zero."""

import numpy as np
import pytest

from meshes import SpaceName, derivative_matrix, derivatives_tree
from tests.meshes.space_cases import cube, random_reference, shuffled, space

# isort: split
import ufl
from dolfinx import fem

from meshes import make_space, mesh_from_tree

# isort: split
from mpi4py import MPI

OPERATORS = {
    "grad": ufl.grad,
    "curl": ufl.curl,
    "div": ufl.div,
    "rot": lambda u: ufl.as_vector([u.dx(1), -u.dx(0)]),
}


def complex_of(cell, k):
    """The spaces of degree k of one complex on a shuffled mesh; affine cells only."""
    affine = cell in ("triangle", "tetrahedron")
    mesh = mesh_from_tree(MPI.COMM_SELF, shuffled(cube(cell), moved=affine))
    gdim = mesh.geometry.dim
    wanted = [("P", k), ("N1curl", k), ("RT", k), ("DG", k - 1)]
    wanted += [("DG", k - 1, (gdim,))] if affine else []
    wanted += [("BDM", k), ("N2curl", k), ("P", k, (gdim,))] if affine else []
    return {str(SpaceName(*w)): make_space(mesh, SpaceName(*w)) for w in wanted}


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("cell", ["triangle", "tetrahedron", "quadrilateral", "hexahedron"])
def test_as_dolfinx_at_points(cell, k):
    spaces = complex_of(cell, k)
    tree = derivatives_tree(spaces)
    plane, affine = cell in ("triangle", "quadrilateral"), cell in ("triangle", "tetrahedron")
    assert len(tree) == {(1, 0): 4, (0, 0): 3, (1, 1): 8, (0, 1): 7}[plane, affine]
    rng = np.random.default_rng(1)
    X = random_reference(cell, 3, rng)
    for entry in tree.values():
        U, V = spaces[entry["source"]], spaces[entry["target"]]
        u, w = fem.Function(U), fem.Function(V)
        u.x.array[:] = rng.normal(size=entry["matrix"].shape[1])
        w.x.array[:] = entry["matrix"] @ u.x.array
        cells = np.arange(len(U.dofmap.list), dtype=np.int32)
        expected = fem.Expression(OPERATORS[entry["operator"]](u), X).eval(U.mesh, cells)
        found = fem.Expression(1.0 * w, X).eval(U.mesh, cells)
        assert np.abs(found - expected).max() < 1e-11 * np.abs(expected).max(), entry


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("cell", ["triangle", "tetrahedron", "quadrilateral", "hexahedron"])
def test_two_in_a_row_are_zero(cell, k):
    tree = derivatives_tree(complex_of(cell, k))
    plane = cell in ("triangle", "quadrilateral")
    chains = [(f"P{k}-N1curl{k}", f"N1curl{k}-DG{k - 1}"), (f"P{k}-RT{k}", f"RT{k}-DG{k - 1}")]
    if not plane:
        chains = [(f"P{k}-N1curl{k}", f"N1curl{k}-RT{k}"), (f"N1curl{k}-RT{k}", f"RT{k}-DG{k - 1}")]
    for first, second in chains:
        D0, D1 = tree[first]["matrix"], tree[second]["matrix"]
        assert abs(D0).sum() > 0 and abs(D1).sum() > 0
        assert abs(D1 @ D0).max() < 1e-12 * abs(D1).max() * abs(D0).max()


def test_curls_of_n1curl2_are_in_bdm1():
    mesh = mesh_from_tree(MPI.COMM_SELF, shuffled(cube("tetrahedron"), moved=True))
    wanted = [("N1curl", 2), ("BDM", 1), ("DG", 0)]
    spaces = {f"{family}{k}": make_space(mesh, SpaceName(family, k)) for family, k in wanted}
    tree = derivatives_tree(spaces)
    assert tree["N1curl2-BDM1"]["operator"] == "curl"
    C, D = tree["N1curl2-BDM1"]["matrix"], tree["BDM1-DG0"]["matrix"]
    assert abs(D @ C).max() < 1e-12 * abs(D).max() * abs(C).max()
    u, w = fem.Function(spaces["N1curl2"]), fem.Function(spaces["BDM1"])
    u.x.array[:] = np.random.default_rng(1).normal(size=C.shape[1])
    w.interpolate(fem.Expression(ufl.curl(u), spaces["BDM1"].element.interpolation_points))
    assert np.abs(C @ u.x.array - w.x.array).max() < 1e-11 * np.abs(w.x.array).max()


def test_curved_cells_keep_what_is_exact():
    mesh = mesh_from_tree(MPI.COMM_SELF, shuffled(cube("quadrilateral")))
    wanted = [("P", 1), ("N1curl", 1), ("RT", 1), ("DG", 0)]
    spaces = {f"{family}{k}": make_space(mesh, SpaceName(family, k)) for family, k in wanted}
    assert set(derivatives_tree(spaces)) == {"P1-N1curl1", "P1-RT1"}


def test_a_pair_without_derivative():
    tree = shuffled(cube("triangle"))
    with pytest.raises(ValueError, match="no derivative maps"):
        derivative_matrix(space(tree, SpaceName("P", 1)), space(tree, SpaceName("P", 1)))
