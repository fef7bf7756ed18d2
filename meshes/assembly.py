"""Linear variational problems, assembled again in place for each sample."""

from collections.abc import Callable
from typing import Any

import dolfinx.fem.petsc as fem_petsc
import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem import Function, FunctionSpace
from mpi4py import MPI
from numpy.typing import NDArray
from petsc4py import PETSc

from meshes.forms import compiled_form
from meshes.tables import boundary_dofs

__all__ = ["LinearProblem", "expression_on"]

Array = NDArray[np.float64]
Pointwise = Callable[[Any, Any], Any]
"""f(coordinates, functions): an expression in another algebra, NumPy's or UFL's."""


class LinearProblem:
    """Find u ∈ V, u = g on the boundary, with a(c; u, v) = L(c; v) for coefficients c.

    `assemble` writes into the same matrix and vector each time. Rows and columns of constrained
    dofs are the identity, b is lifted: b_free = L − A_fD g, b_constrained = g. A matrix whose
    coefficients have not changed is not assembled again, so its PETSc state tells a solver that
    nothing has to be set up.

    Attributes:
        name: Name of the output field u.
        V: The space of u.
        coefficients: The functions c, by column name.
        free: Mask over the owned dofs: True where u is not constrained.
        A: The matrix; overwritten by the next `assemble`.
        b: The right-hand side; overwritten by the next `assemble`.
    """

    def __init__(
        self, name: str, V: FunctionSpace, coefficient_spaces: dict[str, FunctionSpace]
    ) -> None:
        """Make the coefficients; forms and data are set afterwards. Collective."""
        self.name = name
        self.V = V
        self.coefficients = {name: Function(Q) for name, Q in coefficient_spaces.items()}
        self.free = np.ones(V.dofmap.index_map.size_local * V.dofmap.bs, dtype=bool)
        self.boundary: Function | None = None
        self._bcs: list[fem.DirichletBC] = []
        self._current: dict[str, Array] = {}

    def set_forms(self, bilinear: ufl.Form, linear: ufl.Form) -> None:
        """Compile the forms and allocate A and b. Collective."""
        self._a, self._L = compiled_form(bilinear), compiled_form(linear)
        self.A: PETSc.Mat = fem_petsc.create_matrix(self._a)
        self.b: PETSc.Vec = fem_petsc.create_vector(self.V)

    def set_dirichlet(self, value: Pointwise) -> None:
        """Constrain all boundary dofs to the interpolant of g. Collective."""
        self.boundary = Function(self.V)

        def at(x: Array) -> Array:
            # Points on a side x = 0 come out as ±1e-18, where 1/x would be finite, and nonsense.
            x = np.where(np.abs(x[: self._gdim]) < 1e-14, 0.0, x[: self._gdim])
            with np.errstate(all="ignore"):  # `constraints` shows what is not finite
                return np.broadcast_to(np.asarray(value(x, np), dtype=float), x[0].shape)

        self.boundary.interpolate(at)
        dofs = boundary_dofs(self.V)
        self._bcs = [fem.dirichletbc(self.boundary, dofs)]
        self.free[dofs[dofs < self.free.size]] = False

    def solution(self) -> Function:
        """Return a new function of V. Collective."""
        return Function(self.V)

    def has_finite_source(self) -> bool:
        """Whether all entries of L are finite, for the present coefficients. Collective."""
        vector = fem.assemble_vector(self._L)
        finite = bool(np.isfinite(vector.array).all())
        return self.V.mesh.comm.allreduce(finite, op=MPI.LAND)

    def constraints(self) -> dict[str, tuple[NDArray, Array]]:
        """Return {"u": (dofs, values)}: the constrained dofs of a serial space. Not collective."""
        dofs = np.flatnonzero(~self.free).astype(np.int32)
        values = self.boundary.x.array[dofs] if self.boundary is not None else np.empty(0)
        return {self.name: (dofs, np.array(values))}

    @property
    def _gdim(self) -> int:
        return self.V.mesh.geometry.dim

    def assemble(self, values: dict[str, Array]) -> tuple[PETSc.Mat, PETSc.Vec]:
        """Return A(c) and the lifted b(c). Collective.

        Args:
            values: Local coefficients (owned and ghost) of each function c, by column name.
        """
        comm, changed = self.V.mesh.comm, self._changed(values)
        if comm.allreduce(changed, op=MPI.LOR) if comm.size > 1 else changed:
            self._current = {name: value.copy() for name, value in values.items()}
            for name, value in values.items():
                self.coefficients[name].x.array[:] = value
            self.A.zeroEntries()
            fem_petsc.assemble_matrix(self.A, self._a, bcs=self._bcs)  # type: ignore[misc,arg-type]
            self.A.assemble()
        self._assemble_b()
        return self.A, self.b

    def _changed(self, values: dict[str, Array]) -> bool:
        if not self._current:
            return True
        return any(not np.array_equal(self._current[name], values[name]) for name in values)

    def _assemble_b(self) -> None:
        with self.b.localForm() as local:
            local.set(0.0)
        fem_petsc.assemble_vector(self.b, self._L)  # type: ignore[arg-type]
        fem_petsc.apply_lifting(self.b, [self._a], bcs=[self._bcs])
        self.b.ghostUpdate(PETSc.InsertMode.ADD, PETSc.ScatterMode.REVERSE)  # type: ignore[arg-type]
        for bc in self._bcs:
            bc.set(self.b.array_w)


def expression_on(mesh: Any, value: Pointwise) -> Any:
    """Return f on a mesh for use in a form: a constant, or a UFL expression in x."""
    f = value(ufl.SpatialCoordinate(mesh), ufl)
    return fem.Constant(mesh, float(f)) if isinstance(f, int | float) else f
