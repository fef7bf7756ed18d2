"""Evaluation matrices give what DOLFINx gives, for every kind of map."""

import numpy as np
import pytest

from meshes import SpaceName, UnitSquare, evaluation_matrix, make_space, mesh_from_tree

# isort: split
from mpi4py import MPI

from tests.meshes.test_canonical import Cube, interpolant, shuffled

PLANE = [SpaceName("P", 1), SpaceName("P", 3), SpaceName("DG", 1), SpaceName("RT", 2)]
PLANE += [SpaceName("BDM", 1), SpaceName("N1curl", 2)]


@pytest.mark.parametrize("name", PLANE, ids=str)
def test_in_the_plane(name):
    compare(UnitSquare(4), name, 2)


@pytest.mark.parametrize("name", [SpaceName("N1curl", 2), SpaceName("RT", 2)], ids=str)
def test_in_space(name):
    compare(Cube(), name, 3)


def compare(domain, name, gdim):
    mesh = mesh_from_tree(MPI.COMM_SELF, shuffled(domain))
    V = make_space(mesh, name)
    u = interpolant(V)
    points = np.random.default_rng(4).uniform(0.01, 0.99, (200, gdim))
    from meshes.evaluation import _containing_cells

    padded = np.zeros((200, 3))
    padded[:, :gdim] = points
    expected = u.eval(padded, _containing_cells(V, points))
    found = (evaluation_matrix(V, points) @ u.x.array).reshape(expected.shape)
    assert np.abs(found - expected).max() < 1e-12


def test_a_point_outside_is_named():
    V = make_space(mesh_from_tree(MPI.COMM_SELF, shuffled(UnitSquare(2))), SpaceName("P", 1))
    with pytest.raises(ValueError, match=r"\[1.5 0.5\] is outside"):
        evaluation_matrix(V, np.array([[0.5, 0.5], [1.5, 0.5]]))
