"""What goes into a stream of solves and what comes out of it."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc


class Reason(IntEnum):
    """Why a solve ended: positive is success, `text` of the others names the cure."""

    CONVERGED = 1
    MAX_IT = -1
    STAGNATED = -2
    BREAKDOWN = -3
    INDEFINITE = -4
    PC_FAILED = -5
    BAD_MATRIX = -6
    BAD_RHS = -7
    BAD_SHAPE = -8
    NOT_FINITE = -9
    SINGULAR = -10
    PETSC_ERROR = -11
    DIVERGED = -12

    @property
    def text(self) -> str:
        """One line: what happened and what to do."""
        return _TEXTS[self]


_TEXTS = {
    Reason.CONVERGED: "the stored solution has the wanted true residual",
    Reason.MAX_IT: "the iteration limit was reached: raise max_it or take a stronger pc",
    Reason.STAGNATED: "the true residual stays above rtol: raise rtol, or take a direct solver",
    Reason.BREAKDOWN: "the Krylov space broke down: take another pc or a direct solver",
    Reason.INDEFINITE: "cg or minres met an indefinite matrix or pc: take gmres or gcrodr",
    Reason.PC_FAILED: "the preconditioner could not be set up: take jacobi, ilu or lu",
    Reason.BAD_MATRIX: "the matrix holds NaN or Inf: look at the sample's coefficients",
    Reason.BAD_RHS: "the right-hand side holds NaN or Inf: look at the sample's source and data",
    Reason.BAD_SHAPE: "A is not square, or b or free doesn't fit it: look at the assembly",
    Reason.NOT_FINITE: "the solution holds NaN or Inf: the matrix may be singular",
    Reason.SINGULAR: "the factorisation met a singular matrix: look at the boundary conditions",
    Reason.PETSC_ERROR: "PETSc raised an error: the text of the ladder's step has it",
    Reason.DIVERGED: "the residual grew beyond bounds: take a stronger pc or a direct solver",
}

_K = PETSc.KSP.ConvergedReason
_FROM_PETSC = {
    _K.DIVERGED_MAX_IT: Reason.MAX_IT,
    _K.DIVERGED_DTOL: Reason.DIVERGED,
    _K.DIVERGED_BREAKDOWN: Reason.BREAKDOWN,
    _K.DIVERGED_BREAKDOWN_BICG: Reason.BREAKDOWN,
    _K.DIVERGED_NONSYMMETRIC: Reason.INDEFINITE,
    _K.DIVERGED_INDEFINITE_PC: Reason.INDEFINITE,
    _K.DIVERGED_INDEFINITE_MAT: Reason.INDEFINITE,
    _K.DIVERGED_NANORINF: Reason.NOT_FINITE,
    _K.DIVERGED_PCSETUP_FAILED: Reason.PC_FAILED,
}


def from_petsc(reason: Any) -> Reason:
    """The Reason of a KSPConvergedReason; anything positive is CONVERGED."""
    return Reason.CONVERGED if reason > 0 else _FROM_PETSC.get(reason, Reason.STAGNATED)


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """A x = b, one of a stream.

    `A` and `b` may be valid only until the next system is pulled from the iterator: assembly in
    place is the normal case. The objects belong to whoever yields the system, who destroys them.

    Attributes:
        id: The sample's id.
        A: (n, n) matrix; rows and columns of constrained dofs are those of the identity.
        b: (n,) lifted right-hand side with the Dirichlet values in the constrained rows.
        free: (n_local,) mask of the owned dofs that are not constrained; None: all are free.
        rtol: Bound on its true residual; None: the stream's.
        increment: The unknown is an increment (of Newton's method): no guess from another system.
    """

    id: int
    A: PETSc.Mat
    b: PETSc.Vec
    free: NDArray[np.bool_] | None = None
    rtol: float | None = None
    increment: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The outcome of one system.

    Attributes:
        id: The sample's id.
        x: (n_local,) owned values, rounded to the storage dtype; the caller's to keep.
        reason: CONVERGED, or why not.
        iterations: Of all steps of the ladder together.
        true_residual: ρ of `x`, see `solvers.residual`; NaN where it could not be computed.
        seconds: Wall time of checks, set-up, solve and verification; the slowest rank's.
        ladder: The steps taken beyond the first attempt, each with its outcome; () if none.
    """

    id: int
    x: NDArray[np.floating]
    reason: Reason
    iterations: int
    true_residual: float
    seconds: float
    ladder: tuple[str, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether the true residual was verified."""
        return self.reason == Reason.CONVERGED
