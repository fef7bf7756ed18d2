"""GCRODR's known answers."""

import numpy as np
import pytest
from mpi4py import MPI
from petsc4py import PETSc
from solver_problems import (
    configure,
    counted,
    diffusion,
    gmres_dr,
    ksp_gcrodr,
    solve,
    to_petsc,
    vector,
)

from solvers import GCRODR

RNG = np.random.default_rng


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pc", ["none", "jacobi", "ilu", "sor"])
def test_first_cycle_is_gmres(pc, side):
    """The residual history of PETSc's GMRES(m), re-orthogonalised as GCRODR is."""
    A = to_petsc(diffusion(20, contrast=1.5))
    b = vector(A, RNG(1).standard_normal(400))
    ours = ksp_gcrodr(A, GCRODR(30, 10), pc, side, rtol=1e-9)
    solve(ours, b)
    theirs = PETSc.KSP().create(A.comm)
    theirs.setType("gmres")
    theirs.setGMRESRestart(30)
    prefix = f"gmres_{pc}_{side}_"
    theirs.setOptionsPrefix(prefix)
    options = PETSc.Options(prefix)
    options["ksp_gmres_cgs_refinement_type"] = "refine_always"
    theirs.setFromOptions()
    options.delValue("ksp_gmres_cgs_refinement_type")
    configure(theirs, A, pc, side, 1e-9, 5000)
    solve(theirs, b)
    first = min(31, theirs.getIterationNumber() + 1)
    assert first > 10
    reference = theirs.getConvergenceHistory()[:first]
    np.testing.assert_allclose(  # to rounding of the right-hand side
        ours.getConvergenceHistory()[:first], reference, rtol=1e-10, atol=1e-14 * reference[0]
    )


@pytest.mark.parametrize("shift", [0.0, 0.6], ids=["definite", "indefinite"])
@pytest.mark.parametrize(("m", "k"), [(20, 6), (15, 5), (12, 1)])
def test_cold_cycles_are_gmres_dr(m, k, shift):
    matrix = diffusion(12, seed=3, skew=0.6, shift=shift)
    b = RNG(2).standard_normal(144)
    reference = gmres_dr(matrix.toarray(), b, m, k, 90)
    A = to_petsc(matrix)
    ksp = ksp_gcrodr(A, GCRODR(m, k), rtol=1e-7)
    solve(ksp, vector(A, b))
    ours = ksp.getConvergenceHistory()
    length = min(len(ours) - 1, 90)  # the last entry is the explicit residual
    assert length > 2 * m
    np.testing.assert_allclose(ours[:length], reference[:length], rtol=1e-6)


def test_every_application_is_an_iteration():
    A, count = counted(to_petsc(diffusion(15)))
    b = vector(A, np.ones(225))
    context = GCRODR(20, 8)
    ksp = ksp_gcrodr(A, context)
    for _ in range(3):
        before = count.count
        x = solve(ksp, b)
        assert ksp.getIterationNumber() == context.applications == count.count - before
        assert len(ksp.getConvergenceHistory()) == ksp.getIterationNumber() + 1
        A.stateIncrease()  # "changed": the images are formed again
    before = count.count
    solve(ksp, b, guess=0.5 * x)
    assert ksp.getIterationNumber() == count.count - before


def test_previous_solution_costs_one_application():
    A, count = counted(to_petsc(diffusion(15)))
    b = vector(A, np.ones(225))
    ksp = ksp_gcrodr(A, GCRODR(20, 8), rtol=1e-8)
    x = solve(ksp, b)
    before = count.count
    again = solve(ksp, b, guess=x)
    assert count.count - before == 1
    assert ksp.getIterationNumber() == 1
    assert ksp.getConvergedReason() > 0
    np.testing.assert_array_equal(again, x)


def test_unchanged_operator_keeps_images():
    """A second right-hand side pays no k applications, and gains from the space."""
    A = to_petsc(diffusion(25))
    ksp = ksp_gcrodr(A, GCRODR(20, 8))
    solve(ksp, vector(A, RNG(0).standard_normal(625)))
    cold = ksp.getIterationNumber()
    ksp.setPythonContext(context := GCRODR(20, 8))
    solve(ksp, vector(A, np.ones(625)))
    solve(ksp, vector(A, RNG(0).standard_normal(625)))
    kept = ksp.getIterationNumber()
    A.stateIncrease()
    solve(ksp, vector(A, RNG(0).standard_normal(625)))
    assert context.recycled >= 8
    assert kept < cold
    assert ksp.getConvergenceHistory()[0] == ksp.getConvergenceHistory()[7]  # the k of A·U


