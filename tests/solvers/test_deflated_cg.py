"""DeflatedCG's known answers."""

import numpy as np
import pytest
import scipy.sparse as sp
from mpi4py import MPI
from petsc4py import PETSc
from solver_problems import configure, counted, diffusion, solve, to_petsc, vector

from solvers.deflated_cg import DeflatedCG

RNG = np.random.default_rng
Norm = PETSc.KSP.NormType


def ksp_with(A, context, pc="none", rtol=1e-8, max_it=5000, norm=Norm.UNPRECONDITIONED):
    """A KSP around a DeflatedCG, or PETSc's CG for None."""
    ksp = PETSc.KSP().create(A.comm)
    ksp.setType("cg" if context is None else "python")
    if context is not None:
        ksp.setPythonContext(context)
    configure(ksp, A, pc, "left", rtol, max_it)
    ksp.setNormType(norm)
    return ksp


def spd(nx, **kwargs):
    return diffusion(nx, skew=0.0, **kwargs)


def few_small(angle, n=160, small=6):
    """`small` eigenvalues near 1e-4 … 1e-3, the others in [1, 3]; eigenvectors turn by `angle`."""
    rng = RNG(3)
    values = np.r_[np.geomspace(1e-4, 1e-3, small), np.linspace(1.0, 3.0, n - small)]
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    S = rng.standard_normal((n, n)) / np.sqrt(n)
    turn = np.linalg.qr(np.eye(n) + angle * (S - S.T))[0]
    return turn @ (Q * values @ Q.T) @ turn.T


@pytest.mark.parametrize("norm", [Norm.UNPRECONDITIONED, Norm.PRECONDITIONED])
@pytest.mark.parametrize("pc", ["none", "jacobi", "icc"])
@pytest.mark.parametrize("recycle", [0, 6])
def test_a_cold_solve_is_cg(recycle, pc, norm):
    """The residual history of PETSc's CG, with compressions of the window on the way."""
    A = to_petsc(spd(20, contrast=0.3))  # no outliers: rounding doesn't grow
    b = vector(A, RNG(1).standard_normal(400))
    ours = ksp_with(A, DeflatedCG(recycle, 14, verify=False), pc, norm=norm)
    theirs = ksp_with(A, None, pc, norm=norm)
    x, y = solve(ours, b), solve(theirs, b)
    assert ours.getIterationNumber() == theirs.getIterationNumber() > 14
    np.testing.assert_allclose(
        ours.getConvergenceHistory()[:50], theirs.getConvergenceHistory()[:50], rtol=1e-6
    )
    np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-9)


def cg_norms(A, b, W, M, count):
    """Residual norms of CG on the projected system P A y = P b, P = I − AW(WᵀAW)⁻¹Wᵀ, dense."""
    AW = A @ W
    P = np.eye(len(b)) - AW @ np.linalg.solve(W.T @ AW, W.T)
    r = P @ b
    z = r / M
    p, norms = z, [np.linalg.norm(r)]
    for _ in range(count):
        q = P @ (A @ p)
        alpha = (r @ z) / (p @ q)
        new = r - alpha * q
        z_new = new / M
        p, r, z = z_new + (new @ z_new) / (r @ z) * p, new, z_new
        norms.append(np.linalg.norm(r))
    return np.array(norms)


@pytest.mark.parametrize("pc", ["none", "jacobi"])
def test_a_deflated_solve_is_cg_on_the_projected_system(pc):
    matrix = spd(14, contrast=0.3)
    A = to_petsc(matrix)
    context = DeflatedCG(5, 20, verify=False, always=True)
    ksp = ksp_with(A, context, pc)
    solve(ksp, vector(A, np.ones(196)))
    W = context._space.W[:5].T.copy()
    changed, b = spd(14, contrast=0.35), RNG(2).standard_normal(196)
    B = to_petsc(changed)
    ksp.setOperators(B)
    solve(ksp, vector(B, b))
    ours = ksp.getConvergenceHistory()[5:]  # the initial norm, then those of the images
    M = changed.diagonal() if pc == "jacobi" else np.ones(196)
    reference = cg_norms(changed.toarray(), b, W, M, len(ours) - 1)
    np.testing.assert_allclose(ours[1:30], reference[1:30], rtol=1e-6)
    assert ours[0] == np.linalg.norm(b)


