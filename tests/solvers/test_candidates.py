"""What a matrix is taken for, and which strategies that leads to."""

import numpy as np
import pytest
import scipy.sparse as sp
from block_problems import pattern_of
from mpi4py import MPI
from solver_problems import diffusion, to_petsc

from solvers import candidates as module
from solvers.block.library import KernelError
from solvers.candidates import Kind, candidates, kind_of
from solvers.strategy import check_ranks

SELF = MPI.COMM_SELF
N = 144


def saddle():
    """[A Bᵀ; B 0]."""
    A, B = diffusion(10, skew=0.0), sp.random(20, 100, density=0.1, rng=np.random.default_rng(0))
    return sp.block_array([[A, B.T], [B, None]], format="csr")


def explicit_zeros(matrix):
    """The same with entries of the diagonal that are there and zero."""
    rows = np.arange(matrix.shape[0])
    found = (matrix + sp.identity(len(rows))).tocsr()
    found[rows, rows] = matrix.diagonal()
    return found


@pytest.mark.parametrize(
    ("matrix", "kind"),
    [
        (diffusion(12, skew=0.0), Kind(True, "positive")),
        (diffusion(12, skew=1e-3), Kind(False, "positive")),
        (-diffusion(12, skew=0.0), Kind(True, "mixed")),
        (diffusion(12, skew=0.2) - 8 * sp.identity(N), Kind(False, "mixed")),
        (explicit_zeros(saddle()), Kind(True, "zero")),
        (diffusion(12, skew=0.0) * 1e-30, Kind(True, "positive")),
        (diffusion(12, skew=0.0) * 1e30, Kind(True, "positive")),
        (diffusion(12, skew=0.01) * 1e30, Kind(False, "positive")),
        (sp.identity(1).tocsr(), Kind(True, "positive")),
    ],
)
def test_kinds(matrix, kind):
    A = to_petsc(matrix)
    assert kind_of(A) == kind
    assert str(kind) == f"{'symmetric' if kind.symmetric else 'nonsymmetric'}, diagonal " + (
        kind.diagonal
    )


@pytest.mark.parallel([2])
def test_kinds_on_two_ranks():
    comm = MPI.COMM_WORLD
    for skew, symmetric in ((0.0, True), (1e-3, False)):
        found = kind_of(to_petsc(diffusion(12, skew=skew), comm))
        assert found == Kind(symmetric, "positive")


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize("hierarchy", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("diagonal", ["positive", "mixed", "zero"])
def test_candidates_suit_the_matrices(uniform, hierarchy, symmetric, diagonal):
    pattern = pattern_of(diffusion(12))
    kind = Kind(symmetric, diagonal)
    found, left_out = candidates(kind, uniform, SELF, pattern, hierarchy)
    assert found and not left_out
    assert len(found) == len(set(found))
    definite = symmetric and diagonal == "positive"
    for s in found:
        check_ranks(s, 1)
        assert s.ksp != "cg" or definite
        assert s.pc != "cholesky" or symmetric
        assert s.pc != "mg" or hierarchy
        assert not (uniform and s.ksp == "cg")  # a factor that is kept is best
    assert any(s.direct and s.block == 1 for s in found)
    assert any(s.block == 16 for s in found)
    assert any(s.pc == "mg" for s in found) == (hierarchy and definite and not uniform)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("diagonal", ["positive", "mixed", "zero"])
def test_several_ranks(symmetric, diagonal):
    """Without a pattern there are no blocks, and nothing that is serial."""

    class Two:
        size = 2

    found, _ = candidates(Kind(symmetric, diagonal), False, Two(), None, True)
    assert found
    for s in found:
        check_ranks(s, 2)
        assert s.pc != "mg"
    assert any(s.direct for s in found)


def test_memory_leaves_factors_out(monkeypatch):
    pattern = pattern_of(diffusion(12))
    size = 4 * 16 * int(pattern.supernodes.lptr[-1])
    monkeypatch.setattr(module, "MEMORY", size - 1)
    found, left_out = candidates(Kind(True, "positive"), False, SELF, pattern, False)
    assert not any(s.direct and s.block > 1 for s in found)
    assert any(s.pc == "cholesky" and s.block > 1 for s in found)  # one factor for all lanes
    assert "GiB" in left_out[0]
    found, _ = candidates(Kind(True, "positive"), True, SELF, pattern, False)
    assert any(s.direct and s.block > 1 for s in found)
    monkeypatch.setattr(module, "MEMORY", size // 32)
    monkeypatch.setattr(module, "MULTIGRID_FILL", 0)
    found, _ = candidates(Kind(True, "positive"), False, SELF, pattern, False)
    assert not any(s.pc == "cholesky" and s.block > 1 for s in found)
    assert any(s.pc == "gamg" and s.block > 1 for s in found)


def test_without_kernels(monkeypatch):
    def refuse():
        raise KernelError("no compiler")

    monkeypatch.setattr(module, "kernels", refuse)
    pattern = pattern_of(diffusion(12))
    found, left_out = candidates(Kind(True, "positive"), False, SELF, pattern, False)
    assert found and all(s.block == 1 for s in found)
    assert left_out == ["no compiler"]
