"""The orthogonalisation of GCRODR: one reduction a step, and losses within their bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI
from petsc4py import PETSc
from solver_problems import diffusion, ksp_gcrodr, solve, to_petsc, vector

from solvers import GCRODR
from solvers.basis import Basis
from solvers.gram_schmidt import LOSS, GramSchmidt

RNG = np.random.default_rng


@pytest.fixture
def basis():
    """Room for 31 vectors of 200 entries."""
    made = Basis(PETSc.Vec().createSeq(200, comm=PETSc.COMM_SELF), 31, 5)
    yield made
    made.destroy()


def orthonormal(count, seed=0):
    return np.linalg.qr(RNG(seed).standard_normal((200, count)))[0].T


def off_diagonal(W):
    gram = W @ W.T
    return np.abs(gram - np.diag(np.diag(gram))).max()


class CountedComm:
    """A communicator that counts its reductions."""

    def __init__(self, comm):
        self.comm, self.count = comm, 0

    def __getattr__(self, name):
        return getattr(self.comm, name)

    def Allreduce(self, *arguments):  # noqa: N802
        self.count += 1
        self.comm.Allreduce(*arguments)


@pytest.mark.parallel([2])
def test_one_reduction_an_iteration():
    """Harmonic updates, projections, explicit residuals and second passes included."""
    for pc in ("none", "jacobi", "bjacobi"):
        context, ksp, comm, applications = GCRODR(40, 20, always=True), None, None, 0
        for i in range(3):
            A = to_petsc(diffusion(20, contrast=1.5 + 0.02 * i), MPI.COMM_WORLD)
            ksp = ksp or ksp_gcrodr(A, context, pc, rtol=1e-9)
            ksp.setOperators(A)
            solve(ksp, vector(A, np.ones(400)))
            assert ksp.getConvergedReason() > 0
            if comm is None:
                context._basis.comm = comm = CountedComm(context._basis.comm)
            else:
                applications += context.applications
        assert 0 < comm.count <= 1.1 * applications


def test_second_pass_where_one_is_not_enough(basis):
    """Nearly parallel vectors: one Gram–Schmidt pass would lose all orthogonality."""
    rows = GramSchmidt(basis)
    common = RNG(0).standard_normal(200)
    basis.W[0] = common / np.linalg.norm(common)
    h = np.zeros(31)
    for c in range(1, 31):
        row = common + 1e-6 * RNG(c).standard_normal(200)
        basis.W[c] = row
        norm = rows.orthogonalise(c, 0, h[:c])
        np.testing.assert_allclose(h[:c] @ basis.W[:c] + norm * basis.W[c], row, atol=1e-13)
    assert np.abs(basis.W[:31] @ basis.W[:31].T - np.eye(31)).max() < 1e-8


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(0, 5),
    exponents=st.lists(st.floats(-12, 2), min_size=2, max_size=25),
)
def test_loss_is_a_bound(seed, k, exponents):
    """Vectors that are close to the ones before, by any factor: never less orthogonal than said.

    Nor longer or shorter than LOSS, and the coefficients give the vector back.
    """
    basis = Basis(PETSc.Vec().createSeq(200, comm=PETSc.COMM_SELF), 31, 5)
    rng, rows, h = np.random.default_rng(seed), GramSchmidt(basis), np.zeros(31)
    basis.W[:k] = orthonormal(k, seed)
    basis.r_row[:] = rng.standard_normal(200)
    _, _, beta = rows.begin(k)
    basis.W[k] /= beta
    for c, exponent in enumerate(exponents, start=k + 1):
        row = rng.standard_normal(c) @ basis.W[:c] + 10.0**exponent * rng.standard_normal(200)
        basis.W[c] = row
        length = rows.orthogonalise(c, k, h[:c])
        back = h[:c] @ basis.W[:c] + length * basis.W[c]
        np.testing.assert_allclose(back, row, rtol=0, atol=1e-14 * np.linalg.norm(row))
    W = basis.W[: c + 1]
    assert off_diagonal(W) <= 10 * rows.loss  # the bound leaves out the sums' own rounding
    assert rows.loss <= 2 * LOSS
    assert np.abs(np.sum(W * W, axis=1) - 1).max() <= 4 * LOSS
    basis.destroy()


def test_noise_counts_as_nothing(basis):
    rows = GramSchmidt(basis)
    basis.W[:4] = orthonormal(4)
    basis.W[4] = RNG(1).standard_normal(4) @ basis.W[:4]
    assert rows.orthogonalise(4, 0, np.zeros(4)) == 0.0


def test_skew_images_are_corrected_for(basis):
    """C that is orthonormal to 1e-6 only: its complement is met to rounding all the same."""
    C = orthonormal(5) + 1e-6 * RNG(1).standard_normal((5, 200)) / 15
    basis.W[:5] = C
    basis.r_row[:] = RNG(2).standard_normal(200)
    r = basis.r_row.copy()
    rows = GramSchmidt(basis)
    worst, a, norm = rows.begin(5)
    assert 1e-8 < worst < 1e-5
    np.testing.assert_allclose(basis.W[5] + a @ C, r, atol=1e-14)
    assert norm == pytest.approx(np.linalg.norm(basis.W[5]), rel=1e-12)
    basis.W[5] /= norm
    basis.W[6] = RNG(3).standard_normal(200)
    rows.orthogonalise(6, 5, np.zeros(6))
    assert np.abs(C @ basis.W[5:7].T).max() < 1e-15


def test_residual_in_the_space_is_projected_twice(basis):
    """What is left is a billionth: one pass would leave it far from orthogonal to C."""
    C = orthonormal(5)
    basis.W[:5] = C
    rest = 1e-9 * RNG(2).standard_normal(200)
    basis.r_row[:] = np.ones(5) @ C + rest
    _, a, norm = GramSchmidt(basis).begin(5)
    left = basis.W[5]
    assert np.abs(C @ left).max() < 1e-15 * norm
    assert norm == pytest.approx(np.linalg.norm(left), rel=1e-9)
    np.testing.assert_allclose(a, 1.0 + C @ rest, rtol=1e-14)


def test_renewal_straightens_the_images():
    """A C that was skew by 1e-6 is orthonormal after the next cycle, and B U = C still holds."""
    context, matrix = GCRODR(20, 8), diffusion(15)
    A = to_petsc(matrix)
    ksp = ksp_gcrodr(A, context)
    solve(ksp, vector(A, RNG(0).standard_normal(225)))
    k, basis, space = context.recycled, context._basis, context._space
    T = np.eye(k) + 1e-6 * RNG(1).standard_normal((k, k))
    basis.W[:k], basis.U[:k] = T @ basis.W[:k], T @ basis.U[:k]
    space.CtU = T @ space.CtU @ T.T
    solve(ksp, vector(A, RNG(2).standard_normal(225)))
    assert ksp.getConvergedReason() > 0
    assert context.dropped == 0
    C, U = basis.W[: context.recycled], basis.U[: context.recycled]
    assert np.abs(C @ C.T - np.eye(len(C))).max() < 1e-11
    np.testing.assert_allclose(U @ matrix.T, C, atol=1e-11)
    np.testing.assert_allclose(C @ U.T, space.CtU, atol=1e-9 * np.abs(U).max())