def test_tolerance_refers_to_the_residual_before_projection():
    """Most of b lies in C: what is left after the first projection isn't the new reference."""
    A = to_petsc(diffusion(25))
    ksp = ksp_gcrodr(A, context := GCRODR(20, 8), rtol=1e-4)
    solve(ksp, vector(A, RNG(0).standard_normal(625)))
    b = 100.0 * context._basis.W[0] + 1e-2 * RNG(1).standard_normal(625)
    solve(ksp, vector(A, b))
    history = ksp.getConvergenceHistory()
    assert history[0] == pytest.approx(np.linalg.norm(b))
    assert 1e-5 * history[0] < history[-1] <= 1e-4 * history[0]


SEQUENCES = {
    "drift": [diffusion(24, seed=0, contrast=1.0 + 0.02 * i) for i in range(6)],
    "repeated": [diffusion(24, seed=1)] * 4,
    "indefinite": [diffusion(16, seed=2, contrast=0.3, shift=0.3 + 0.002 * i) for i in range(6)],
    "scaled": [diffusion(24, seed=4) * 10.0 ** (3 * (i % 3)) for i in range(6)],
}


@pytest.mark.parametrize("pc", ["none", "jacobi", "ilu"])
@pytest.mark.parametrize("name", SEQUENCES)
def test_recycling_never_costs_more_than_cold(name, pc):
    matrices = SEQUENCES[name]
    n = matrices[0].shape[0]
    totals = {}
    for recycled in (True, False):
        context = GCRODR(40, 20)
        ksp, total = None, 0
        for matrix in matrices:
            A = to_petsc(matrix)
            ksp = ksp or ksp_gcrodr(A, context, pc)
            ksp.setOperators(A)
            if not recycled:
                context.forget()
            b = vector(A, np.ones(n))
            x = solve(ksp, b)
            assert ksp.getConvergedReason() > 0
            assert np.linalg.norm(matrix @ x - 1.0) <= 1.001e-8 * np.sqrt(n)
            total += ksp.getIterationNumber()
        totals[recycled] = total
    assert totals[True] <= totals[False], totals


def test_space_that_does_not_pay_is_left_alone():
    """Unrelated systems: one recycled solve is lost (k images), then the method starts cold."""
    context, ksp, counts = GCRODR(40, 20), None, []
    for seed in range(6):
        A = to_petsc(diffusion(24, seed=seed, contrast=0.5))
        ksp = ksp or ksp_gcrodr(A, context, "jacobi")
        ksp.setOperators(A)
        solve(ksp, vector(A, np.ones(576)))
        counts.append(ksp.getIterationNumber())
    assert counts[0] < counts[1] <= counts[0] + 30
    assert max(counts[2:]) < counts[1]


def test_recycling_gains_on_drift():
    """Worth ≥ 1.3× on a slow sequence: the space is used, not just harmless."""
    counts = []
    context, ksp = GCRODR(40, 20), None
    for i in range(4):
        A = to_petsc(diffusion(30, seed=5, contrast=1.0 + 0.005 * i))
        ksp = ksp or ksp_gcrodr(A, context)
        ksp.setOperators(A)
        solve(ksp, vector(A, np.ones(900)))
        counts.append(ksp.getIterationNumber())
    assert max(counts[1:]) * 1.3 < counts[0], counts


def rotation(n=60):
    """Block diagonal with complex pairs of growing modulus, the smallest eigenvalues first."""
    matrix = np.zeros((n, n))
    for i in range(0, n, 2):
        size, angle = 0.2 * (i + 1), 1.2
        c, s = size * np.cos(angle), size * np.sin(angle)
        matrix[i : i + 2, i : i + 2] = [[c, s], [-s, c]]
    return matrix


@pytest.mark.parametrize("k", [1, 3, 5])
def test_complex_pairs_stay_together(k):
    """All eigenvalues are complex: an odd k keeps k + 1 vectors, at every cycle."""
    A = to_petsc(rotation())
    context = GCRODR(20, k)
    ksp = ksp_gcrodr(A, context, rtol=1e-6, max_it=60)
    solve(ksp, vector(A, RNG(0).standard_normal(60)))
    assert context.recycled == k + 1