@pytest.mark.parametrize("pc", ["none", "jacobi"])
@pytest.mark.parametrize("solves", [1, 2])
def test_projection_without_inner_products(solves, pc):
    """T from the scalars of CG = ZᵀA M⁻¹A Z, after compressions (cold) and with W (warm)."""
    context = DeflatedCG(4, 12, always=True, verify=False)
    ksp = None
    for i in range(solves):
        matrix = spd(12, contrast=0.3 + 0.05 * i)
        A = to_petsc(matrix)
        ksp = ksp or ksp_with(A, context, pc, max_it=100 if solves > 1 else 41)
        ksp.setOperators(A)
        context._renew = type(context)._renew.__get__(context)
        if i == solves - 1:
            context._renew = lambda space: None  # leave W and the window as the solve had them
        solve(ksp, vector(A, RNG(i).standard_normal(144)))
    space, ritz = context._space, context._ritz
    V = space.V[: ritz.size].T * ritz._scale()
    Z = np.hstack([space.W[: space.k].T, V])
    assert ritz.size > 4
    assert space.k == (4 if solves > 1 else 0)
    np.testing.assert_allclose(Z.T @ (matrix @ Z), np.eye(Z.shape[1]), atol=1e-7)
    AZ = matrix @ Z
    M = matrix.diagonal() if pc == "jacobi" else np.ones(144)
    reference = AZ.T @ (AZ / M[:, None])
    np.testing.assert_allclose(ritz._assembled(), reference, atol=1e-7 * reference.max())


def test_space_finds_the_smallest_eigenvectors():
    matrix = few_small(0.0)
    A = to_petsc(matrix)
    context = DeflatedCG(6, 20)
    ksp = ksp_with(A, context)
    solve(ksp, vector(A, RNG(0).standard_normal(160)))
    W = np.linalg.qr(context._space.W[:6].T)[0]
    exact = np.linalg.eigh(matrix)[1][:, :6]
    assert np.linalg.norm(exact - W @ (W.T @ exact), 2) < 0.02


@pytest.mark.parametrize("pc", ["none", "jacobi"])
def test_slow_sequences_need_fewer_iterations(pc):
    """From the second system on, the k images counted; without being told to (`always`)."""
    context, ours, theirs, counts = DeflatedCG(8, 30, verify=False), None, None, []
    for i in range(5):
        matrix = few_small(0.001 * i)
        A = to_petsc(matrix)
        b = vector(A, RNG(i).standard_normal(160))
        ours, theirs = ours or ksp_with(A, context, pc), theirs or ksp_with(A, None, pc)
        for ksp in (ours, theirs):
            ksp.setOperators(A)
            x = solve(ksp, b)
            assert ksp.getConvergedReason() > 0
            assert np.linalg.norm(b.array - matrix @ x) <= 1.001e-8 * np.linalg.norm(b.array)
        counts.append((ours.getIterationNumber(), theirs.getIterationNumber()))
    assert counts[0][0] == counts[0][1]
    for deflated, plain in counts[1:]:
        assert 1.5 * deflated < plain, counts


def test_diffusion_sequence_gains():
    counts = []
    context, ksp = DeflatedCG(8, 40), None
    for i in range(4):
        A = to_petsc(spd(30, seed=5, contrast=1.0 + 0.005 * i))
        ksp = ksp or ksp_with(A, context)
        ksp.setOperators(A)
        solve(ksp, vector(A, np.ones(900)))
        counts.append(ksp.getIterationNumber())
    assert max(counts[1:]) * 1.25 < counts[0], counts


def test_every_application_is_an_iteration():
    A, count = counted(to_petsc(few_small(0.0)))
    context = DeflatedCG(6, 20)
    ksp = ksp_with(A, context)
    b = vector(A, np.ones(160))
    x = None
    for i in range(4):
        before = count.count
        x = solve(ksp, b, guess=None if i < 3 else 0.5 * x)
        assert context._used == (6 if i else 0)
        assert ksp.getIterationNumber() == context.applications == count.count - before
        assert len(ksp.getConvergenceHistory()) == ksp.getIterationNumber() + 1
        A.stateIncrease()  # "changed": the images are formed again


def test_unchanged_operator_pays_for_the_images_once():
    A, count = counted(to_petsc(few_small(0.0)))
    context = DeflatedCG(6, 20, verify=False)
    ksp, costs = ksp_with(A, context), []
    for i in range(5):
        before = count.count
        solve(ksp, vector(A, RNG(i).standard_normal(160)))
        costs.append(count.count - before)
        if i == 3:
            context.operator_changed()
    assert costs[1] < costs[0]
    assert costs[1] - costs[2] == pytest.approx(6, abs=1)
    assert abs(costs[2] - costs[3]) <= 1
    assert costs[4] - costs[3] == pytest.approx(6, abs=1)


def test_previous_solution_costs_one_application():
    A, count = counted(to_petsc(spd(15)))
    b = vector(A, np.ones(225))
    ksp = ksp_with(A, DeflatedCG())
    x = solve(ksp, b)
    before = count.count
    again = solve(ksp, b, guess=x)
    assert count.count - before == ksp.getIterationNumber() == 1
    assert ksp.getConvergedReason() > 0
    np.testing.assert_array_equal(again, x)


