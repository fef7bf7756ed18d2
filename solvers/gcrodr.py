"""GCRO-DR, the generalised conjugate residual method with deflated restarting, as a PETSc KSP."""

from typing import Any

from petsc4py import PETSc

from solvers.arnoldi import arnoldi
from solvers.basis import Basis, layout
from solvers.gram_schmidt import GramSchmidt
from solvers.harmonic import Cycle, least_squares
from solvers.ksp_run import BREAKDOWN, HAPPY, ITERATING, NANORINF, PC_FAILED, KSPRun
from solvers.operator import PreconditionedOperator
from solvers.payoff import COLD, FREE, IMAGES, Payoff
from solvers.recycled_space import RecycledSpace

# CᵀC − I beyond this: C is spoilt; a cycle leaves 1e-7 at most, and the next one corrects it.
WORN = 1e-5
# A space is dropped after this many cycles in a row that don't reduce the residual, the next one
# after twice as many: on an indefinite matrix a space may take long to grow, and then it pays.
STALLED_CYCLES = 25
STALLED = 0.999
# A recurrence further than this factor below the explicit residual isn't believed any more.
DRIFT = 2.0
# Times that the explicit residual may contradict the recurrence in one solve.
CHECKS = 5


class GCRODR:
    """GCRO-DR(m, k): the context of a KSP of type "python".

    ``ksp.setType("python"); ksp.setPythonContext(GCRODR(restart=40, recycle=20))``

    Solves B t = r₀ for B = M⁻¹A (left) or AM⁻¹ (right, the unpreconditioned residual is tested).
    The first cycle is GMRES(m). From it, and from every later cycle, the k harmonic Ritz vectors of
    smallest modulus are kept as U, C with B U = C, CᵀC = I; later cycles are m − k Arnoldi steps
    with (I − CCᵀ)B. U survives the solve. The next solve starts with C = qr(B U), U ← U R⁻¹, or
    with C as it is if neither A nor the preconditioner changed. M. Parks, E. de Sturler, G. Mackey,
    D. Johnson, S. Maiti, SIAM J. Sci. Comput. 28 (2006) 1651, algorithm "GCRO-DR".

    Every application of B (and of A for an explicit residual) is one iteration: those of the
    Arnoldi steps, the k of B U, the initial residual of a nonzero guess, and the final check.

    A space that doesn't pay isn't used: B U is not formed if the last solve without a space ended
    within its first cycle, and after a recycled solve that took more than the last one without, the
    next 4, 16, 64, 64 … changed operators start cold. `always=True` turns this off.

    Options, after the prefix of the KSP: ``-ksp_gcrodr_restart m``, ``-ksp_gcrodr_recycle k``.

    Attributes:
        restart, recycle: m and k.
        verify: Check the explicit residual before convergence is claimed (one application).
        always: Use the space even where it seems not to pay.
        applications: Operator applications of the last solve.
        dropped: How often the last solve dropped its recycled space.
    """

    def __init__(
        self, restart: int = 40, recycle: int = 20, verify: bool = True, always: bool = False
    ) -> None:
        """Set m = `restart` ≥ 3, k = `recycle` with 0 ≤ k ≤ m − 2.

        Raises:
            ValueError: m or k out of range.
        """
        self.restart, self.recycle = _checked(restart, recycle)
        self.verify, self.always = verify, always
        self.applications = 0
        self.dropped = 0
        self._basis: Basis | None = None
        self._space = RecycledSpace()  # C = B U holds if _key fits
        self._key: tuple[Any, ...] | None = None
        self._held: tuple[Any, ...] = ()  # keeps handles in _key from being used again
        self._pay = Payoff()

    @property
    def recycled(self) -> int:
        """The number of vectors kept for the next solve."""
        return self._space.k

    # -- what PETSc calls --------------------------------------------------------------------

    def setFromOptions(self, ksp: PETSc.KSP) -> None:  # noqa: N802
        """Read the options under the prefix of `ksp`. Collective. Raises ValueError."""
        options = PETSc.Options(ksp.getOptionsPrefix())
        restart = options.getInt("ksp_gcrodr_restart", self.restart)
        recycle = options.getInt("ksp_gcrodr_recycle", self.recycle)
        self.restart, self.recycle = _checked(restart, recycle)

    def setUp(self, ksp: PETSc.KSP) -> None:  # noqa: N802
        """Refuse a norm that the method doesn't have. Raises ValueError."""
        norm, side = ksp.getNormType(), ksp.getPCSide()
        expected: Any = {
            PETSc.PC.Side.LEFT: PETSc.KSP.NormType.PRECONDITIONED,
            PETSc.PC.Side.RIGHT: PETSc.KSP.NormType.UNPRECONDITIONED,
        }.get(int(side))  # type: ignore[call-overload]
        accepted = (expected, PETSc.KSP.NormType.NONE, PETSc.KSP.NormType.DEFAULT)
        if expected is None or (norm not in accepted and ksp.getPC().getType() != "none"):
            raise ValueError(
                f"GCRODR got PC side {side} with norm type {norm}: use the right side for the "
                "unpreconditioned norm, the left side for the preconditioned one"
            )

    def reset(self, ksp: PETSc.KSP | None = None) -> None:
        """Drop the recycled space and the work memory. Collective."""
        self.forget()
        if self._basis is not None:
            self._basis.destroy()
            self._basis = None

    def destroy(self, ksp: PETSc.KSP | None = None) -> None:
        """Called by PETSc when the KSP is destroyed. Collective."""
        self.reset()

    def view(self, ksp: PETSc.KSP, viewer: PETSc.Viewer) -> None:
        """Print m, k and the state of the recycled space. Collective."""
        if viewer.getType() == PETSc.Viewer.Type.ASCII:
            viewer.printfASCII(
                f"  GCRO-DR: restart={self.restart}, recycle={self.recycle}, "
                f"recycled vectors held: {self._space.k}\n"
            )

    def solve(self, ksp: PETSc.KSP, b: PETSc.Vec, x: PETSc.Vec) -> None:
        """Solve A x = b; the reason is in the KSP. Collective."""
        self.dropped = 0
        operator = PreconditionedOperator(ksp)
        if operator.pc.getFailedReason():
            ksp.setConvergedReason(PC_FAILED)  # type: ignore[arg-type]
            return
        try:
            reason = self._solve(KSPRun(ksp, operator), b, x)
            if reason == NANORINF:
                self.forget()
            ksp.setConvergedReason(reason)  # type: ignore[arg-type]
        finally:
            self.applications = operator.applications
            operator.close()
        if reason > 0:
            self._pay.learn(self.applications)

    # -- the algorithm -----------------------------------------------------------------------

    def _solve(self, run: KSPRun, b: PETSc.Vec, x: PETSc.Vec) -> int:
        """Iterate, check the explicit residual, and go on until it has converged too."""
        basis, op = self._allocated(b), run.operator
        guess = x if run.ksp.getInitialGuessNonzero() else None
        if guess is None:
            x.zeroEntries()
        op.residual(b, guess, basis.r)
        explicit = basis.norm(basis.r_row)
        reason = run.start(explicit)
        for check in range(CHECKS):
            if reason:
                break
            previous = explicit
            basis.t_row[:] = 0.0
            reason, norm = self._iterate(run, basis, explicit, check == 0)
            if reason == NANORINF:
                break
            basis.t.stateIncrease()
            op.correct(x, basis.t)
            if reason < 0 or not self.verify:
                break
            op.residual(b, x, basis.r)
            explicit = basis.norm(basis.r_row)
            reason = run.record(explicit)
            if not reason and not explicit <= DRIFT * norm:
                self._drop()
                if explicit > 0.5 * previous:
                    if check or self._pay.used == COLD:
                        return BREAKDOWN
                    explicit = self._undo(run, basis, b, x)
                    reason = run.record(explicit)
        return reason or BREAKDOWN

    def _undo(self, run: KSPRun, basis: Basis, b: PETSc.Vec, x: PETSc.Vec) -> float:
        """Take a correction back that a bad recycled space has spoilt; the norm of the residual."""
        basis.t_row *= -1.0
        basis.t.stateIncrease()
        run.operator.correct(x, basis.t)
        run.operator.residual(b, x, basis.r)
        return basis.norm(basis.r_row)

    def _iterate(self, run: KSPRun, basis: Basis, norm: float, first: bool) -> tuple[int, float]:
        """Cycles of GCRO-DR from the residual in `basis.r` until the convergence test says so.

        The correction is added to `basis.t`.
        """
        self._images(run, basis, norm, first)
        rows, reason, stalled, patience = GramSchmidt(basis), ITERATING, 0, STALLED_CYCLES
        while not reason:
            before, steps = self._begin(basis, rows)
            norm, reason = before, run.test(before)
            if norm == 0.0:
                reason = reason or HAPPY
            if reason:
                break
            cycle, norm, reason = arnoldi(run, basis, rows, self._space.k, before, steps)
            if cycle is None:
                break
            self._update(basis, rows, cycle, before)
            stalled = stalled + 1 if norm > STALLED * before else 0
            if stalled >= patience or (cycle.broken and norm > STALLED * before):
                if self._space.k == 0 or cycle.B.shape[0] == 0:
                    reason = reason or (BREAKDOWN if cycle.broken else ITERATING)
                self._drop()
                stalled, patience = 0, 2 * patience
        return reason, norm

    def _images(self, run: KSPRun, basis: Basis, norm: float, first: bool) -> None:
        """C = B U, unless C is still right; k applications. Drops a space that is of no use."""
        space, key = self._space, run.operator.key()
        held, self._held = self._held, (run.operator.A, run.operator.P, run.operator.pc)
        fresh = self._key == key
        del held  # only now may PETSc use the old handles again
        self._key = key
        if first:
            self._pay.used = COLD if space.k == 0 else FREE if fresh else IMAGES
        if space.k == 0 or fresh:
            return
        refused = first and not self.always and not self._pay.allows(self.restart)
        if refused or run.ksp.max_it - run.operator.applications <= space.k:
            self._drop()
            return
        wanted = space.k
        for i in range(wanted):
            basis.u[i].stateIncrease()
            run.operator.apply(basis.u[i], basis.w[i])
            run.note(norm)
        space.orthonormalise(basis)
        if space.k < wanted:
            self.dropped += 1

    def _begin(self, basis: Basis, rows: GramSchmidt) -> tuple[float, int]:
        """V₁ ← (I − CCᵀ) r / ‖·‖, t ← t + U Cᵀr. Returns the norm, the steps that the cycle has."""
        worst, a, norm = rows.begin(self._space.k)
        steps = min(self.restart, basis.layout[0]) - self._space.k
        if self._space.k and (steps < 1 or not worst <= WORN):
            self._drop()
            return self._begin(basis, rows)
        k = self._space.k
        basis.t_row += a @ basis.U[:k]
        if norm > 0.0:
            basis.W[k] *= 1.0 / norm
        basis.w[k].stateIncrease()
        return norm, steps

    def _update(self, basis: Basis, rows: GramSchmidt, cycle: Cycle, beta: float) -> None:
        """Add the cycle's correction to t, form the new residual, and renew the recycled space."""
        k, y = self._space.k, least_squares(cycle, beta)
        basis.combine(y, k, basis.t_row)
        if k:
            basis.t_row -= (cycle.B @ y) @ basis.U[:k]
        s = -cycle.H @ y
        s[0] += beta
        basis.r_row[:] = 0.0
        basis.combine(s, k, basis.r_row)
        if self.recycle:
            self._space.renew(basis, cycle, rows.E, self.recycle)

    # -- state -------------------------------------------------------------------------------

    def _allocated(self, b: PETSc.Vec) -> Basis:
        """The basis for vectors like `b`; a recycled space of another size is dropped."""
        basis, size = self._basis, (layout(b), self.restart + 1, self.recycle + 1)
        fits = basis is not None and (basis.layout, basis.width, basis.k_max) == size
        if fits and basis is not None:
            return basis
        self.reset()
        self._basis = Basis(b, self.restart + 1, self.recycle + 1)
        return self._basis

    def operator_changed(self) -> None:
        """Form C anew in the next solve, for a change that PETSc's states don't show.

        That is a shell matrix with other data, or a preconditioner set up again for the same
        matrix. The space U is kept. Not collective.
        """
        self._key = None

    def _drop(self) -> None:
        """Drop the recycled space in the middle of a solve."""
        self._space.clear()
        self.dropped += 1

    def forget(self) -> None:
        """Drop the recycled space, keep the work memory. Not collective."""
        self._space.clear()
        self._key, self._held = None, ()
        self._pay = Payoff()


def _checked(restart: int, recycle: int) -> tuple[int, int]:
    if restart < 3:
        raise ValueError(f"GCRODR got restart={restart}: it has to be at least 3")
    if not 0 <= recycle <= restart - 2:
        raise ValueError(
            f"GCRODR got recycle={recycle} with restart={restart}: a cycle needs room for a Krylov "
            f"step beside a complex pair, take 0 <= recycle <= restart - 2 = {restart - 2}"
        )
    return restart, recycle
