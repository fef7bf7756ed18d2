"""Space tables: element description, interpolation, Gram matrices, for every space."""

import numpy as np
import pytest

from meshes import SpaceName, make_space, mesh_from_tree, space_tree
from tests.meshes.space_cases import CASES, IDS, cube, shuffled, space

# isort: split
import ufl
from dolfinx import fem
from mpi4py import MPI


def smooth(V):
    """A function with as many values as the space has, of shape (values, points)."""
    v = int(np.prod(V.value_shape, dtype=int))

    def f(x):
        return np.stack([np.sin((1 + j) * x[0] + x[1] + j) + x[2] ** 2 for j in range(v)])

    return f


@pytest.mark.parametrize(("cell", "name"), CASES, ids=IDS)
def test_interpolation_is_dolfinx(cell, name):
    V = space(shuffled(cube(cell)), name)
    table, f, u = space_tree(V), smooth(V), fem.Function(V)
    u.interpolate(lambda x: f(x) if V.value_shape else f(x)[0])
    interpolation = table.get("interpolation", {})
    points = np.asarray(interpolation.get("points", table.get("points")))
    padded = np.zeros((3, len(points)))
    padded[: points.shape[1]] = points.T
    c = f(padded).T.ravel()
    if interpolation:
        c = interpolation["matrix"] @ c
    assert np.abs(c - u.x.array).max() < 1e-12
    assert ("interpolation" in table) == (name.family in ("RT", "BDM", "N1curl", "N2curl"))


def some_long():
    """Each case compiles four forms: the triangles by default, the others in the long run."""
    for (cell, name), key in zip(CASES, IDS, strict=True):
        marks = [] if cell == "triangle" else [pytest.mark.long]
        yield pytest.param(cell, name, id=key, marks=marks)


@pytest.mark.parametrize(("cell", "name"), list(some_long()))
def test_grams_are_norms_and_their_pattern_is_adjacency(cell, name):
    V = space(shuffled(cube(cell, 1), moved=False), name)
    table, u = space_tree(V), fem.Function(V)
    u.x.array[:] = np.random.default_rng(2).normal(size=u.x.array.size)
    c, grams = u.x.array, table["grams"]
    D = {"RT": ufl.div, "BDM": ufl.div, "N1curl": ufl.curl, "N2curl": ufl.curl}
    Du = D.get(name.family, ufl.grad)(u)
    constant = str(name) == "DG0"  # UFL knows that its gradient is zero
    assert not constant or abs(grams["stiffness"]).sum() == 0
    for matrix, value in [(grams["mass"], u), (grams["stiffness"], Du)][: 1 if constant else 2]:
        square = fem.assemble_scalar(fem.form(ufl.inner(value, value) * ufl.dx))
        assert np.isclose(c @ (matrix @ c), square, rtol=1e-10, atol=1e-10)
    bs, dofs = table["block_size"], table["dofmap"]
    pairs = {(i, j) for row in dofs for i in row for j in row}
    coo = grams["mass"].tocoo()
    found = set(zip(coo.row // bs, coo.col // bs, strict=True))
    assert found == pairs


def test_interpolating_a_function_of_the_space_gives_it_back():
    for cell in ("tetrahedron", "triangle"):
        tree = shuffled(cube(cell))
        V = space(tree, SpaceName("N1curl", 2))
        gdim = tree["gdim"]
        points, matrix = (space_tree(V)["interpolation"][k] for k in ("points", "matrix"))
        linear = points @ np.arange(1.0, 1 + gdim * gdim).reshape(gdim, gdim) + 1.0
        u = fem.Function(V)
        u.x.array[:] = matrix @ linear.ravel()
        x = ufl.SpatialCoordinate(V.mesh)
        A = np.arange(1.0, 1 + gdim * gdim).reshape(gdim, gdim)
        exact = ufl.as_vector([sum(A[i, j] * x[i] for i in range(gdim)) + 1 for j in range(gdim)])
        error = fem.assemble_scalar(fem.form(ufl.inner(u - exact, u - exact) * ufl.dx))
        assert error < 1e-24 * gdim**6


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("interval", ("RT", 1)),
        ("triangle", ("Q", 1)),
        ("triangle", ("P", 0)),
        ("quadrilateral", ("CR", 1)),
        ("triangle", ("MINI", 2)),
        ("triangle", ("RT", 1, (2,))),
        ("hexahedron", ("Hermite", 3)),
    ],
)
def test_what_there_is_not(cell, name):
    mesh = mesh_from_tree(MPI.COMM_SELF, cube(cell))
    with pytest.raises(ValueError, match=rf"Basix has no element '{name[0]}' .* choose among .*P "):
        make_space(mesh, SpaceName(*name))
