"""One solve as its PETSc KSP sees it: counting, history, monitors, the convergence test."""

import math
from typing import Any

import numpy as np
from petsc4py import PETSc

from solvers.operator import PreconditionedOperator

ITERATING = PETSc.KSP.ConvergedReason.ITERATING
BREAKDOWN = PETSc.KSP.ConvergedReason.DIVERGED_BREAKDOWN
HAPPY = PETSc.KSP.ConvergedReason.CONVERGED_HAPPY_BREAKDOWN
MAX_IT = PETSc.KSP.ConvergedReason.DIVERGED_MAX_IT
NANORINF = PETSc.KSP.ConvergedReason.DIVERGED_NANORINF
PC_FAILED = PETSc.KSP.ConvergedReason.DIVERGED_PCSETUP_FAILED


class KSPRun:
    """One solve's dealings with its KSP: counting, monitors, history, the convergence test."""

    def __init__(self, ksp: PETSc.KSP, operator: PreconditionedOperator) -> None:
        self.ksp, self.operator = ksp, operator
        self.max_it = ksp.max_it
        self._started = False

    def start(self, norm: float) -> int:
        """Report iteration 0, and 1 if the initial residual took an application."""
        its = self.operator.applications
        self.operator.applications = 0
        self.note(norm)
        reason = self.test(norm)
        self._started = True
        self.operator.applications = its
        if its:
            self.note(norm)
        return reason

    def note(self, norm: float) -> None:
        """Show the norm to history and monitors."""
        its = self.operator.applications
        self.ksp.setIterationNumber(its)
        self.ksp.setResidualNorm(norm if norm >= 0 else np.inf)  # PETSc refuses NaN here
        self.ksp.logConvergenceHistory(norm)
        self.ksp.monitor(its, norm)

    def test(self, norm: float) -> int:
        """The KSP's convergence test, then its iteration limit.

        PETSc's own test takes the norm at iteration 0 for the one that rtol refers to. So a
        residual that was projected before the first application is tested as iteration 1.
        """
        its = max(self.operator.applications, int(self._started))
        if not math.isfinite(norm):  # PETSc's own test takes NaN for an error in its arguments
            return NANORINF
        reason: Any = self.ksp.callConvergenceTest(its, norm)  # type: ignore[func-returns-value]
        return MAX_IT if not reason and self.operator.applications >= self.max_it else reason

    def record(self, norm: float) -> int:
        """Show and test the norm after an application."""
        self.note(norm)
        return self.test(norm)
