"""The sequences of `benchmarks.skr`: the same on any ranks, and what they say they are."""

import meshes  # isort: skip  # noqa: F401 - first, for the order of imports
import numpy as np
import pytest
import scipy.sparse as sp
from mpi4py import MPI
from petsc4py import PETSc

from benchmarks.skr_problems import GRIDS, PARTNERS, SETS, GridSequence, make_sequence

COMM = MPI.COMM_WORLD


def dense(A):
    """A sequential matrix as an array."""
    indptr, indices, data = A.getValuesCSR()
    return sp.csr_matrix((data, indices, indptr), shape=A.getSize()).toarray()


def direct(A, b):
    """Solve by LU."""
    ksp = PETSc.KSP().create(A.comm)
    ksp.setType("preonly")
    ksp.getPC().setType("lu")
    ksp.getPC().setFactorSolverType("mumps")
    ksp.setOperators(A)
    x = b.duplicate()
    ksp.solve(b, x)
    return x


@pytest.mark.parallel([1, 2])
def test_a_system_is_the_same_on_any_ranks():
    for name in SETS:
        together = make_sequence(name, 100, 3, 5, COMM)
        alone = make_sequence(name, 100, 3, 5, MPI.COMM_SELF)
        assert together.n == alone.n
        np.testing.assert_array_equal(together.features, alone.features)
        for i in range(2):
            A, b = together.system(i)
            C, d = alone.system(i)
            for left, right in ((A.norm(), C.norm()), (b.norm(), d.norm())):
                assert left == pytest.approx(right, rel=1e-12), name
            assert direct(A, b).norm() == pytest.approx(direct(C, d).norm(), rel=1e-8), name


@pytest.mark.parametrize("name", GRIDS)
def test_the_parameters_move_the_matrix(name):
    made = make_sequence(name, 64, 3, 0, MPI.COMM_SELF)
    first, second = (dense(made.system(i)[0]) for i in range(2))
    assert np.abs(first - second).max() > 1e-3
    other = make_sequence(name, 64, 3, 1, MPI.COMM_SELF)
    assert np.abs(dense(other.system(0)[0]) - first).max() > 1e-3


def test_true_helmholtz_is_indefinite_around_twenty():
    made = GridSequence("helmholtz", 400, 4, 0, MPI.COMM_SELF)
    assert 19.5 < made.features.mean() < 20.5
    assert 14.0 < made.features.min() < 18.5 and 21.5 < made.features.max() < 26.0
    # constant k: the eigenvalues are those of the Laplacian less h² k²
    m, h = made.m, 1.0 / (made.m + 1)
    A = made.matrix(np.full((m + 2, m + 2), 20.0)).toarray()
    modes = 4 * np.sin(np.arange(1, m + 1) * np.pi * h / 2) ** 2
    expected = np.sort((modes[:, None] + modes[None, :]).ravel() - (20.0 * h) ** 2)
    np.testing.assert_allclose(np.linalg.eigvalsh(A), expected, atol=1e-12)
    assert expected[0] < 0


def test_the_released_helmholtz_matrix_is_nearly_the_darcy_one():
    a = GridSequence("darcy-released", 100, 1, 0, MPI.COMM_SELF)
    b = GridSequence("helmholtz-released", 100, 1, 0, MPI.COMM_SELF)
    difference = dense(a.system(0)[0]) - dense(b.system(0)[0])
    h = 1.0 / 9
    diagonal = np.diag(difference)
    np.testing.assert_allclose(difference, np.diag(diagonal), atol=1e-15)
    assert 0 < diagonal[0] < h**2
    np.testing.assert_allclose(diagonal, diagonal[0], rtol=1e-9)


@pytest.mark.parametrize("name", GRIDS)
def test_partners_are_farther_and_farther_away(name):
    made = make_sequence(name, 100, 2, 0, MPI.COMM_SELF)
    distances = [made.partner(0, k)[1] for k in range(PARTNERS)]
    assert np.all(np.diff(distances) > 0)
    # the first is nearly the same system, the last as far as an independent sample
    assert distances[0] < 0.05 * distances[-1]
    apart = np.linalg.norm(made.features[1] - made.features[0]) / np.sqrt(made.features.shape[1])
    assert 0.5 * apart < distances[-1] < 2.0 * apart


@pytest.mark.parametrize("name", ["thermal", "poisson"])
def test_a_family_has_one_matrix_and_eliminates_what_is_given(name):
    made = make_sequence(name, 100, 3, 0, MPI.COMM_SELF)
    (A, b), (B, c) = made.system(0), made.system(1)
    assert A.handle == B.handle and A.stateGet() == B.stateGet()
    assert (b - c).norm() > 1e-6
    matrix = dense(A)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert np.linalg.eigvalsh(matrix).min() > 0
    assert np.all(np.abs(matrix).sum(axis=1) > 1.0 + 1e-9)  # no row of the identity is left


def test_a_poisson_solution_is_the_pipelines_own():
    from benchmarks.skr_problems import EXAMPLES, RESOLUTION
    from pipeline.discretisation import Discretisation
    from pipeline.sampler import Sampler
    from pipeline.spaces import spaces_tree
    from pipeline.spec import load_spec

    made = make_sequence("poisson", 100, 2, 7, MPI.COMM_SELF)
    changes = [f"mesh.resolution={round(RESOLUTION['poisson'] * 10)}", "samples=2", "seed=7"]
    changes.append("problem.output_space={family: P, degree: 2}")
    spec = load_spec(EXAMPLES / "poisson.yaml", changes)
    tree = spaces_tree(spec)
    there = Discretisation(spec, tree, MPI.COMM_SELF)
    A, b = there.assemble(Sampler(spec, tree).inputs(1))
    full = direct(A, b).array[there.problem.free]
    np.testing.assert_allclose(direct(*made.system(1)).array, full, atol=1e-11)


def test_unknown_sets_are_refused():
    with pytest.raises(ValueError, match="expected one of darcy-released"):
        make_sequence("stokes", 100, 1, 0, MPI.COMM_SELF)
