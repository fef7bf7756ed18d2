"""Deflated CG that recycles its deflation space, as a PETSc KSP."""

from typing import Any

import numpy as np
from petsc4py import PETSc

from solvers.deflation_space import Array, DeflationSpace, layout, precondition
from solvers.ksp_run import BREAKDOWN, HAPPY, ITERATING, NANORINF, PC_FAILED, KSPRun
from solvers.operator import PreconditionedOperator
from solvers.payoff import COLD, FREE, IMAGES, Payoff
from solvers.ritz_window import RitzWindow, checked_sizes

INDEFINITE_MAT = PETSc.KSP.ConvergedReason.DIVERGED_INDEFINITE_MAT
INDEFINITE_PC = PETSc.KSP.ConvergedReason.DIVERGED_INDEFINITE_PC
INDEFINITE = (INDEFINITE_MAT, INDEFINITE_PC)
# Times that the explicit residual may contradict the recurrence in one solve.
CHECKS = 5
# A recurrence further than this factor below the explicit residual isn't believed any more.
DRIFT = 2.0
# A space is dropped when a solve has taken this times the applications of the last one without.
STUCK = 2
# The time of a vector of W in an iteration, in applications, measured on P1 matrices in 2-D: with
# ICC, and with a preconditioner that costs next to nothing.
VECTOR = 0.025
CHEAP, VECTOR_CHEAP = ("none", "jacobi"), 0.06