def test_options_monitors_history_and_view(tmp_path):
    A = to_petsc(diffusion(12))
    ksp = PETSc.KSP().create(A.comm)
    ksp.setOptionsPrefix("mine_")
    options = PETSc.Options("mine_")
    chosen = {
        "ksp_type": "python",
        "ksp_python_type": "solvers.GCRODR",
        "ksp_gcrodr_restart": 17,
        "ksp_gcrodr_recycle": 5,
    }
    for name, value in chosen.items():
        options[name] = value
    ksp.setOperators(A)
    ksp.setFromOptions()
    for name in chosen:
        options.delValue(name)
    context = ksp.getPythonContext()
    assert (context.restart, context.recycle) == (17, 5)
    seen = []
    ksp.setMonitor(lambda ksp, its, norm: seen.append((its, norm)))
    ksp.setConvergenceHistory()
    b = vector(A, np.ones(144))
    x = b.duplicate()
    ksp.solve(b, x)
    assert [its for its, _ in seen] == list(range(ksp.getIterationNumber() + 1))
    np.testing.assert_array_equal([norm for _, norm in seen], ksp.getConvergenceHistory())
    viewer = PETSc.Viewer().createASCII(str(tmp_path / "view.txt"))
    ksp.view(viewer)
    viewer.destroy()
    assert "restart=17, recycle=5" in (tmp_path / "view.txt").read_text()


def test_python_convergence_test_is_asked():
    A = to_petsc(diffusion(12))
    ksp = ksp_gcrodr(A, GCRODR(20, 5, verify=False))
    ksp.setConvergenceTest(lambda ksp, its, norm: 2 if its >= 7 else 0)
    solve(ksp, vector(A, np.ones(144)))
    assert ksp.getIterationNumber() == 7
    assert ksp.getConvergedReason() == 2


@pytest.mark.parametrize(
    ("m", "k", "words"), [(20, 19, "= 18"), (20, 20, "= 18"), (2, 0, "at least 3"), (9, -1, "-1")]
)
def test_impossible_sizes_are_refused(m, k, words):
    with pytest.raises(ValueError, match=words):
        GCRODR(m, k)
    assert GCRODR(20, 18).recycle == 18


def test_wrong_norm_is_refused():
    A = to_petsc(diffusion(5))
    ksp = ksp_gcrodr(A, GCRODR(10, 3), "jacobi", "left")
    ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
    with pytest.raises((ValueError, PETSc.Error), match="norm|77|error"):
        solve(ksp, vector(A, np.ones(25)))


@pytest.mark.parallel([2, 3])
def test_same_iterations_on_any_number_of_ranks():
    for pc in ("none", "jacobi"):
        counts, solutions = [], []
        for comm in (MPI.COMM_SELF, MPI.COMM_WORLD):
            ksp, context = None, GCRODR(30, 10)
            for i in range(3):
                A = to_petsc(diffusion(20, contrast=1.0 + 0.02 * i), comm)
                ksp = ksp or ksp_gcrodr(A, context, pc)
                ksp.setOperators(A)
                x = solve(ksp, vector(A, np.ones(400)))
                assert ksp.getConvergedReason() > 0
                counts.append(ksp.getIterationNumber())
            solutions.append(np.concatenate(comm.allgather(x)))
        assert np.abs(np.subtract(counts[:3], counts[3:])).max() <= 1, counts
        np.testing.assert_allclose(*solutions, rtol=1e-5, atol=1e-7)


@pytest.mark.parallel([2])
def test_rank_without_rows():
    """Three rows on the last rank only."""
    comm = MPI.COMM_WORLD
    n = 3 if comm.rank == comm.size - 1 else 0
    A = PETSc.Mat().createAIJ(((n, 3), (n, 3)), nnz=1, comm=comm)
    for i in range(*A.getOwnershipRange()):
        A[i, i] = i + 1.0
    A.assemble()
    b = A.createVecLeft()
    b.set(1.0)
    ksp = ksp_gcrodr(A, GCRODR(10, 3))
    x = solve(ksp, b)
    np.testing.assert_allclose(np.concatenate(comm.allgather(x)), [1, 1 / 2, 1 / 3])
