"""Systems solved one by one: a strategy, verification as stored, the ladder where needed."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from petsc4py import PETSc

from solvers.method import Method
from solvers.residual import all_sum, true_residual
from solvers.span import Span
from solvers.strategy import Strategy
from solvers.system import Reason, Solution, System

__all__ = ["DIRECT", "SAFETY", "Chain"]

SAFETY = 0.95  # the method stops a little below the target, so that rounding can't undo it
TIGHTENINGS = 3
DIRECT = Strategy(ksp="preonly", pc="lu", factor_solver="mumps")


@dataclass(slots=True)
class _Attempt:
    """The outcome of one step of the ladder."""

    x: NDArray[np.floating]
    reason: Reason
    iterations: int
    rho: float
    note: str = ""


@dataclass(slots=True)
class Chain:
    """What lives from one system to the next: the KSP, work vectors, the last solution.

    Attributes:
        strategy: How to solve.
    """

    strategy: Strategy
    rtol: float
    comm: MPI.Comm
    dtype: np.dtype
    prolongations: Any = ()
    method: Method | None = None
    previous: NDArray[np.floating] | None = None
    checked: tuple[PETSc.Mat, int] | None = None
    work: tuple[PETSc.Vec, PETSc.Vec] | None = None
    layout: tuple[int, int] = (-1, -1)
    span: Span | None = None
    given_up: tuple[PETSc.Mat, int] | None = None
    operator: tuple[PETSc.Mat, int] | None = None

    def take(self, system: System) -> list[Solution]:
        """Solve one system with all that the ladder offers. Collective."""
        return [self._solved(system)]

    def solve(self) -> list[Solution]:
        """Return what is left to solve: nothing, systems are solved as they come."""
        return []

    def _solved(self, system: System) -> Solution:
        start = time.perf_counter()
        trouble = self.inspect(system)
        ladder: list[str] = []
        if trouble is not None:
            best = _Attempt(np.full(self._local(system), np.nan, self.dtype), trouble, 0, np.nan)
        else:
            best = self._superposed(system) or self._learnt(system, self._climb(system, ladder))
        self.previous = best.x if best.reason == Reason.CONVERGED else None
        seconds = self.comm.allreduce(time.perf_counter() - start, MPI.MAX)
        return Solution(
            system.id, best.x, best.reason, best.iterations, best.rho, seconds, tuple(ladder)
        )

    def close(self) -> None:
        """Destroy the KSP and the work vectors. Collective."""
        self._drop_method()
        for vector in self.work or ():
            vector.destroy()
        self.work = None

    def _drop_method(self) -> None:
        if self.method is not None:
            self.method.close()
            self.method = None

    @staticmethod
    def _local(system: System) -> int:
        return int(system.A.getLocalSize()[1])

    def inspect(self, system: System) -> Reason | None:
        """Return what no solver could mend; the same answer on all ranks. Collective."""
        A, b = system.A, system.b
        rows, columns = A.getLocalSize()
        fits = rows == columns == b.getLocalSize()
        if system.free is not None:
            fits &= system.free.shape == (rows,) and system.free.dtype == bool
        finite = bool(np.isfinite(b.getArray(readonly=True)).all())
        bad = all_sum(self.comm, np.array([not fits, not finite], dtype=np.int64))
        if bad[0]:
            return Reason.BAD_SHAPE
        if bad[1]:
            return Reason.BAD_RHS
        if not self._finite(A):
            return Reason.BAD_MATRIX
        if self.layout != (rows, A.getSize()[0]):
            self.close()
            self.previous = None
            self.layout = (rows, A.getSize()[0])
        if self.work is None:
            self.work = (b.duplicate(), b.duplicate())
        return None

    def _finite(self, A: PETSc.Mat) -> bool:
        """Whether A holds no NaN or Inf; asked once for each state of a matrix. Collective."""
        state = A.stateGet()
        known = self.checked is not None and self.checked == (A, state)
        if known:
            return True
        if A.getType() in ("shell", "python"):
            return True
        # of PETSc's norms only Frobenius lets NaN through; it may overflow on finite entries
        norm: Any = A.norm(PETSc.NormType.FROBENIUS)  # type: ignore[arg-type]
        finite = bool(np.isfinite(norm))
        if not finite:
            entries = bool(np.isfinite(A.getValuesCSR()[2]).all())
            finite = bool(self.comm.allreduce(entries, MPI.LAND))
        self.checked = (A, state) if finite else None
        return finite

    def _superposed(self, system: System) -> _Attempt | None:
        """A combination of earlier solutions, if it has the wanted true residual. Collective.

        A space that is full and still doesn't serve is given up.
        """
        operator = (system.A, system.A.stateGet())
        if self.strategy.guess != "superposition" or self.given_up == operator:
            return None
        if self.span is None or operator != self.operator:
            self.operator = operator
            self.span = Span(self.comm, self._local(system))
        b: Any = system.b.getArray(readonly=True)
        x = _with_data(self.span.combine(b[:, None])[:, 0].astype(self.dtype), system)
        rho = true_residual(system.A, system.b, x, system.free, self.dtype, self.work)
        if rho <= (self.rtol if system.rtol is None else system.rtol):
            return _Attempt(x, Reason.CONVERGED, 1, rho)
        if self.span.full:
            self.span, self.given_up = None, operator
        return None

    def _learnt(self, system: System, attempt: _Attempt) -> _Attempt:
        """Keep a solution for superposition. Collective."""
        if self.span is not None and attempt.reason == Reason.CONVERGED:
            b: Any = system.b.getArray(readonly=True)
            self.span.learn(b[:, None], attempt.x[:, None])
        return attempt

    def _climb(self, system: System, ladder: list[str]) -> _Attempt:
        """The strategy, a fresh start, a direct solve: the first that is verified. Collective."""
        previous = None if system.increment else self.previous
        first = self._attempt(system, self.strategy, previous)
        best = first
        if first.note:
            ladder.append(first.note)
        if best.reason == Reason.CONVERGED or not self.strategy.fallback:
            return best
        iterations = best.iterations
        self._drop_method()
        if self.strategy.carries:
            best = self._attempt(system, self.strategy, None)
            ladder.append(f"fresh: {_outcome(best)}")
            iterations += best.iterations
        if best.reason != Reason.CONVERGED and not self.strategy.direct:
            last = Method(DIRECT, self.comm)
            best = self._run(last, system, None)
            ladder.append(f"direct: {_outcome(best)}")
            iterations += best.iterations
            last.close()
        best.iterations = iterations
        return best

    def _attempt(
        self, system: System, strategy: Strategy, previous: NDArray[np.floating] | None
    ) -> _Attempt:
        if self.method is None:
            self.method = Method(strategy, self.comm, self.prolongations)
        self.method.strategy = strategy  # the pilot's trials have tighter limits
        attempt = self._run(self.method, system, previous)
        if attempt.reason == Reason.PETSC_ERROR:
            self._drop_method()  # its objects may be in any state
        return attempt

    def _run(
        self, method: Method, system: System, previous: NDArray[np.floating] | None
    ) -> _Attempt:
        """One method on one system; a PETSc error on any rank fails it on all. Collective."""
        attempt, message = None, ""
        try:
            attempt = self._solve_verified(method, system, previous)
        except PETSc.Error as error:
            message = " ".join(str(error).split())[:200]
        if self.comm.allreduce(attempt is None, MPI.LOR) or attempt is None:
            empty = np.full(self._local(system), np.nan, self.dtype)
            return _Attempt(empty, Reason.PETSC_ERROR, 0, np.nan, message or "error elsewhere")
        return attempt

    def _solve_verified(
        self, method: Method, system: System, previous: NDArray[np.floating] | None
    ) -> _Attempt:
        """Solve, round, verify; go on from x with a tighter tolerance where ρ is too large."""
        A, b, free = system.A, system.b, system.free
        rtol = self.rtol if system.rtol is None else system.rtol
        method.start(A, b, free, previous)
        begun = time.perf_counter()
        goal, rho, iterations = SAFETY * rtol * self._scale(b, free), np.inf, 0
        notes: list[str] = []
        for _ in range(TIGHTENINGS + 1):
            reason = method.run(A, b, goal)
            iterations += method.iterations
            x = _with_data(method.x.getArray(readonly=True).astype(self.dtype), system)
            before, rho = rho, true_residual(A, b, x, free, self.dtype, self.work)
            if rho <= rtol:
                method.succeeded(iterations, time.perf_counter() - begun)
                return _Attempt(x, Reason.CONVERGED, iterations, rho, ", ".join(notes))
            if reason != Reason.CONVERGED or not rho <= 0.5 * before:
                break
            goal *= 0.5 * min(1.0, rtol / rho)
            notes.append("tightened")
        if reason == Reason.CONVERGED:
            reason = Reason.STAGNATED if np.isfinite(rho) else Reason.NOT_FINITE
        if reason == Reason.PC_FAILED and method.strategy.direct:
            reason = Reason.SINGULAR
        return _Attempt(x, reason, iterations, rho, ", ".join(notes))

    def _scale(self, b: PETSc.Vec, free: NDArray[np.bool_] | None) -> float:
        """What the residual is relative to: ‖b_free‖, 1 if that is zero. Collective."""
        values = b.getArray(readonly=True)
        values = values if free is None else values[free]
        norm = float(np.sqrt(all_sum(self.comm, np.array([values @ values]))[0]))
        return norm if norm > 0 else 1.0


def _with_data(x: NDArray[Any], system: System) -> NDArray[Any]:
    """X with the Dirichlet values of b, to the last bit: a projection has them up to rounding."""
    if system.free is not None:
        x[~system.free] = system.b.getArray(readonly=True)[~system.free]
    return x


def _outcome(attempt: _Attempt) -> str:
    text = f"{attempt.reason.name.lower()} after {attempt.iterations} iterations"
    return f"{text} ({attempt.note})" if attempt.note else text