class DeflatedCG:
    """Deflated CG(k) with a window of ℓ directions: the context of a KSP of type "python".

    ``ksp.setType("python"); ksp.setPythonContext(DeflatedCG(recycle=8, window=40))``

    For A and M symmetric positive definite, M on the left as in PETSc's CG. With WᵀAW = I the
    residual starts and stays with Wᵀr = 0, and the directions are p ← z + β p − W (A W)ᵀz: CG on an
    operator from which the eigenvalues of W are gone. Y. Saad, M. Yeung, J. Erhel, F. Guyomarc'h,
    SIAM J. Sci. Comput. 21 (2000) 1909, algorithm 3.5. Two reductions an iteration.

    The k smallest harmonic Ritz vectors of M⁻¹A from W and the first ℓ directions, or from all of
    them in a solve that has no W yet (`RitzWindow`), are the W of the next solve. It forms A W and
    M⁻¹A W: k applications. Where neither A nor M has changed since the last solve, W is kept as it
    is, and A W too once it was formed; then nothing is learnt any more.

    Every application of A is one iteration: those of CG, the k of the images, the initial residual
    of a nonzero guess, and the final check.

    A vector of W takes the time of 0.025 to 0.06 applications in each iteration. A space that
    doesn't pay by this measure isn't used: after a solve that took more than the last one without a
    space, the next 4, 16, 64, 64 … changed operators start cold (`Payoff`).

    Options, after the prefix of the KSP: ``-ksp_deflated_cg_recycle k``,
    ``-ksp_deflated_cg_window ℓ``.

    Attributes:
        recycle, window: k and ℓ.
        verify: Check the explicit residual before convergence is claimed (one application).
        always: Use the space even where it seems not to pay.
        applications: Applications of A in the last solve.
        dropped: How often the last solve dropped its space.
    """

    def __init__(
        self, recycle: int = 8, window: int = 40, verify: bool = True, always: bool = False
    ) -> None:
        """Set k = `recycle` ≥ 0 and ℓ = `window` ≥ k + 2; with k = 0 it is plain CG.

        Raises:
            ValueError: k or ℓ out of range.
        """
        self.recycle, self.window = checked_sizes(recycle, window)
        self.verify, self.always = verify, always
        self.applications = self.dropped = 0
        self._space: DeflationSpace | None = None
        self._ritz = RitzWindow(self.recycle, self.window)
        self._key: tuple[Any, ...] | None = None  # of the last solve
        self._held: tuple[Any, ...] = ()  # keeps handles in _key from being used again
        self._formed = False  # A W belongs to W and _key
        self._learning = False  # the window of this solve is whole
        self._used = 0  # vectors deflated by this solve
        self._pay = Payoff()

    @property
    def recycled(self) -> int:
        """The number of vectors kept for the next solve."""
        return self._space.k if self._space else 0

    # -- what PETSc calls --------------------------------------------------------------------

    def setFromOptions(self, ksp: PETSc.KSP) -> None:  # noqa: N802
        """Read the options under the prefix of `ksp`. Collective. Raises ValueError."""
        get = PETSc.Options(ksp.getOptionsPrefix()).getInt
        recycle = get("ksp_deflated_cg_recycle", self.recycle)
        window = get("ksp_deflated_cg_window", self.window)
        self.recycle, self.window = checked_sizes(recycle, window)

    def setUp(self, ksp: PETSc.KSP) -> None:  # noqa: N802
        """Refuse a side or norm that the method doesn't have. Raises ValueError."""
        side, norm = ksp.getPCSide(), ksp.getNormType()
        if side != PETSc.PC.Side.LEFT or norm == PETSc.KSP.NormType.NATURAL:
            raise ValueError(
                f"DeflatedCG got PC side {side} with norm type {norm}: take the left side, and the "
                "unpreconditioned or the preconditioned norm"
            )

    def reset(self, ksp: PETSc.KSP | None = None) -> None:
        """Drop the space and the work memory. Collective."""
        self.forget()
        if self._space is not None:
            self._space.destroy()
            self._space = None

    def destroy(self, ksp: PETSc.KSP | None = None) -> None:
        """Called by PETSc when the KSP is destroyed. Collective."""
        self.reset()

    def view(self, ksp: PETSc.KSP, viewer: PETSc.Viewer) -> None:
        """Print k, ℓ and the state of the space. Collective."""
        if viewer.getType() == PETSc.Viewer.Type.ASCII:
            sizes = f"recycle={self.recycle}, window={self.window}"
            viewer.printfASCII(f"  deflated CG: {sizes}, vectors held: {self.recycled}\n")

    def solve(self, ksp: PETSc.KSP, b: PETSc.Vec, x: PETSc.Vec) -> None:
        """Solve A x = b; the reason is in the KSP. Collective."""
        self.applications = self.dropped = 0
        operator = PreconditionedOperator(ksp)
        if operator.pc.getFailedReason():
            ksp.setConvergedReason(PC_FAILED)  # type: ignore[arg-type]
            return
        space = self._allocated(b)
        try:
            reason = self._solve(KSPRun(ksp, operator), space, b, x)
            if reason == NANORINF or reason in INDEFINITE:
                self.forget()
            ksp.setConvergedReason(reason)  # type: ignore[arg-type]
        finally:
            self.applications = operator.applications
            operator.close()
        if reason > 0:
            vector = VECTOR_CHEAP if operator.pc.getType() in CHEAP else VECTOR
            self._pay.learn(round(self.applications * (1.0 + vector * self._used)))

    # -- the algorithm -----------------------------------------------------------------------

    def _solve(self, run: KSPRun, space: DeflationSpace, b: PETSc.Vec, x: PETSc.Vec) -> int:
        """Iterate, check the explicit residual, and go on until it has converged too."""
        space.preconditioned = run.ksp.getNormType() == PETSc.KSP.NormType.PRECONDITIONED
        guess = run.ksp.getInitialGuessNonzero()
        if not guess:
            x.zeroEntries()
        explicit = space.residual(run.operator, b, x if guess else None)
        self._learning, self._used = False, 0
        if not (reason := run.start(explicit)):
            self._images(run, space, explicit)
        for check in range(CHECKS):
            if reason:
                break
            before = explicit
            reason, norm = self._iterate(run, space, x, self._learning and check == 0)
            spoilt = space.k > 0 and (reason == BREAKDOWN or reason in INDEFINITE)
            if reason == NANORINF or (not spoilt and (reason < 0 or not self.verify)):
                break
            explicit = space.residual(run.operator, b, x)
            reason = run.record(explicit)
            if not reason and (spoilt or not explicit <= DRIFT * norm):
                if check and explicit > 0.5 * before:
                    return BREAKDOWN
                self._drop(space)
        if self._learning and self._ritz.size:
            self._renew(space)
        return reason or BREAKDOWN

    def _images(self, run: KSPRun, space: DeflationSpace, norm: float) -> None:
        """Form A W where it has to be, and G = WᵀA M⁻¹A W where there is something to learn."""
        op = run.operator
        key = op.key()
        same = self._key == key  # compared before the old handles are let go
        self._held = (op.A, op.P, op.pc)
        self._key, formed = key, self._formed and same
        self._formed = self._learning = False
        self._pay.used = COLD if space.k == 0 else FREE if formed else IMAGES
        if not formed and (space.k or self._pay.rest):
            refused = not self.always and not self._pay.allows(self.recycle)
            if refused or run.max_it - op.applications <= space.k:
                self._drop(space)
                self._pay.used = COLD
        if space.k and not formed:
            for _ in space.images(op):
                run.note(norm)
        if space.k and not space.orthonormalise():
            self._drop(space)
        self._used, self._formed = space.k, space.k > 0
        wanted = self.always or self._pay.rest == 0  # by the next solve
        self._learning = self.recycle > 0 and wanted and not (space.k and same)
        if self._learning:
            self._ritz.begin(space.projection(op))

    def _iterate(
        self, run: KSPRun, space: DeflationSpace, x: PETSc.Vec, record: bool
    ) -> tuple[int, float]:
        """CG with the directions kept out of W, from the residual in `space.r_vec`.

        Returns the reason, never ITERATING, and the norm of the residual of the recurrence.
        """
        op, mult, r, z, q = run.operator, run.operator.A.mult, space.r_vec, space.z_vec, space.q_vec
        if space.k:
            space.project(x)
        precondition(op, r, z)
        norm, rz, mu = space.products()
        reason = run.test(norm) if space.k else ITERATING
        limit = self._limit(space)
        row = 0 if record else self.window
        if record:
            self._ritz.first(mu)
        space.direct(row, 0.0, row, mu)
        while not reason:
            if not rz > 0.0:
                return (HAPPY if norm == 0.0 else NANORINF if rz != rz else INDEFINITE_PC), norm
            p = space.v_vecs[row]
            p.stateIncrease()
            mult(p, q)
            op.applications += 1
            d = space.dot(space.V[row], space.q)
            if not d > 0.0 or op.applications > limit:
                run.note(norm)
                return (NANORINF if d != d else BREAKDOWN if d > 0.0 else INDEFINITE_MAT), norm
            alpha = rz / d
            x.axpy(alpha, p)
            r.axpy(-alpha, q)
            precondition(op, r, z)
            before, (norm, rz, mu) = rz, space.products()
            reason, beta = run.record(norm), rz / before
            if row < self.window:
                self._ritz.note(d, alpha, beta, mu)
                row = self._advance(space, row, beta, mu)
            else:
                space.direct(row, beta, row, mu)
        return reason, norm

    def _advance(self, space: DeflationSpace, row: int, beta: float, mu: Array) -> int:
        """Put the next direction behind the last one; the row that the iteration goes on from.

        A full window is compressed while there is no space to start from. Where there is, one
        window is enough to follow a slow change, and the iteration goes on without recording.
        """
        space.direct(row + 1, beta, row, mu)
        if not self._ritz.full:
            return row + 1
        if space.k:
            return self.window
        Y = space.root(lambda: self._ritz.compression(self.recycle))
        self._learning = Y is not None
        if Y is None:
            return self.window
        self._ritz.compress(Y)
        return space.compress(Y)

    def _limit(self, space: DeflationSpace) -> float:
        """The applications after which the space is held to have spoilt the solve."""
        usual = self._pay.cold if self._pay.cold < np.inf else space.size
        return STUCK * usual + self.recycle + 20 if space.k else np.inf

    def _renew(self, space: DeflationSpace) -> None:
        """W ← the harmonic Ritz vectors of this solve."""
        Y = space.root(lambda: self._ritz.vectors(self.recycle))
        self._formed = False
        if Y is None:
            self._drop(space)
        else:
            space.replace(Y)

    # -- state -------------------------------------------------------------------------------

    def _allocated(self, b: PETSc.Vec) -> DeflationSpace:
        """The memory for vectors like `b`; a space of another size is dropped."""
        if self._space is None or self._space.key != (layout(b), self.recycle, self.window):
            self.reset()
            self._space = DeflationSpace(b, self.recycle, self.window)
            self._ritz = RitzWindow(self.recycle, self.window)
        return self._space

    def operator_changed(self) -> None:
        """Form A W anew in the next solve, for a change that PETSc's states don't show.

        That is a shell matrix with other data, or a preconditioner set up again for the same
        matrix. W is kept. Not collective.
        """
        self._key = None

    def _drop(self, space: DeflationSpace) -> None:
        """Drop the space in the middle of a solve, and what is learnt beside it."""
        self.dropped += space.k > 0
        space.k = 0
        self._formed = self._learning = False

    def forget(self) -> None:
        """Drop the space, keep the work memory. Not collective."""
        if self._space is not None:
            self._space.k = 0
        self._key, self._held, self._formed, self._learning = None, (), False, False
        self._pay = Payoff()
