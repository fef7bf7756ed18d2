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

# isort: split
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


# Each launch of mpiexec costs seconds: one launch checks every space.
@pytest.mark.parallel([1, 2, 3])
def test_every_space_on_shuffled_vertices():
    for name in SPACES:
        check(shuffled(UnitSquare(5)), name, MPI.COMM_WORLD)
    for name in [SpaceName("N1curl", 2), SpaceName("RT", 2), SpaceName("P", 3)]:
        check(shuffled(Cube()), name, MPI.COMM_WORLD)


def test_another_table_is_refused():
    tree = mesh_tree(UnitSquare(3))
    table = space_tree(make_space(mesh_from_tree(MPI.COMM_SELF, tree), SpaceName("P", 1)))
    V = make_space(mesh_from_tree(MPI.COMM_WORLD, tree), SpaceName("P", 2))
    with pytest.raises(ValueError, match="use the spaces.h5"):
        CanonicalMap(V, table)
