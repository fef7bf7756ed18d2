"""One strategy's KSP, with what it needs from one system to the next."""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from petsc4py import PETSc

from solvers.deflated_cg import DeflatedCG
from solvers.gcrodr import GCRODR
from solvers.hierarchy import free_prolongations
from solvers.lag import Lag
from solvers.strategy import Strategy, check_ranks, options
from solvers.system import Reason, from_petsc

DIVERGED = 1e10  # times the right-hand side: given up

CONTEXTS: dict[str, Callable[[Strategy], Any]] = {
    # the stream verifies each solution itself
    "gcrodr": lambda s: GCRODR(s.restart, s.recycle, verify=False),
    "deflated_cg": lambda s: DeflatedCG(s.recycle),
}
"""Methods of ours, by name: contexts of a KSP of type "python"."""

_counter = itertools.count()


class Method:
    """A KSP under an options prefix of its own, its unknown, and the state of a lagged PC.

    Whoever makes a Method closes it.

    Attributes:
        strategy: What it was built from.
        ksp: Read-only for others.
        x: (n,) the unknown; None before the first `start`.
        iterations: Of the last `run`.
    """

    def __init__(
        self, strategy: Strategy, comm: MPI.Comm, prolongations: Sequence[Any] = ()
    ) -> None:
        """Create the KSP. Collective.

        Raises:
            ValueError: The strategy doesn't run on that many ranks, or "mg" has no hierarchy.
        """
        check_ranks(strategy, comm.size)
        self.strategy, self.comm = strategy, comm
        self.iterations = 0
        self.ksp = PETSc.KSP().create(PETSc.Comm(comm))  # type: ignore[call-arg]
        self._names: list[str] = []
        self._prolongations = prolongations
        self._configure()
        self._x: PETSc.Vec | None = None
        self._r: PETSc.Vec | None = None
        self._b: PETSc.Vec | None = None
        self._lag = Lag()
        self._set_up = False  # the preconditioner belongs to some operator
        self._iterations_then = 0  # of the first solve with the present preconditioner

    @property
    def x(self) -> PETSc.Vec:
        """The unknown; only after `start`."""
        assert self._x is not None
        return self._x

    def close(self) -> None:
        """Destroy the KSP and the vectors, delete the options. Collective."""
        database = PETSc.Options()
        for name in self._names:
            database.delValue(name)
        self.ksp.destroy()
        for vector in (self._x, self._r, self._b):
            if vector is not None:
                vector.destroy()
        self._x = self._r = self._b = None

    def start(
        self,
        A: PETSc.Mat,
        b: PETSc.Vec,
        free: NDArray[np.bool_] | None,
        previous: NDArray[np.floating] | None,
    ) -> None:
        """Set the operator and the first guess: Dirichlet values where constrained. Collective.

        PETSc notices a matrix that is the same object in the same state and keeps its PC.
        """
        if self._x is None:
            self._x, self._r, self._b = b.duplicate(), b.duplicate(), b.duplicate()
            if self.strategy.pc == "mg":
                self._set_hierarchy(free)
        if self.strategy.ksp in CONTEXTS and not self.strategy.recycles:
            self.ksp.getPythonContext().forget()
        self._renew(A)
        guess = np.zeros(self._x.getLocalSize())
        if self.strategy.guess == "previous" and previous is not None:
            guess[:] = previous
        if free is not None:
            guess[~free] = b.getArray(readonly=True)[~free]
        self._x.setArray(guess)  # type: ignore[arg-type]
        self.ksp.setInitialGuessNonzero(self.comm.allreduce(bool(guess.any()), MPI.LOR))

    def _renew(self, A: PETSc.Mat) -> None:
        """Set the operator, and the preconditioner up if it isn't to be kept. Collective."""
        stale = self.comm.allreduce(self._lag.stale, MPI.LOR)
        keep = (
            self._set_up
            and {"fresh": False, "lagged": not stale, "frozen": True}[self.strategy.reuse]
        )
        self.ksp.getPC().setReusePreconditioner(keep)
        self.ksp.setOperators(A)
        if keep or self.strategy.reuse == "fresh":
            return
        if self._set_up and self.strategy.ksp in CONTEXTS:
            self.ksp.getPythonContext().operator_changed()  # A may be the same, M is not
        start = time.perf_counter()
        self.ksp.setUp()
        self._lag.set_up(time.perf_counter() - start)
        self._set_up, self._iterations_then = True, 0

    def run(self, A: PETSc.Mat, b: PETSc.Vec, goal: float) -> Reason:
        """Solve to ‖b − A x‖₂ ≤ goal from the present x. Collective."""
        if self.strategy.direct:
            return self._refine(A, b)
        rtol, atol = 0.0, goal
        if not self.strategy.true_norm:
            # The method's norm is another one: ask it for the reduction that is missing.
            norm = self._residual(A, b)
            rtol, atol = min(goal / norm, 0.9) if norm > 0 else 0.9, 0.0
            if norm <= goal:
                self.iterations = 0
                return Reason.CONVERGED
        self.ksp.setTolerances(rtol=rtol, atol=atol, divtol=DIVERGED, max_it=self._allowed())
        assert self._b is not None
        b.copy(self._b)  # PETSc leaves the right-hand side locked when a solve raises
        self.ksp.solve(self._b, self.x)
        self.iterations = self.ksp.getIterationNumber()
        self.ksp.setInitialGuessNonzero(True)
        return from_petsc(self.ksp.getConvergedReason())

    def succeeded(self, iterations: int, seconds: float) -> None:
        """Note a verified solve with the present preconditioner."""
        self._iterations_then = self._iterations_then or iterations
        self._lag.solved(seconds)

    def _refine(self, A: PETSc.Mat, b: PETSc.Vec) -> Reason:
        """X += A⁻¹(b − A x): a direct solve, then iterative refinement."""
        assert self._r is not None
        self._residual(A, b)
        self.ksp.setInitialGuessNonzero(False)
        correction = self.x.duplicate()
        self.ksp.solve(self._r, correction)
        reason = from_petsc(self.ksp.getConvergedReason())
        if reason == Reason.CONVERGED:
            self.x.axpy(1.0, correction)
        correction.destroy()
        self.iterations = 1
        return reason

    def _residual(self, A: PETSc.Mat, b: PETSc.Vec) -> float:
        assert self._r is not None
        A.mult(self.x, self._r)
        self._r.aypx(-1.0, b)
        return float(self._r.norm())  # type: ignore[arg-type]

    def _allowed(self) -> int:
        """The iteration limit; a kept preconditioner that is no good is noticed early."""
        limit = self.strategy.max_it
        if self.strategy.reuse != "fresh" and self._iterations_then:
            limit = min(limit, 8 * self._iterations_then + 20)
        return limit

    def _configure(self) -> None:
        """Set type, side, norm and options.

        Sub-solvers read their options only when they are set up: the options stay until `close`.
        """
        strategy, ksp = self.strategy, self.ksp
        prefix = f"rekrylov_{next(_counter)}_"
        ksp.setOptionsPrefix(prefix)
        if strategy.ksp in CONTEXTS:
            ksp.setType("python")
            ksp.setPythonContext(CONTEXTS[strategy.ksp](strategy))
        else:
            ksp.setType(strategy.ksp)
        if strategy.ksp in ("gmres", "fgmres"):
            ksp.setGMRESRestart(strategy.restart)
        if not strategy.direct:
            sides: Any = PETSc.PC.Side
            norms: Any = PETSc.KSP.NormType
            ksp.setPCSide(sides.RIGHT if strategy.right else sides.LEFT)
            own = strategy.right or strategy.ksp in ("cg", "deflated_cg")
            ksp.setNormType(norms.UNPRECONDITIONED if own else norms.PRECONDITIONED)
        database: Any = PETSc.Options(prefix)
        for name, value in options(strategy, self.comm.size).items():
            database[name] = value
            self._names.append(prefix + name)
        ksp.setFromOptions()
        if strategy.pc == "mg" and (not len(self._prolongations) or self.comm.size > 1):
            raise ValueError(
                "pc 'mg' needs the prolongations of a mesh hierarchy, on one rank: take a mesh "
                "with levels > 1, or pc gamg"
            )

    def _set_hierarchy(self, free: NDArray[np.bool_] | None) -> None:
        """Geometric multigrid: the mesh hierarchy's prolongations, Galerkin coarse operators."""
        pc, found = self.ksp.getPC(), free_prolongations(self._prolongations, free)
        pc.setMGLevels(len(found) + 1)
        for level, P in enumerate(reversed(found), start=1):
            csr: Any = (P.indptr.astype(np.int32), P.indices.astype(np.int32), P.data)
            transfer = PETSc.Mat().createAIJ(P.shape, csr=csr, comm=PETSc.COMM_SELF)
            pc.setMGInterpolation(level, transfer)
            transfer.destroy()  # the PC holds it
