"""Coarse spaces that vanish where the finest dofs are constrained, and PETSc's arrays in place."""

import numpy as np
import scipy.sparse as sp
from mpi4py import MPI
from petsc4py import PETSc
from solver_problems import diffusion, to_petsc

from solvers import Strategy, System, solve_stream
from solvers.csr import csr_arrays
from solvers.hierarchy import SMALLEST, free_prolongations


def halving(n):
    """Linear interpolation from n + 1 points of a line to 2n + 1."""
    P = sp.lil_matrix((2 * n + 1, n + 1))
    for i in range(n + 1):
        P[2 * i, i] = 1.0
    for i in range(n):
        P[2 * i + 1, [i, i + 1]] = 0.5
    return P.tocsr()


def test_coarse_functions_vanish_in_constrained_dofs():
    chain = [halving(512), halving(256)]
    free = np.ones(1025, dtype=bool)
    free[[0, 1023, 1024]] = False
    fine, coarse = free_prolongations(chain, free)
    assert fine.shape == (1025, 510)  # 0, 511 and 512 reach into constrained dofs
    assert not fine[~free].nnz
    assert coarse.shape[0] == 510 and coarse.shape[1] <= 256
    np.testing.assert_array_equal(fine.toarray()[:, 4], chain[0].toarray()[:, 5])
    shorter = free_prolongations([halving(SMALLEST // 2), halving(SMALLEST // 4)], None)
    assert len(shorter) == 1


def test_geometric_multigrid_converges_fast():
    """PCMG on nested lines, constrained ends, changing matrices: few iterations, each time."""
    n = 1024
    free = np.ones(n + 1, dtype=bool)
    free[[0, n]] = False
    transfers = [halving(n // 2), halving(n // 4)]

    def systems():
        for i in range(4):
            a = np.exp(0.5 * np.sin(np.arange(n) * (i + 1) / n))
            M = sp.diags_array([-a, -a], offsets=[-1, 1]) + sp.diags(
                np.append(a, 0) + np.append(0, a)
            )
            M = sp.diags(free * 1.0) @ M @ sp.diags(free * 1.0) + sp.diags(~free * 1.0)
            b = np.ones(n + 1)
            b[~free] = 0.0
            A = to_petsc(M.tocsr())
            right = A.createVecLeft()
            right.setArray(b)
            yield System(i, A, right, free)

    found = list(
        solve_stream(
            systems(), Strategy("cg", "mg"), rtol=1e-8, comm=MPI.COMM_SELF, prolongations=transfers
        )
    )
    assert [(s.converged, s.ladder) for s in found] == [(True, ())] * 4
    assert max(s.iterations for s in found) < 25  # CG with Jacobi takes hundreds


def test_arrays_of_a_matrix_in_place():
    matrix = diffusion(8)
    A = to_petsc(matrix)
    state = A.stateGet()
    with csr_arrays(A) as (indptr, indices, values):
        found = sp.csr_matrix((values, indices, indptr)).toarray()
        assert not values.flags.owndata
    np.testing.assert_array_equal(found, matrix.toarray())
    assert A.stateGet() == state
    empty = PETSc.Mat().createAIJ((3, 3), nnz=0, comm=PETSc.COMM_SELF)
    empty.assemble()
    with csr_arrays(empty) as (indptr, _, values):
        assert indptr.tolist() == [0, 0, 0, 0] and not len(values)
