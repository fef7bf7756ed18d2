"""The strategies worth trying on a sequence of systems, from what its first matrix shows."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc

from solvers.block.library import LANES, KernelError, kernels
from solvers.block.pattern import Pattern
from solvers.strategy import Strategy

__all__ = ["Kind", "candidates", "kind_of", "least_seconds"]

# Multiply-adds a second of a factorisation: upper bounds, to leave out what can't win. Of a block,
# all lanes together; of PETSc's own; of MUMPS.
SPEEDS = {"block": 2e11, "petsc": 6e9, "mumps": 4e10}
# Seconds a system that a block takes for an entry of a shared factor: two products in each of six
# iterations, from memory.
ENTRY = 12 * 1.2e-9 / LANES
# Entries of a factor a row beyond which a multigrid cycle may be cheaper: 3-D, as a rule.
MULTIGRID_FILL = 64
MEMORY = 4 * 2**30  # bytes that a block's factor may take


@dataclass(frozen=True)
class Kind:
    """What the choice of a method hangs on.

    Attributes:
        symmetric: Whether yᵀA x = xᵀA y for random x and y.
        diagonal: "positive", "mixed", or "zero" where an entry is (almost) zero: a saddle point.
    """

    symmetric: bool
    diagonal: str

    def __str__(self) -> str:
        """In words."""
        kind = "symmetric" if self.symmetric else "nonsymmetric"
        return f"{kind}, diagonal {self.diagonal}"


def kind_of(A: PETSc.Mat) -> Kind:
    """Return what a matrix is. Collective."""
    x, y = A.createVecRight(), A.createVecLeft()
    noise = np.random.default_rng((7, A.comm.rank))
    found = []
    for _ in range(2):
        x.array = noise.standard_normal(x.getLocalSize())
        y.array = noise.standard_normal(y.getLocalSize())
        right, left = x.duplicate(), x.duplicate()
        A.mult(x, right)
        A.mult(y, left)
        scale = float(right.norm() * y.norm())  # type: ignore[operator, arg-type]
        found.append(abs(y.dot(right) - x.dot(left)) <= 1e-10 * scale)
        right.destroy()
        left.destroy()
    d = A.getDiagonal()
    low, size = float(d.min()[1]), float(d.norm(PETSc.NormType.INFINITY))  # type: ignore
    d.abs()
    zero = float(d.min()[1]) <= 1e-12 * size
    for vector in (x, y, d):
        vector.destroy()
    return Kind(all(found), "zero" if zero else "positive" if low > 0 else "mixed")


def candidates(
    kind: Kind, uniform: bool, comm: MPI.Comm, pattern: Pattern | None, hierarchy: bool
) -> tuple[list[Strategy], list[str]]:
    """Return strategies to try, the most promising first, and why others are left out.

    Args:
        kind: What the matrices are.
        uniform: Whether they are all the same one.
        comm: The communicator of a system.
        pattern: The pattern, if there is one rank.
        hierarchy: Whether prolongations are given.
    """
    found: list[Strategy] = []
    left_out: list[str] = []
    if pattern is not None:
        blocks, left_out = _blocks(kind, uniform, pattern, hierarchy)
        found += blocks
    serial = comm.size == 1
    direct = Strategy("preonly", "lu", factor_solver="mumps")
    if kind.symmetric and kind.diagonal == "positive":
        if serial:
            found.append(Strategy("preonly", "cholesky", factor_solver="petsc"))
        if not uniform:
            found += [Strategy("cg", "icc"), Strategy("cg", "gamg")]
            found += [Strategy("cg", "mg")] if hierarchy and serial else []
        found += [] if serial else [direct]
    elif kind.symmetric and kind.diagonal != "zero":
        found += [direct, Strategy("preonly", "cholesky", factor_solver="petsc")][: 1 + serial]
    else:
        found += [direct, Strategy("preonly", "lu", factor_solver="petsc")][: 1 + serial]
        if not uniform:
            found.append(Strategy("gcrodr", "lu", reuse="lagged"))
        # on several ranks the blocks of a saddle point may be singular on one of them alone
        if not uniform and (serial or kind.diagonal != "zero"):
            found.append(Strategy("gcrodr", "ilu"))
    if uniform:
        found += [replace(s, guess="superposition") for s in found if s.direct and s.block == 1]
    return found, left_out


def least_seconds(strategy: Strategy, pattern: Pattern) -> float:
    """Return a lower bound on the seconds that a system of a changing operator takes."""
    if strategy.direct:
        package = "block" if strategy.block > 1 else strategy.factor_solver
        return pattern.supernodes.operations / SPEEDS[package]
    if strategy.block > 1 and strategy.pc == "cholesky":
        return ENTRY * float(pattern.supernodes.lptr[-1])
    return 0.0


def _blocks(
    kind: Kind, uniform: bool, pattern: Pattern, hierarchy: bool
) -> tuple[list[Strategy], list[str]]:
    try:
        kernels()
    except KernelError as error:
        return [], [str(error)]
    found: list[Strategy] = []
    left_out: list[str] = []
    own = Strategy("preonly", "lu", block=16)
    fill = int(pattern.supernodes.lptr[-1]) / max(pattern.n, 1)
    definite = kind.symmetric and kind.diagonal == "positive" and not uniform
    if definite and fill > MULTIGRID_FILL:
        found += _on_centre("mg" if hierarchy else "gamg")
    lanes = 1 if uniform else LANES
    size = 4 * lanes * int(pattern.supernodes.lptr[-1]) * (1 if kind.symmetric else 2)
    if size > MEMORY:
        left_out.append(f"{own.label}: its factors take {size / 2**30:.1f} GiB")
    else:
        found.append(own)
    if definite and size / lanes < MEMORY:
        found += _on_centre("cholesky")
    return found, left_out


def _on_centre(pc: Any) -> list[Strategy]:
    """CG on a block with one preconditioner; scaled first, it decides about the other."""
    plain = Strategy("cg", pc, reuse="lagged", block=16)
    return [replace(plain, scaling="diagonal"), plain]
