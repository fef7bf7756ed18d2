"""GCRODR on random sequences and on the SKR paper's, on one and several ranks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI
from solver_problems import (
    KINDS,
    definite_matrix,
    ksp_gcrodr,
    random_matrix,
    solve,
    to_petsc,
    vector,
)

from benchmarks.skr_stencils import random_field, released
from solvers import GCRODR

# Derandomised: every rank draws the same examples. A claim is checked on gathered arrays, so that
# it holds or fails on all ranks alike. Three ranks on two cores take milliseconds a reduction.
EXAMPLES = {1: 40, 2: 10, 3: 3}[MPI.COMM_WORLD.size]
DRAWS = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)

# m, and how far k is below its largest value m − 2
SIZES = st.tuples(st.integers(3, 25), st.one_of(st.just(0), st.integers(0, 23)))


def gathered(ksp, A, b, guess=None):
    """The whole solution, on all ranks."""
    local = None if guess is None else guess[slice(*A.getOwnershipRange())]
    return np.concatenate(A.comm.tompi4py().allgather(solve(ksp, vector(A, b), local)))


@pytest.mark.parallel([1, 2, 3])
@DRAWS
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 50),
    kinds=st.lists(st.sampled_from(KINDS), min_size=2, max_size=6),
    sizes=SIZES,
    pc=st.sampled_from(["none", "jacobi"]),
    side=st.sampled_from(["left", "right"]),
    always=st.booleans(),
    guess=st.booleans(),
)
def test_what_is_called_converged_is(seed, n, kinds, sizes, pc, side, always, guess):
    """Whatever comes: the claimed residual is there, in the norm that was tested."""
    rng = np.random.default_rng(seed)
    m, k = sizes[0], max(sizes[0] - 2 - sizes[1], 0)
    context, ksp, matrix = GCRODR(m, k, always=always), None, None
    with np.errstate(all="ignore"):
        for kind in kinds:
            if kind != "repeat" or matrix is None:
                matrix = random_matrix(rng, n, kind)
                A = to_petsc(matrix, MPI.COMM_WORLD)
            ksp = ksp or ksp_gcrodr(A, context, pc, side, max_it=400)
            ksp.setOperators(A)
            b = rng.standard_normal(n) * rng.choice([0.0, 1e-8, 1.0, 1e8], p=[0.1, 0.2, 0.5, 0.2])
            start = rng.standard_normal(n) if guess else np.zeros(n)
            x = gathered(ksp, A, b, start if guess else None)
            assert ksp.getIterationNumber() <= 401
            if ksp.getConvergedReason() > 0:
                check_claim(matrix, b if b.any() else matrix @ start, b - matrix @ x, x, pc, side)


def check_claim(matrix, b, r, x, pc, side):
    """The residual r in the tested norm, up to what PETSc's other order of summation changes.

    PETSc measures it by b, or by the first residual where b = 0.
    """
    row_sizes = abs(matrix) @ abs(x)
    if side == "left" and pc == "jacobi":
        diagonal = matrix.diagonal()
        diagonal[diagonal == 0] = 1.0
        r, b, row_sizes = r / diagonal, b / diagonal, row_sizes / abs(diagonal)
    rounding = 1e-15 * np.linalg.norm(row_sizes)
    assert np.linalg.norm(r) <= 1.001e-8 * np.linalg.norm(b) + rounding


@pytest.mark.parallel([1, 2])
@DRAWS
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 60),
    kinds=st.lists(st.sampled_from(["plain", "pairs", "scaled", "repeat"]), min_size=2, max_size=5),
    sizes=SIZES,
    side=st.sampled_from(["left", "right"]),
    always=st.booleans(),
)
def test_every_definite_system_converges(seed, n, kinds, sizes, side, always):
    """A recycled space of any provenance spoils no system that GMRES(m) would solve."""
    rng = np.random.default_rng(seed)
    m, k = sizes[0], max(sizes[0] - 2 - sizes[1], 0)
    context, ksp, matrix = GCRODR(m, k, always=always), None, None
    for kind in kinds:
        if kind != "repeat" or matrix is None:
            matrix = definite_matrix(rng, n, kind)
            A = to_petsc(matrix, MPI.COMM_WORLD)
        ksp = ksp or ksp_gcrodr(A, context, "none", side, max_it=20000)
        ksp.setOperators(A)
        b = rng.standard_normal(n)
        x = gathered(ksp, A, b)
        assert ksp.getConvergedReason() > 0, (kind, ksp.getConvergedReason())
        assert np.linalg.norm(b - matrix @ x) <= 1.001e-8 * np.linalg.norm(b)


def released_sequence(m, count, wave):
    """Systems of the paper's released Darcy (wave = 0) or Helmholtz code, unsorted."""
    rng, h = np.random.default_rng(11), 1.0 / (m - 1)
    for _ in range(count):
        shape = (m + 2, m + 2)
        noise = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2.0)
        yield released(np.exp(random_field(noise)), (h * wave * rng.random()) ** 2)


CASES = [
    (pc, side, always)
    for pc in ("none", "jacobi", "sor", "ilu")
    for side in (("right", "left") if pc != "none" else ("right",))
    for always in (True, False)
]


def check_released(m, count, wave, pc, side, always):
    """Every system, to its true residual (on the left: to the preconditioned one)."""
    context, ksp, b = GCRODR(40, 20, always=always), None, np.full(m * m, 1.0 / (m - 1) ** 2)
    for matrix in released_sequence(m, count, wave):
        A = to_petsc(matrix)
        ksp = ksp or ksp_gcrodr(A, context, pc, side, max_it=10000)
        ksp.setOperators(A)
        x = solve(ksp, vector(A, b))
        true = np.linalg.norm(b - matrix @ x) / np.linalg.norm(b)
        assert ksp.getConvergedReason() > 0, (ksp.getConvergedReason(), true)
        assert true <= (1.001e-8 if side == "right" else 1e-7)
        A.destroy()


@pytest.mark.parametrize("wave", [0.0, 1.0], ids=["darcy", "helmholtz"])
@pytest.mark.parametrize(("pc", "side", "always"), CASES)
def test_released_sequences_converge(pc, side, always, wave):
    """Where compiled GCRO-DR (HPDDM 2.4) diverged on 28 of 30 systems."""
    check_released(20, 10, wave, pc, side, always)


@pytest.mark.long
@pytest.mark.parametrize("m", [50, 100])
@pytest.mark.parametrize("wave", [0.0, 1.0], ids=["darcy", "helmholtz"])
@pytest.mark.parametrize(("pc", "side", "always"), CASES)
def test_released_sequences_converge_in_full_size(pc, side, always, wave, m):
    check_released(m, 30, wave, pc, side, always)
