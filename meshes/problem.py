"""Variational problems, linear and nonlinear, stationary and marching, assembled in place.

Find w ∈ W (one space, or a product of several), w = g on parts of the boundary, with

    F(w; v) = 0    for all v ∈ W that vanish there.

F depends on coefficients: functions in finite-element spaces, constants, expressions in x.
"""

from typing import Any, Protocol

import dolfinx.fem.petsc as fem_petsc
import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem import Function, FunctionSpace
from dolfinx.mesh import Mesh
from mpi4py import MPI
from numpy.typing import NDArray
from petsc4py import PETSc
from ufl.algorithms import extract_coefficients
from ufl.algorithms.analysis import extract_constants
from ufl.algorithms.check_arities import ArityMismatch

from meshes.affine import AffineSystem, affine_system
from meshes.calculus import UflCalculus, make_space_of
from meshes.data import DISPLACEMENT, Data, SampleData
from meshes.dirichlet import DirichletData
from meshes.forms import compiled_expression, compiled_form
from meshes.quality import MeshError
from meshes.shared_matrix import SharedMatrix
from meshes.single_valued import SingleValued
from meshes.spaces import SpaceName, make_space

__all__ = ["Formulation", "Problem"]

Array = NDArray[np.float64]
_PATIENCE = 8
"""Systems before sparse products are made: those cost about 15 assemblies by the forms."""


class Formulation(Protocol):
    """What states a problem; a family of `pipeline` is one."""

    LINEAR: Any
    QUADRATURE: Any

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """Return F(u; v); u and v are tuples where there are several outputs."""

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """Return the Dirichlet conditions."""

    def initial(self, q: Any, c: Any) -> Any:
        """Return u at the start, of a marching problem; else None."""


