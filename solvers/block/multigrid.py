"""A multigrid cycle for all lanes of a block, on one matrix that they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from petsc4py import PETSc

from solvers.block.factor import Factor
from solvers.block.library import LANES, aligned, call
from solvers.block.pattern import Pattern
from solvers.hierarchy import free_prolongations

__all__ = ["Multigrid"]

Floats = NDArray[np.float32]
COARSEST = 1500  # rows that are factorised


@dataclass(eq=False)
class _Level:
    """A matrix, its prolongation from the next coarser level, and vectors."""

    A: tuple[NDArray[np.int32], NDArray[np.int32], Floats]
    P: tuple[NDArray[np.int32], NDArray[np.int32], Floats]
    inverse: Floats
    x: Floats
    coarse: Floats


class Multigrid:
    """V(1, 1) with a Gauss–Seidel sweep before and its transpose after, Galerkin coarse matrices.

    The prolongations are those of the mesh hierarchy where they are given, else smoothed
    aggregation's (PETSc GAMG on the shared matrix). The coarsest matrix is factorised. The cycle is
    a symmetric positive definite operator if A is one.
    """

    def __init__(self, pattern: Pattern, prolongations: Sequence[Any] = ()) -> None:
        """Set what doesn't depend on the matrix. Serial.

        Args:
            pattern: The pattern.
            prolongations: CSR matrices from each level's dofs to those of the next finer one, the
                finest first, in the numbering of the full systems; () for smoothed aggregation,
                which also stands in where they are made for systems of another size.
        """
        fits = len(prolongations) and prolongations[0].shape[0] == pattern.full
        self._pattern, self._given = pattern, list(prolongations) if fits else []
        self._levels: list[_Level] = []

    def compute(self, values: Floats) -> None:
        """Set the cycle up for (entries,) values on the pattern."""
        p = self._pattern
        A = sp.csr_matrix((values.astype(np.float64), p.idx, p.ptr), shape=(p.n, p.n))
        self._levels = []
        for P in self._prolongations(A):
            P = sp.csr_matrix(P)
            self._levels.append(_level(A, P))
            A = (P.T @ A @ P).tocsr()
            A.sort_indices()
        coarse = Pattern(A.indptr, A.indices, None)
        self._coarsest = Factor(coarse, shared=True)
        self._coarsest.compute(np.append(A.data, 0.0)[coarse.take].astype(np.float32))
        self._order, self._bottom = coarse.dofs, aligned((coarse.n, LANES), np.float32)

    def solve(self, x: Floats) -> None:
        """X ← one cycle for A z = x from z = 0, in place; x is (n, LANES)."""
        x[:] = self._cycle(0, x)

    def _cycle(self, k: int, b: Floats) -> Floats:
        if k == len(self._levels):
            self._bottom[:] = b[self._order]
            self._coarsest.solve(self._bottom)
            found = np.empty_like(b)
            found[self._order] = self._bottom
            return found
        level, n = self._levels[k], len(b)
        call("first_sweep", n, *level.A, level.inverse, b, level.x)
        call("restrict_residual", n, *level.A, b, level.x, *level.P, len(level.coarse),
             level.coarse)  # fmt: skip
        correction = aligned(level.coarse.shape, np.float32)
        correction[:] = self._cycle(k + 1, level.coarse)
        call("prolong", n, *level.P, correction, level.x)
        call("sweep", n, *level.A, level.inverse, 0, b, level.x)
        return level.x

    def _prolongations(self, A: Any) -> list[Any]:
        if not self._given:
            return _aggregation(A)
        found = free_prolongations(self._given, self._pattern.free)
        return [found[0][self._pattern.dofs], *found[1:]] if found else []


def _level(A: Any, P: Any) -> _Level:
    def single(M: Any) -> Any:
        M.sort_indices()
        return M.indptr.astype(np.int32), M.indices.astype(np.int32), M.data.astype(np.float32)

    n, nc = P.shape
    return _Level(
        single(A),
        single(P),
        (1.0 / A.diagonal()).astype(np.float32),
        aligned((n, LANES), np.float32),
        aligned((nc, LANES), np.float32),
    )


def _aggregation(A: Any) -> list[Any]:
    """The prolongations of PETSc's smoothed aggregation, finest first."""
    if A.shape[0] <= COARSEST:
        return []
    csr = (A.indptr.astype(np.int32), A.indices.astype(np.int32), A.data)
    M = PETSc.Mat().createAIJ(A.shape, csr=csr, comm=PETSc.COMM_SELF)
    pc = PETSc.PC().create(PETSc.COMM_SELF)
    pc.setOperators(M)
    pc.setType("gamg")
    pc.setGAMGLevels(25)
    pc.setUp()
    found = []
    for k in range(pc.getMGLevels() - 1, 0, -1):
        P = pc.getMGInterpolation(k)
        ptr, idx, values = P.getValuesCSR()
        found.append(sp.csr_matrix((values, idx, ptr), shape=P.getSize()))
        if found[-1].shape[1] <= COARSEST:
            break
    pc.destroy()
    M.destroy()
    return found
