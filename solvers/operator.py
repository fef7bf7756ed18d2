"""The preconditioned operator B that a Krylov method iterates with."""

from typing import Any

from petsc4py import PETSc


class PreconditionedOperator:
    """B = M⁻¹A (left) or AM⁻¹ (right) of one KSP, for the length of one solve.

    With t the unknown of the method, x = x₀ + t (left) or x = x₀ + M⁻¹t (right). A null space
    attached to A is projected out of every result of M⁻¹, as PETSc's own methods do.
    """

    def __init__(self, ksp: PETSc.KSP) -> None:
        """Read operators, preconditioner and side from `ksp`. Not collective."""
        self.A, self.P = ksp.getOperators()
        self.pc = ksp.getPC()
        self.right = ksp.getPCSide() == PETSc.PC.Side.RIGHT
        self.identity = self.pc.getType() == PETSc.PC.Type.NONE
        space = self.A.getNullSpace()
        self.null_space = space if space.handle else None
        self.applications = 0
        self._work: PETSc.Vec | None = None

    def key(self) -> tuple[Any, ...]:
        """What B depends on: handles and object states of A and P, the PC and its type, the side.

        The tuple compares equal exactly when PETSc was told of no change. A shell matrix whose
        data changed silently needs `A.stateIncrease()` or `GCRODR.reset()`. Not collective.
        """
        pc = (self.pc.handle, self.pc.getType(), self.pc.stateGet())
        mats = (self.A.handle, self.A.stateGet(), self.P.handle, self.P.stateGet())
        return (*mats, *pc, self.right)

    def apply(self, v: PETSc.Vec, w: PETSc.Vec) -> None:
        """W = B v; counts as one application. Collective."""
        self.applications += 1
        if self.identity and self.null_space is None:
            self.A.mult(v, w)
        elif self.right:
            work = self._scratch(v)
            self._precondition(v, work)
            self.A.mult(work, w)
        else:
            work = self._scratch(v)
            self.A.mult(v, work)
            self._precondition(work, w)

    def residual(self, b: PETSc.Vec, x: PETSc.Vec | None, r: PETSc.Vec) -> None:
        """R = b − A x, or M⁻¹(b − A x) on the left; x = None stands for zero. Collective.

        One application when x is given, none otherwise.
        """
        if x is None:
            b.copy(r)
        else:
            self.applications += 1
            self.A.mult(x, r)
            r.aypx(-1.0, b)
        if not self.right and not (self.identity and self.null_space is None):
            work = self._scratch(r)
            self._precondition(r, work)
            work.copy(r)

    def correct(self, x: PETSc.Vec, t: PETSc.Vec) -> None:
        """X += t (left) or x += M⁻¹ t (right). Collective."""
        if self.right and not (self.identity and self.null_space is None):
            work = self._scratch(t)
            self._precondition(t, work)
            x.axpy(1.0, work)
        else:
            x.axpy(1.0, t)

    def close(self) -> None:
        """Destroy the work vector. Collective."""
        if self._work is not None:
            self._work.destroy()
            self._work = None

    def _precondition(self, v: PETSc.Vec, z: PETSc.Vec) -> None:
        self.pc.apply(v, z)
        if self.null_space is not None:
            self.null_space.remove(z)

    def _scratch(self, like: PETSc.Vec) -> PETSc.Vec:
        if self._work is None:
            self._work = like.duplicate()
        return self._work