class Problem:
    """Assembles F, its derivative, or the linear system of one problem, for one sample at a time.

    Rows and columns of constrained dofs are the identity. A matrix whose data have not changed
    is not assembled again, so its PETSc state tells a solver that nothing has to be set up. On one
    rank, after a few systems that are affine in the data, A and b are sparse products with them
    (`meshes/affine.py`): the same to rounding, and ten times as fast.

    Attributes:
        names: The output fields.
        w: The present solution, a function of W.
        parts: Output name → (its own space, local dofs of W of its local dofs).
        free: Mask over the owned dofs of W: True where w is not constrained.
        A: The matrix; overwritten by the next assembly.
        b: The vector; overwritten by the next assembly.
        q: The calculus.
    """

    def __init__(
        self,
        form: Formulation,
        mesh: Mesh,
        facets: dict[str, NDArray],
        outputs: dict[str, SpaceName],
        data: Data,
    ) -> None:
        """Compile forms, allocate A and b. Collective.

        Raises:
            ValueError: A space doesn't exist on the cells, or a boundary part in the mesh.
        """
        self.names, self._form = list(outputs), form
        spaces = [make_space(mesh, name) for name in outputs.values()]
        self.W = spaces[0]
        if len(spaces) > 1:
            self.W = make_space_of(mesh, [V.ufl_element() for V in spaces])
        self.parts = _parts(self.W, self.names)
        self.w, self._before = Function(self.W), Function(self.W)
        self.q = UflCalculus(mesh, facets, form.QUADRATURE)
        self._data = SampleData(mesh, data)
        self._fresh_matrix = False
        self._affine: AffineSystem | None = None
        self._until_affine = _PATIENCE
        self._compile()

    @property
    def mesh(self) -> Mesh:
        """The mesh."""
        return self.W.mesh

    @property
    def comm(self) -> MPI.Comm:
        """The communicator that shares the problem."""
        return self.W.mesh.comm

    @property
    def linear(self) -> bool:
        """Whether F is affine in w."""
        return bool(self._form.LINEAR)

    @property
    def fixed(self) -> bool:
        """Whether all samples have one matrix, up to the time step."""
        return (
            self.linear
            and not self._data.moves
            and not any(self._touches_matrix(name) for name in self._data.terminals)
        )

    @property
    def terminals(self) -> dict[str, Any]:
        """Name of each datum that differs by sample → its coefficient or constant in the forms."""
        return self._data.terminals

    @property
    def affine(self) -> bool:
        """Whether A and b are made by sparse products with the data."""
        return self._affine is not None

    def _compile(self) -> None:
        q, form, v = self.q, self._form, ufl.TestFunction(self.W)
        start = form.initial(q, self._data.symbols)
        if start is not None:
            q.previous = self._split(self._before)
            self._starts = self._interpolations(start)
        try:
            bilinear, right = self._forms(v)
            self._a, self._L = compiled_form(bilinear), compiled_form(right)
        except ArityMismatch as error:
            raise ValueError(
                f"weak(): F(u; v) is not affine in u, or not linear in v ({error}); a family whose "
                "F is nonlinear in u says LINEAR = False"
            ) from error
        self.stated_forms = bilinear, right
        self._in_matrix = {id(f) for f in (*bilinear.coefficients(), *bilinear.constants())}
        varying = [*self._data.terminals.values(), q.load, q.time]
        self.dirichlet = DirichletData(
            self.W,
            self.names,
            self._stated(form.conditions),
            q.facets,
            {id(f) for f in varying},
            q.time,
            self._data.moves,
        )
        self._refuse_unused(bilinear, right, start)
        self.free = self.dirichlet.free
        self._shared = SharedMatrix(self._a) if self.comm.size == 1 else None
        self.A: PETSc.Mat = self._shared.A if self._shared else fem_petsc.create_matrix(self._a)
        self.b: PETSc.Vec = fem_petsc.create_vector(self.W)

    def _forms(self, v: Any) -> tuple[Any, Any]:
        """The bilinear form of the matrix, and the linear form: L of F = a − L, or F itself.

        Raises:
            ValueError: A term of F holds no test function: UFL would drop it without a word.
        """
        unknown = ufl.TrialFunction(self.W) if self.linear else self.w
        F = self._stated(self._form.weak, self._split(unknown), self._split(v))
        if not (alone := ufl.functional(F)).empty():
            raise ValueError(
                f"weak(): the term {alone} holds no test function; every term of F(u; v) has to be "
                "linear in v"
            )
        if not self.linear:
            return ufl.derivative(F, self.w), F
        bilinear, right = ufl.system(F)
        if right is None or right.empty():
            right = ufl.inner(fem.Constant(self.mesh, np.zeros(v.ufl_shape)), v) * ufl.dx
        return bilinear, right

    def _refuse_unused(self, bilinear: Any, right: Any, start: Any) -> None:
        """Refuse random data that nothing depends on: all samples would be the same."""
        stated = [bilinear, right, *([] if start is None else self._parts_of(start))]
        used = self.dirichlet.terminals.union(
            *({id(f) for f in (*extract_coefficients(e), *extract_constants(e))} for e in stated)
        )
        if unused := self._data.unused(used):
            raise ValueError(
                f"problem: {', '.join(unused)} is random, and nothing on this mesh depends on it; "
                "give it a number"
            )

    def _parts_of(self, value: Any) -> list[Any]:
        return [value] if len(self.names) == 1 else list(value)

    def _stated(self, what: Any, *unknowns: Any) -> Any:
        """What the family states; where UFL refuses it, a datum has another shape than expected."""
        try:
            return what(self.q, *unknowns, self._data.symbols)
        except ValueError as error:
            shapes = self._data.shapes()
            if not shapes or isinstance(error, MeshError):
                raise
            raise ValueError(
                f"the problem can't be made of the data: {error} Vectors among them, with their "
                f"shapes: {shapes}; give a law without `size`, or a scalar space"
            ) from None

    def _interpolations(self, start: Any) -> list[tuple[SingleValued, fem.Expression]]:
        """How the initial condition gets into each part."""
        owned = np.arange(self.mesh.topology.index_map(self.mesh.topology.dim).size_local)
        return [
            (SingleValued(V, owned), compiled_expression(value, V.element.interpolation_points))
            for (V, _), value in zip(self.parts.values(), self._parts_of(start), strict=True)
        ]

    def space_of(self, field: str) -> FunctionSpace:
        """Return the space of a field that F depends on, or of the displacement."""
        return self._data.terminals[field].function_space  # type: ignore[no-any-return]

    def _split(self, w: Any) -> Any:
        return w if len(self.names) == 1 else ufl.split(w)

    # --- the data of a sample ---

    def set(self, values: dict[str, Array]) -> None:
        """Set coefficients and constants. Collective.

        Args:
            values: Symbol → local coefficients (owned and ghost), or the value of a constant.
                "displacement", a vector field in P1, is added to the vertices of the mesh.
        """
        changed = self._data.take(values)
        dirty = any(self._touches_matrix(name) for name in changed)
        flags = np.array([bool(changed), dirty])
        if self.comm.size > 1:
            self.comm.Allreduce(MPI.IN_PLACE, flags, MPI.LOR)
        self._fresh_matrix = self._fresh_matrix and not flags[1]
        if flags[0]:
            self.dirichlet.update()

    def _touches_matrix(self, name: str) -> bool:
        return name == DISPLACEMENT or id(self._data.terminals[name]) in self._in_matrix

    def set_load(self, fraction: float) -> None:
        """Set the load of a continuation. Collective."""
        self.q.load.value = fraction
        self.dirichlet.update()

    def set_time(self, time: float, dt: float) -> None:
        """Set time and step of a marching problem. Collective.

        A step that differs from the last one by rounding only is the same step.
        """
        if abs(dt - float(self.q.dt.value)) > 1e-12 * dt:
            self.q.dt.value, self._fresh_matrix = dt, False
        self.q.time.value = time
        if self.dirichlet.in_time:
            self.dirichlet.update()

    # --- the solution ---

    def lift(self) -> None:
        """Set w to zero, and to g where it is constrained. Collective."""
        self.w.x.array[:] = 0.0
        self.dirichlet.apply(self.w)

    def accept(self, x: NDArray[np.floating]) -> None:
        """Set w to owned values; constrained dofs get exactly their data. Collective."""
        self.w.x.array[: len(x)] = x
        self.w.x.scatter_forward()
        self.dirichlet.apply(self.w)

    def start(self) -> None:
        """Set w and the solution at the time before to the initial condition. Collective."""
        for (V, dofs), (interpolation, expression) in zip(
            self.parts.values(), self._starts, strict=True
        ):
            part = Function(V)
            interpolation.interpolate(expression, part)
            self.w.x.array[dofs] = part.x.array
        self.w.x.scatter_forward()
        self.remember()

    def remember(self) -> None:
        """Take w for the solution at the time before. Not collective."""
        self._before.x.array[:] = self.w.x.array

    def state(self) -> Any:
        """Return what a solve in steps has reached: w, the solution before, time, load, matrix."""
        q, values = self.q, None
        constants = (float(q.time.value), float(q.dt.value), float(q.load.value))
        if self.linear and self._fresh_matrix and self._shared is not None and not self.fixed:
            values = self._shared.values.copy()  # cheaper than to assemble it again
        return self.w.x.array.copy(), self._before.x.array.copy(), constants, values

    def restore(self, state: Any) -> None:
        """Go on from a state; the data are to be set before. Collective."""
        w, before, (time, dt, load), values = state
        self.w.x.array[:] = w
        self._before.x.array[:] = before
        self.set_time(time, dt)
        self.set_load(load)
        if values is not None and self._shared is not None and not self._fresh_matrix:
            self._shared.values[:] = values
            self._shared.renew()
            self._fresh_matrix = True

    # --- assembly ---

    def assemble(self, by_forms: bool = False) -> tuple[PETSc.Mat, PETSc.Vec]:
        """Return A and the lifted b of a linear problem. Collective.

        b_free = L − A_fD g, b_constrained = g.

        Args:
            by_forms: Assemble by the forms, now and from now on: a check of sparse products.
        """
        if by_forms or (self._affine is not None and not self._affine.holds()):
            self._fresh_matrix = self._fresh_matrix and self._affine is None
            self._affine, self._until_affine = None, 0
        if self._affine is not None:
            if not self._fresh_matrix:
                self._affine.set_matrix()
            self._fresh_matrix = True
            self._affine.set_vector(self.b)
            return self.A, self.b
        self._matrix()
        self._vector()
        fem_petsc.apply_lifting(self.b, [self._a], bcs=[self.dirichlet.bcs])
        self.b.ghostUpdate(PETSc.InsertMode.ADD, PETSc.ScatterMode.REVERSE)  # type: ignore[arg-type]
        for bc in self.dirichlet.bcs:
            bc.set(self.b.array_w)
        self._count_down()
        return self.A, self.b

    def _count_down(self) -> None:
        """After some systems by the forms, try to have those to come by sparse products."""
        if self._until_affine == 0 or self._shared is None or self._data.moves:
            return
        self._until_affine -= 1
        if self._until_affine == 0:
            varying = [*self._data.terminals.values(), self._before, self.q.time]
            system = self.stated_forms
            self._affine = affine_system(*system, varying, self.dirichlet, self._shared, self.b)

    def newton_system(self) -> tuple[PETSc.Mat, PETSc.Vec]:
        """Return J = F′(w) and b = −F(w), zero in constrained rows. Collective."""
        self.residual()
        self.b.scale(-1.0)
        self._fresh_matrix = False
        self._matrix()
        return self.A, self.b

    def residual(self) -> float:
        """Assemble b = F(w) of a nonlinear problem; return ‖F(w)‖₂ over free dofs. Collective."""
        self._vector()
        self.b.ghostUpdate(PETSc.InsertMode.ADD, PETSc.ScatterMode.REVERSE)  # type: ignore[arg-type]
        self.b.array_w[~self.free] = 0.0
        return float(self.b.norm())  # type: ignore[arg-type]

    def _matrix(self) -> None:
        if self._fresh_matrix:
            return
        if self._shared is not None:
            self._shared.assemble(self._a, self.dirichlet.bcs)
        else:
            self.A.zeroEntries()
            fem_petsc.assemble_matrix(self.A, self._a, bcs=self.dirichlet.bcs)  # type: ignore[misc,arg-type]
            self.A.assemble()
        self._fresh_matrix = True

    def _vector(self) -> None:
        with self.b.localForm() as local:
            local.set(0.0)
        fem_petsc.assemble_vector(self.b, self._L)  # type: ignore[arg-type]

    def has_finite_source(self) -> bool:
        """Whether F is finite for the present data, at w = 0 if it is linear. Collective."""
        finite = bool(np.isfinite(fem.assemble_vector(self._L).array).all())
        return self.comm.allreduce(finite, op=MPI.LAND)


def _parts(W: FunctionSpace, names: list[str]) -> dict[str, tuple[FunctionSpace, NDArray]]:
    if len(names) == 1:
        imap = W.dofmap.index_map
        size = (imap.size_local + imap.num_ghosts) * W.dofmap.bs
        return {names[0]: (W, np.arange(size))}
    found = {}
    for i, name in enumerate(names):
        V, dofs = W.sub(i).collapse()
        found[name] = (V, np.ravel(dofs))
    return found
