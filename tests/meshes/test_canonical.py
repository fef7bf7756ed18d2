"""Canonical coefficients do not depend on the number of ranks nor on the order of the vertices."""

import numpy as np
import pytest

from meshes import (
    CanonicalMap,
    SpaceName,
    UnitSquare,
    make_space,
    mesh_from_tree,
    mesh_tree,
    space_tree,
)
from tests.meshes.space_cases import cube
from tests.meshes.space_cases import shuffled as shuffled_cells

# isort: split
import basix.ufl
import dolfinx.mesh
from dolfinx import fem
from mpi4py import MPI

SPACES = [SpaceName("P", 2), SpaceName("RT", 1), SpaceName("P", 3), SpaceName("RT", 2)]
SPACES += [SpaceName("BDM", 1), SpaceName("N1curl", 2), SpaceName("DG", 1), SpaceName("P", 2, (2,))]


class Cube:
    """A small cube of tetrahedra."""

    def mesh(self):
        return dolfinx.mesh.create_unit_cube(MPI.COMM_SELF, 2, 2, 2)


def shuffled(domain, seed=3):
    """The domain's mesh with vertices, cells and the vertices within each cell shuffled."""
    rng = np.random.default_rng(seed)
    tree = mesh_tree(domain)
    new = rng.permutation(len(tree["points"]))
    cells = np.argsort(new)[tree["cells"]][rng.permutation(len(tree["cells"]))]
    return tree | {"points": tree["points"][new], "cells": rng.permuted(cells, axis=1)}


def interpolant(V):
    def value(x):
        parts = [np.sin(2 * x[0] + x[1]), np.exp(x[0] * x[1]), np.cos(x[0] - 2 * x[1] + x[2])]
        shape = V.value_shape
        return np.array(parts[: shape[0]]) if shape else parts[0]

    u = fem.Function(V)
    u.interpolate(value)
    return u


def check(tree, name, comm):
    serial = make_space(mesh_from_tree(MPI.COMM_SELF, tree), name)
    table, expected = space_tree(serial), interpolant(serial).x.array
    V = make_space(mesh_from_tree(comm, tree), name)
    u = interpolant(V)
    canonical = CanonicalMap(V, table)
    gathered = comm.bcast(canonical.to_canonical(u.x.array))
    assert np.abs(gathered - expected).max() < 1e-13
    assert np.abs(canonical.from_canonical(gathered) - u.x.array).max() < 1e-13
    mass = table["grams"]["mass"]
    square = fem.assemble_scalar(fem.form(fem_inner(u)))
    assert np.isclose(gathered @ (mass @ gathered), comm.allreduce(square), rtol=1e-12)


def fem_inner(u):
    import ufl

    return ufl.inner(u, u) * ufl.dx


# Sub-fields of mixed spaces, and the stand-alone spaces they are stored in.
MIXED = [
    (SpaceName("P", 2, (2,)), SpaceName("P", 1)),  # Taylor–Hood
    (SpaceName("RT", 2), SpaceName("DG", 1)),
    (SpaceName("MINI", 1, (2,)), SpaceName("P", 1)),
    (SpaceName("P", 3), SpaceName("N1curl", 2)),
]


def check_mixed(tree, names, comm):
    """Collapsed sub-spaces of a mixed space have the canonical coefficients of `names`."""
    serial, mesh = mesh_from_tree(MPI.COMM_SELF, tree), mesh_from_tree(comm, tree)
    parts = [make_space(mesh, name) for name in names]
    W = fem.functionspace(mesh, basix.ufl.mixed_element([V.ufl_element() for V in parts]))
    w = fem.Function(W)
    for i, name in enumerate(names):
        alone = make_space(serial, name)
        sub, dofs = W.sub(i).collapse()
        canonical = CanonicalMap(sub, space_tree(alone))
        w.sub(i).interpolate(interpolant(sub))
        values = w.x.array[np.asarray(dofs)]
        gathered = comm.bcast(canonical.to_canonical(values))
        assert np.abs(gathered - interpolant(alone).x.array).max() < 1e-13
        assert np.abs(canonical.from_canonical(gathered) - values).max() < 1e-13


# Each launch of mpiexec costs seconds: one launch checks every space.
@pytest.mark.parallel([1, 2, 3])
def test_every_space_on_shuffled_vertices():
    for name in SPACES:
        check(shuffled(UnitSquare(5)), name, MPI.COMM_WORLD)
    for name in [SpaceName("N1curl", 2), SpaceName("RT", 2), SpaceName("P", 3)]:
        check(shuffled(Cube()), name, MPI.COMM_WORLD)
    for cell in ("quadrilateral", "hexahedron"):
        for name in [SpaceName("Q", 3), SpaceName("RT", 2), SpaceName("N1curl", 2)]:
            check(shuffled_cells(cube(cell)), name, MPI.COMM_WORLD)
    for name in [SpaceName("CR", 1), SpaceName("MINI", 1, (3,)), SpaceName("N1curl", 1)]:
        check(shuffled(Cube()), name, MPI.COMM_WORLD)


@pytest.mark.parallel([1, 2, 3])
def test_sub_fields_of_mixed_spaces():
    for names in MIXED:
        check_mixed(shuffled(UnitSquare(4)), names, MPI.COMM_WORLD)


def test_another_table_is_refused():
    tree = mesh_tree(UnitSquare(3))
    table = space_tree(make_space(mesh_from_tree(MPI.COMM_SELF, tree), SpaceName("P", 1)))
    V = make_space(mesh_from_tree(MPI.COMM_WORLD, tree), SpaceName("P", 2))
    with pytest.raises(ValueError, match="use the spaces.h5"):
        CanonicalMap(V, table)
