"""The strategies worth trying on a sequence of systems, from what its first matrix shows."""

from dataclasses import dataclass, replace

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc

from solvers.block.library import LANES, KernelError, kernels
from solvers.block.pattern import Pattern
from solvers.strategy import Strategy

__all__ = ["Kind", "candidates", "kind_of"]

# Single-precision multiply-adds a second of a block's factorisation, all lanes together: an upper
# bound, to leave out what can't win.
FACTOR_SPEED = 2e11
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
    if pattern is not None and kind.diagonal != "zero":
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
        found += [direct]
        found += [Strategy("gcrodr", "lu", reuse="lagged"), Strategy("gcrodr", "ilu")]
    if uniform:
        found += [replace(s, guess="superposition") for s in found if s.direct and s.block == 1]
    return found, left_out


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
    if kind.symmetric and kind.diagonal == "positive" and not uniform:
        pcs = ("cholesky", "mg" if hierarchy else "gamg")
        found += [
            Strategy("cg", pc, reuse="lagged", scaling=scaling, block=16)  # type: ignore[arg-type]
            for pc in pcs
            for scaling in ("diagonal", "none")
        ]
    lanes = 1 if uniform else LANES
    size = 4 * lanes * int(pattern.supernodes.lptr[-1]) * (1 if kind.symmetric else 2)
    if size > MEMORY:
        left_out.append(f"{own.label}: its factors take {size / 2**30:.1f} GiB")
        found = [s for s in found if s.pc != "cholesky" or 4 * size / lanes < MEMORY]
    else:
        found.append(own)
    return found, left_out
