"""The peers of `benchmarks.peers`: each solves what it is given, to the true residual."""

import meshes  # isort: skip  # noqa: F401 - first, for the order of imports
import numpy as np
import pytest
import scipy.sparse as sp
from petsc4py import PETSc

from benchmarks.peers_list import BEYOND, make_peer, names_of, together
from benchmarks.peers_methods import first_guess
from benchmarks.peers_race import HOPELESS, TRIED, Runner
from solvers import System
from solvers.candidates import kind_of

RTOL = 1e-8


def system(i, n=12, skew=0.0, shift=0.0, A=None):
    """Diffusion on a square with a random coefficient; its first row holds a boundary value."""
    noise = np.random.default_rng(i)
    a = np.exp(0.5 * noise.standard_normal(n + 1))
    one = sp.diags([a[:-1] + a[1:], -a[1:-1], -a[1:-1] * (1 - skew)], [0, -1, 1])
    K = sp.lil_matrix(sp.kronsum(one, one) - shift * sp.identity(n * n))
    K[0, :] = K[:, 0] = 0.0
    K[0, 0] = 1.0
    K = K.tocsr()
    K.sort_indices()
    if A is None:
        A = PETSc.Mat().createAIJ(K.shape, csr=(K.indptr, K.indices, K.data), comm=PETSc.COMM_SELF)
    else:  # in place, as assembly does it
        A.zeroEntries()
        A.setValuesCSR(K.indptr, K.indices, K.data)
        A.assemble()
    b = A.createVecLeft()
    b.array = np.append(100.0, noise.standard_normal(n * n - 1))
    return System(i, A, b, np.arange(n * n) > 0)


def dense(found):
    indptr, indices, values = found.A.getValuesCSR()
    return sp.csr_matrix((values, indices, indptr)).toarray()


KIND = kind_of(system(0).A)
NAMES = names_of(KIND, fixed=True)


def check(found, given):
    assert found.fine and found.rho <= RTOL and found.seconds > 0 and found.why == ""
    exact = np.linalg.solve(dense(given), given.b.array)
    assert np.linalg.norm(found.x - exact) <= 1e-5 * np.linalg.norm(exact[1:])
    assert found.x[0] == pytest.approx(100.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_solves_systems_that_change_in_place(name):
    peer, A = make_peer(name, KIND), None
    for i in range(3):
        given = system(i, A=A)
        A = given.A
        check(peer.solve(given, RTOL), given)
    peer.close()


@pytest.mark.parametrize("name", [n for n in NAMES if "together" in n])
def test_many_right_sides_are_solved_with_one_factor(name):
    first = system(0)
    given = [System(i, first.A, system(i).b, first.free) for i in range(3)]
    found = together(make_peer(name, KIND), given, RTOL)
    for one, right in zip(found, given, strict=True):
        check(one, right)
    assert together(make_peer("CG+ICC", KIND), given, RTOL) is None


def test_who_takes_part_depends_on_the_matrices():
    assert KIND.symmetric and KIND.diagonal == "positive"
    changing = names_of(KIND, fixed=False)
    goals = ["GMRES+ILU", "CG+ICC", "CG+GAMG", "MINRES+ICC", "MUMPS Cholesky", "MUMPS LU"]
    goals += ["PETSc Cholesky", "PETSc LU", "gcrotmk+ILU", "splu", "CG+ICC, guess POD"]
    assert set(goals) <= set(changing) - set(BEYOND)
    assert not any("together" in n or "Fischer" in n for n in changing)
    assert any("together" in n for n in NAMES) and "CG+ICC, guess Fischer" in NAMES
    skew = names_of(kind_of(system(0, skew=0.3).A), fixed=False)
    assert not any(n.startswith(("CG", "MINRES")) or "Cholesky" in n for n in skew)
    assert len(NAMES) == len(set(NAMES)) and set(BEYOND) <= set(NAMES)


@pytest.mark.parametrize("name", names_of(kind_of(system(0, skew=0.3).A), fixed=False))
def test_nonsymmetric_systems(name):
    given = system(1, skew=0.3)
    check(make_peer(name, kind_of(given.A)).solve(given, RTOL), given)


def test_who_stops_too_early_goes_on_and_stays_tighter():
    peer = make_peer("MINRES+Jacobi", KIND)  # it tests another norm
    peer.tightness = 1e4
    check(peer.solve(system(0), RTOL), system(0))
    assert peer.tightness < 1e3
    before = peer.tightness = 1e-6
    check(peer.solve(system(1), RTOL), system(1))
    assert peer.tightness > before  # and one that solves too well is loosened


def test_a_peer_that_errs_says_why():
    singular = system(0)
    singular.A.zeroEntries()
    singular.A.assemble()
    found = make_peer("splu", KIND).solve(singular, RTOL)
    assert not found.fine and "singular" in found.why


def test_the_hopeless_are_stopped_and_the_others_are_not():
    given = [[system(i, n=40)] for i in range(8)]
    runners = [Runner(n, KIND, RTOL) for n in ("PETSc Cholesky", "gcrotmk+Jacobi", "splu")]
    for runner in runners:
        runner.run(given, runners)
    stopped = [r.times.stopped for r in runners]
    assert stopped == ["", "too slow", ""]
    assert len(runners[1].times.each) == TRIED
    assert runners[1].first(TRIED) > HOPELESS * runners[0].first(TRIED)
    runners[1].run(given, runners)
    assert len(runners[1].times.each) == TRIED  # and stay stopped
    assert "ms" in runners[1].times.row("x", 1000)


def test_who_never_converges_is_stopped():
    given = [[system(i, shift=3.0)] for i in range(5)]
    runner = Runner("CG+ICC", KIND, RTOL)
    runner.run(given, [runner])
    assert runner.times.stopped == "does not converge" and runner.times.failed == TRIED


def test_the_first_guess_holds_the_boundary_values():
    guess = first_guess(system(0))
    assert guess[0] == 100.0 and not guess[1:].any()
