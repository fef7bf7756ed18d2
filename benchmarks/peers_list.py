"""Which peers take part, from what the matrices are; and those for many right sides at once."""

from collections.abc import Callable
from typing import Any

import numpy as np
from petsc4py import PETSc

from benchmarks.peers_clock import now
from benchmarks.peers_methods import KspPeer, Peer, Solved
from benchmarks.peers_scipy import Gcrotmk, SuperLU
from solvers import System, true_residual
from solvers.candidates import Kind

__all__ = ["BEYOND", "make_peer", "names_of", "together"]

_DIRECT = "-ksp_type preonly -pc_type"
_CG = "-ksp_type cg -ksp_norm_type unpreconditioned -pc_type"
_GMRES = "-ksp_type gmres -ksp_pc_side right -ksp_norm_type unpreconditioned -pc_type"
_SYMMETRIC: dict[str, Callable[[str], Peer]] = {
    "CG+ICC": lambda name: KspPeer(name, f"{_CG} icc"),
    "PETSc Cholesky": lambda name: KspPeer(
        name, f"{_DIRECT} cholesky -pc_factor_mat_ordering_type nd"
    ),
    "CG+GAMG": lambda name: KspPeer(name, f"{_CG} gamg"),
    "CG+Jacobi": lambda name: KspPeer(name, f"{_CG} jacobi"),
    "CG+ICC, guess POD": lambda name: KspPeer(
        name, f"{_CG} icc -ksp_guess_type pod -ksp_guess_pod_size 10"
    ),
    "MUMPS Cholesky": lambda name: KspPeer(
        name, f"{_DIRECT} cholesky -pc_factor_mat_solver_type mumps", spd=True
    ),
    "MINRES+ICC": lambda name: KspPeer(name, "-ksp_type minres -pc_type icc"),
    "MINRES+Jacobi": lambda name: KspPeer(name, "-ksp_type minres -pc_type jacobi"),
    "splu": lambda name: SuperLU(name, symmetric=True),
}
_FIXED: dict[str, Callable[[str], Peer]] = {
    "CG+ICC, guess Fischer": lambda name: KspPeer(
        name, f"{_CG} icc -ksp_guess_type fischer -ksp_guess_fischer_model 1,10"
    ),
}
_INDEFINITE: dict[str, Callable[[str], Peer]] = {
    "MUMPS LDLT": lambda name: KspPeer(
        name, f"{_DIRECT} cholesky -pc_factor_mat_solver_type mumps"
    ),
}
_ANY: dict[str, Callable[[str], Peer]] = {
    "MUMPS LU": lambda name: KspPeer(name, f"{_DIRECT} lu -pc_factor_mat_solver_type mumps"),
    "PETSc LU": lambda name: KspPeer(name, f"{_DIRECT} lu -pc_factor_mat_ordering_type nd"),
    "GMRES+ILU": lambda name: KspPeer(name, f"{_GMRES} ilu"),
    "BiCGStab+ILU": lambda name: KspPeer(
        name, "-ksp_type bcgs -ksp_pc_side right -ksp_norm_type unpreconditioned -pc_type ilu"
    ),
    "splu": lambda name: SuperLU(name, symmetric=False),
    "gcrotmk+ILU": lambda name: Gcrotmk(name, "ilu"),
    "gcrotmk+Jacobi": lambda name: Gcrotmk(name, "jacobi"),
}
_ALL = {**_ANY, **_SYMMETRIC, **_FIXED, **_INDEFINITE}

_TOGETHER = {
    "PETSc Cholesky, 16 together": f"{_DIRECT} cholesky -pc_factor_mat_ordering_type nd",
    "PETSc LU, 16 together": f"{_DIRECT} lu -pc_factor_mat_ordering_type nd",
    "MUMPS LU, 16 together": f"{_DIRECT} lu -pc_factor_mat_solver_type mumps",
}
BEYOND = ("CG+Jacobi", "BiCGStab+ILU", "splu, 16 together", *_TOGETHER)
"""Peers that the goals do not speak of: printed, and compared with apart."""


def names_of(kind: Kind, fixed: bool) -> list[str]:
    """Return who takes part, the promising ones first: who comes late may be stopped early.

    Args:
        kind: What the matrices are.
        fixed: Whether they are all the same one.
    """
    names: list[str] = []
    if kind.symmetric and kind.diagonal == "positive":
        names = [*(_FIXED if fixed else {}), *_SYMMETRIC]
    if kind.symmetric:
        names += _INDEFINITE
    names += [name for name in _ANY if name not in names]
    together = [*_TOGETHER, "splu, 16 together"]
    chosen = [n for n in together if kind.symmetric or "Cholesky" not in n]
    return names + chosen if fixed else names


def make_peer(name: str, kind: Kind) -> Peer:
    """Return a peer that has set up nothing yet."""
    if name in _TOGETHER:
        return _Together(name, _TOGETHER[name])
    symmetric = kind.symmetric and kind.diagonal != "zero"
    if name.startswith("splu"):
        return SuperLU(name, symmetric)
    return _ALL[name](name)


def together(peer: Peer, systems: list[System], rtol: float) -> list[Solved] | None:
    """Solve systems with one matrix at once, if the peer does so; None if it takes them singly."""
    if "together" not in peer.name:
        return None
    peer.prepare(systems[0])
    start = now()
    right = np.column_stack([s.b.getArray(readonly=True) for s in systems])
    if isinstance(peer, _Together):
        X = peer.solve_all(systems[0], right)
    else:
        assert isinstance(peer, SuperLU)
        X = peer.factorise().solve(right)
    seconds = (now() - start) / len(systems)
    found = []
    for k, system in enumerate(systems):
        x = np.ascontiguousarray(X[:, k])
        rho = true_residual(system.A, system.b, x, system.free)
        found.append(Solved(x, seconds, rho, bool(rho <= rtol)))
    return found


class _Together(KspPeer):
    """A direct solver with one factor and many right sides (KSPMatSolve)."""

    def solve_all(self, system: System, right: Any) -> Any:
        """Return the solutions of A X = B, one a column."""
        ksp = self._made(system)
        ksp.setOperators(system.A)
        ksp.setUp()
        B = PETSc.Mat().createDense(right.shape, array=right, comm=system.A.comm)
        B.assemble()
        X = B.duplicate()
        ksp.matSolve(B, X)
        found = X.getDenseArray().copy()
        B.destroy()
        X.destroy()
        return found
