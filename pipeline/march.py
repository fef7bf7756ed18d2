"""From one sample to the linear systems that solve it: one, Newton's, or one a time step.

Each is a coroutine: it yields systems and is sent their solutions. The solver behind it doesn't
know what the systems belong to, so recycled spaces pass on from Newton step to Newton step, from
time step to time step and from sample to sample.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["Outcome", "march"]

Array = NDArray[np.float64]
_NEWTON_STEPS = 30
_SMALLEST_STEP = 2.0**-10
_MOST_LOADS = 64


@dataclass
class Outcome:
    """What became of a sample.

    Attributes:
        id: The sample's id.
        states: Owned values of W, one for each time step; one if there is no time.
        residuals: Their true residuals ρ.
        iterations: Operator applications of all systems.
        seconds: Seconds in the solver, all systems.
        reason: Text and code of the failure, None if all is well.
        code: PETSc-like code of the last solve, > 0 if all is well.
        ladder: What was tried beyond the first attempt.
        systems: Linear systems solved.
    """

    id: int
    states: list[NDArray[np.floating]] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    iterations: int = 0
    seconds: float = 0.0
    reason: str | None = None
    code: int = 1
    ladder: list[str] = field(default_factory=list)
    systems: int = 0

    @property
    def converged(self) -> bool:
        """Whether every state was verified."""
        return self.reason is None

    def count(self, solution: Any) -> bool:
        """Take in the solution of one of its systems; returns whether it converged."""
        self.iterations += solution.iterations
        self.seconds += solution.seconds
        self.ladder += solution.ladder
        self.systems += 1
        self.code = int(solution.reason)
        if not solution.converged:
            self.fail(solution.reason.text, solution.true_residual, self.code)
        return bool(solution.converged)

    def fail(self, reason: str, residual: float, code: int = -100) -> None:
        """Note a failure."""
        self.reason, self.code = reason, code
        self.residuals.append(residual)


March = Generator[Any, Any, Outcome]


def march(problem: Any, i: int, rtol: float, dtype: DTypeLike, times: list[float]) -> March:
    """Yield the systems of sample i, whose data are set; return its outcome. Collective.

    Args:
        problem: The `meshes.Problem`.
        i: The sample's id.
        rtol: Bound on the true residual.
        dtype: Storage type of solutions.
        times: Times of the steps; empty for a stationary problem.
    """
    outcome = Outcome(i)
    steps = np.diff([0.0, *times])
    if times:
        problem.start()
    for dt, time in zip(steps, times, strict=True) if times else [(1.0, 0.0)]:
        problem.set_time(float(time), float(dt))
        if problem.linear:
            solved = yield from _linear(problem, outcome)
        else:
            solved = yield from _newton(problem, outcome, rtol, dtype, warm=bool(times))
        if not solved:
            return outcome
        outcome.states.append(problem.w.x.array[: problem.free.size].astype(dtype))
        if times:
            problem.remember()
    return outcome


def _linear(problem: Any, outcome: Outcome) -> Any:
    from solvers import System

    A, b = problem.assemble()
    solution = yield System(outcome.id, A, b, problem.free)
    if outcome.count(solution):
        problem.accept(solution.x)
        outcome.residuals.append(solution.true_residual)
    return outcome.converged


def _newton(problem: Any, outcome: Outcome, rtol: float, dtype: DTypeLike, warm: bool) -> Any:
    """Newton with backtracking; where it fails, with the load applied in ever more steps."""
    loads, known = 1, len(outcome.residuals)
    while True:
        if not warm or loads > 1:
            problem.lift()
        for step in range(1, loads + 1):
            problem.set_load(step / loads)
            target = rtol if step == loads else max(rtol, 1e-3)
            if not (yield from _newton_at_load(problem, outcome, target, dtype)):
                break
        else:
            outcome.residuals[known:] = outcome.residuals[-1:]
            return True
        if loads == _MOST_LOADS or outcome.systems > 20 * _MOST_LOADS:
            return False
        loads *= 4
        outcome.ladder.append(f"{loads} load steps after: {outcome.reason}")
        outcome.reason = None
        del outcome.residuals[known:]


def _newton_at_load(problem: Any, outcome: Outcome, rtol: float, dtype: DTypeLike) -> Any:
    from solvers import System

    start = problem.w.x.array.copy()
    problem.lift()
    scale = problem.residual() or 1.0
    problem.w.x.array[:] = start
    problem.accept(start[: problem.free.size].astype(dtype))
    rho = problem.residual() / scale
    for _ in range(_NEWTON_STEPS):
        if rho <= rtol:
            outcome.residuals.append(rho)
            return True
        A, b = problem.newton_system()
        forcing = float(np.clip(min(1e-2, rho), 0.3 * rtol / rho, 0.5))
        solution = yield System(outcome.id, A, b, problem.free, rtol=forcing, increment=True)
        if not outcome.count(solution):
            return False
        reached = _backtrack(problem, solution.x, rho, scale, dtype)
        if reached is None:
            outcome.fail("Newton's method found no smaller residual: lower the load", rho)
            return False
        rho = reached
    outcome.fail(f"Newton's method did not converge in {_NEWTON_STEPS} steps", rho)
    return False


def _backtrack(
    problem: Any, increment: Array, rho: float, scale: float, dtype: DTypeLike
) -> float | None:
    """W += s·increment with the largest s = 1, ½, … that lowers ‖F‖; None if none does."""
    before, s = problem.w.x.array[: problem.free.size].copy(), 1.0
    while s >= _SMALLEST_STEP:
        problem.accept((before + s * increment).astype(dtype))
        reached = problem.residual() / scale
        if np.isfinite(reached) and reached <= (1 - 1e-4 * s) * rho:
            return float(reached)
        s /= 2
    problem.accept(before)
    return None
