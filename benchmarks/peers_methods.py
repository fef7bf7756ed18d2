"""The peers: PETSc and SciPy as somebody would set them up who knows them well.

A peer's time is set-up and solve; its residual is recomputed outside of that time. It is asked for
the true residual of the stream: one that stops too early goes on, and pays for it, with a tighter
tolerance that stays for the systems to come; one that solves much too well is given a looser one.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc

from benchmarks.peers_clock import now
from solvers import System, true_residual

__all__ = ["KspPeer", "Peer", "Solved", "first_guess", "right_norm"]

TIGHTENINGS = 3
MAX_IT = 5000
_counter = itertools.count()

Array = NDArray[np.float64]


@dataclass
class Solved:
    """One solve.

    Attributes:
        x: The solution.
        seconds: Of set-up and solve.
        rho: The true residual.
        fine: Whether it is small enough.
        why: PETSc's or SciPy's message, if there was an error.
    """

    x: Array
    seconds: float
    rho: float
    fine: bool
    why: str = ""


def right_norm(system: System) -> float:
    """‖b‖ over the free dofs, 1 if that is zero: what the true residual is relative to."""
    b: Any = system.b.getArray(readonly=True)
    return float(np.linalg.norm(b if system.free is None else b[system.free])) or 1.0


def first_guess(system: System) -> Array:
    """Zero, and the Dirichlet values where they stand."""
    b: Any = system.b.getArray(readonly=True)
    return np.zeros(b.size) if system.free is None else np.where(system.free, 0.0, b)


class Peer:
    """A method with what it keeps from one system to the next.

    Attributes:
        name: Its name in tables.
        tightness: What the tolerance is multiplied by, so that the true residual is right.
    """

    def __init__(self, name: str) -> None:
        """Set nothing up yet."""
        self.name, self.tightness = name, 0.9

    def solve(self, system: System, rtol: float) -> Solved:
        """Solve one system to the true residual `rtol`."""
        x, seconds, rho = first_guess(system), 0.0, np.inf
        scale, before = right_norm(system), self.tightness
        for _ in range(TIGHTENINGS + 1):
            self.prepare(system)
            start = now()
            try:
                x, fine = self.attempt(system, self.tightness * rtol, scale, x)
            except (PETSc.Error, RuntimeError, ValueError) as error:
                spent = seconds + now() - start
                return Solved(x, spent, np.inf, False, " ".join(str(error).split())[:120])
            seconds += now() - start
            rho = true_residual(system.A, system.b, x, system.free)
            if rho <= rtol or not (fine and rho < 1.0):
                break
            self.tightness *= max(1e-3, 0.5 * rtol / rho)
        if self.tightness == before and rho < 0.2 * rtol:
            self.tightness = min(1.5 * self.tightness, self.loosest)
        return Solved(x, seconds, rho, bool(rho <= rtol))

    loosest = 0.95
    """Of a method that tests the true residual itself."""

    def prepare(self, system: System) -> None:
        """Bring the system into the form that the method takes; not timed."""

    def attempt(self, system: System, rtol: float, scale: float, x: Array) -> tuple[Array, bool]:
        """Return the solution, from the guess x, and whether the method says it has converged."""
        raise NotImplementedError

    def close(self) -> None:
        """Release what it holds."""


class KspPeer(Peer):
    """A KSP that is kept from system to system.

    PETSc keeps the preconditioner or the factors while the matrix is the same object in the same
    state, so an operator that doesn't change is factorised once.
    """

    def __init__(self, name: str, options: str, spd: bool = False) -> None:
        """Take options as on a command line, without prefix.

        Args:
            name: Its name in tables.
            options: "-ksp_type cg -pc_type icc"; the norm that is tested is the true residual's,
                where the method has that.
            spd: Tell PETSc that the matrices are positive definite, for MUMPS to know.
        """
        super().__init__(name)
        self._options, self._spd = options.split(), spd
        self._ksp: Any = None
        self._x: Any = None
        # MINRES tests the preconditioned norm: the tolerance follows the true residual
        self._true = "minres" not in self._options
        if not self._true:
            self.loosest = 1e6

    def prepare(self, system: System) -> None:
        """Say what is known of the matrix."""
        if self._spd:
            system.A.setOption(PETSc.Mat.Option.SPD, True)  # type: ignore[arg-type]

    def attempt(self, system: System, rtol: float, scale: float, x: Array) -> tuple[Array, bool]:
        """Set up and solve."""
        ksp = self._made(system)
        ksp.setOperators(system.A)
        self._x.setArray(x)
        if self._true:
            ksp.setTolerances(rtol=0.0, atol=rtol * scale, max_it=MAX_IT)
        else:
            ksp.setTolerances(rtol=min(rtol, 0.9), atol=0.0, max_it=MAX_IT)
        if not self.direct:
            ksp.setInitialGuessNonzero(bool(x.any()))
        ksp.solve(system.b, self._x)
        return self._x.getArray().copy(), ksp.getConvergedReason() > 0

    @property
    def direct(self) -> bool:
        """Whether it has no iterations."""
        return "preonly" in self._options

    def _made(self, system: System) -> Any:
        if self._ksp is None:
            self._ksp = PETSc.KSP().create(system.A.comm)
            prefix = f"peer_{next(_counter)}_"
            self._ksp.setOptionsPrefix(prefix)
            database: Any = PETSc.Options(prefix)
            for key, value in zip(self._options[::2], self._options[1::2], strict=True):
                database[key.removeprefix("-")] = value
            self._ksp.setFromOptions()
            self._x = system.b.duplicate()
        return self._ksp

    def close(self) -> None:
        """Destroy the KSP."""
        if self._ksp is not None:
            self._ksp.destroy()
            self._x.destroy()
            self._ksp = None