def test_space_that_does_not_pay_is_left_alone():
    """Unrelated well-conditioned systems: the images are lost once, then not for a while."""
    context, ksp, counts = DeflatedCG(20, 40, verify=False), None, []
    for seed in range(6):
        matrix = spd(16, seed=seed, contrast=0.3) + 0.3 * sp.eye(256)
        A = to_petsc(matrix)
        ksp = ksp or ksp_with(A, context, "jacobi")
        ksp.setOperators(A)
        solve(ksp, vector(A, np.ones(256)))
        counts.append(ksp.getIterationNumber())
    assert counts[0] < counts[1] <= counts[0] + 20
    assert max(counts[2:]) <= counts[0] + 3


def test_options_monitors_history_and_view(tmp_path):
    A = to_petsc(spd(12))
    ksp = PETSc.KSP().create(A.comm)
    ksp.setOptionsPrefix("mine_")
    options = PETSc.Options("mine_")
    chosen = {
        "ksp_type": "python",
        "ksp_python_type": "solvers.deflated_cg.DeflatedCG",
        "ksp_deflated_cg_recycle": 5,
        "ksp_deflated_cg_window": 17,
    }
    for name, value in chosen.items():
        options[name] = value
    ksp.setOperators(A)
    ksp.setFromOptions()
    for name in chosen:
        options.delValue(name)
    context = ksp.getPythonContext()
    assert (context.recycle, context.window) == (5, 17)
    seen = []
    ksp.setMonitor(lambda ksp, its, norm: seen.append((its, norm)))
    ksp.setConvergenceHistory()
    b = vector(A, np.ones(144))
    x = b.duplicate()
    ksp.solve(b, x)
    assert context.recycled == 5
    assert [its for its, _ in seen] == list(range(ksp.getIterationNumber() + 1))
    np.testing.assert_array_equal([norm for _, norm in seen], ksp.getConvergenceHistory())
    viewer = PETSc.Viewer().createASCII(str(tmp_path / "view.txt"))
    ksp.view(viewer)
    viewer.destroy()
    assert "recycle=5, window=17, vectors held: 5" in (tmp_path / "view.txt").read_text()


def test_python_convergence_test_is_asked():
    A = to_petsc(spd(12))
    ksp = ksp_with(A, DeflatedCG(verify=False))
    ksp.setConvergenceTest(lambda ksp, its, norm: 2 if its >= 7 else 0)
    solve(ksp, vector(A, np.ones(144)))
    assert (ksp.getIterationNumber(), ksp.getConvergedReason()) == (7, 2)


@pytest.mark.parametrize(
    ("recycle", "window", "words"), [(-1, 40, "recycle=-1"), (8, 9, "at least 10")]
)
def test_impossible_sizes_are_refused(recycle, window, words):
    with pytest.raises(ValueError, match=words):
        DeflatedCG(recycle, window)
    assert DeflatedCG(8, 10).window == 10


@pytest.mark.parametrize("what", ["side", "norm"])
def test_wrong_side_or_norm_is_refused(what):
    ksp = ksp_with(to_petsc(spd(5)), DeflatedCG())
    if what == "side":
        ksp.setPCSide(PETSc.PC.Side.RIGHT)
    else:
        ksp.setNormType(Norm.NATURAL)
    with pytest.raises((ValueError, PETSc.Error), match="DeflatedCG got|error"):
        ksp.setUp()


@pytest.mark.parallel([2, 3])
def test_same_iterations_on_any_number_of_ranks():
    for pc in ("none", "jacobi"):
        counts, solutions = [], []
        for comm in (MPI.COMM_SELF, MPI.COMM_WORLD):
            ksp, context = None, DeflatedCG(6, 20, always=True)
            for i in range(4):
                A = to_petsc(spd(20, contrast=0.3 + 0.02 * min(i, 2)), comm)
                ksp = ksp or ksp_with(A, context, pc)
                ksp.setOperators(A)
                x = solve(ksp, vector(A, np.ones(400)))
                assert ksp.getConvergedReason() > 0
                assert context.recycled == 6
                counts.append(ksp.getIterationNumber())
            solutions.append(np.concatenate(comm.allgather(x)))
        assert np.abs(np.subtract(counts[:4], counts[4:])).max() <= 2, counts
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
    ksp = ksp_with(A, DeflatedCG(3, 10, always=True))
    for _ in range(3):
        x = solve(ksp, b)
        assert ksp.getConvergedReason() > 0
        np.testing.assert_allclose(np.concatenate(comm.allgather(x)), [1, 1 / 2, 1 / 3])
        A.stateIncrease()
