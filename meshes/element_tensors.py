"""The element tensors of a form, cell by cell, from its compiled kernels.

The form is assembled in "broken" spaces: same elements and kernels (nothing is compiled again),
but dofs that no two cells share. So nothing is summed, and the assembled values are the element
tensors; facet integrals come into the tensor of their cell.
"""

from collections.abc import Iterator
from typing import Any

import dolfinx.cpp as cpp
import numpy as np
import ufl
from dolfinx import fem, la
from dolfinx.common import IndexMap
from dolfinx.fem import Constant, Function, FunctionSpace, IntegralType
from numpy.typing import NDArray

from meshes.forms import compiled_form

__all__ = ["ElementTensors", "cell_dofs"]

Array = NDArray[np.float64]
_OF_ONE_CELL = {IntegralType.cell, IntegralType.exterior_facet}


class ElementTensors:
    """The element tensors E(p) of a form, a function of the data p that it depends on.

    Attributes:
        functions: The functions in the form.
        constants: The constants in the form.
        shape: (cells, n) of a linear form, (cells, n, n) of a bilinear one.
    """

    def __init__(self, form: ufl.Form) -> None:
        """Put the form into broken spaces, with data of its own. Serial.

        Args:
            form: A linear or bilinear form, the argument's space the same.

        Raises:
            ValueError: An integral couples cells, or a bilinear form has none over the cells.
        """
        arguments = form.arguments()
        V = arguments[0].ufl_function_space()
        broken = _broken(V)
        self.functions: list[Function] = list(form.coefficients())
        self.constants: list[Constant] = list(form.constants())
        # All are replaced, in their order: else the order, and with it the kernel, would differ.
        new: dict[Any, Any] = {a: ufl.Argument(broken, a.number()) for a in arguments}
        new |= {f: Function(_broken(f.function_space)) for f in self.functions}
        new |= {c: Constant(V.mesh, np.array(c.value)) for c in self.constants}
        self._own: dict[int, Any] = {id(old): own for old, own in new.items()}
        self._form = compiled_form(ufl.replace(form, new))
        cells, n = cell_dofs(V).shape
        self.shape = (cells,) + (n,) * len(arguments)
        kinds = set(self._form.integral_types)
        if not kinds <= _OF_ONE_CELL or (len(arguments) == 2 and IntegralType.cell not in kinds):
            raise ValueError(f"integrals over {sorted(k.name for k in kinds)}")
        self._matrix: Any = None
        if len(arguments) == 2:
            self._matrix = fem.create_matrix(self._form, block_mode=la.BlockMode.expanded)
            if self._matrix.data.size != np.prod(self.shape):
                raise ValueError("integrals over a part of the cells")

    def fill(self, terminal: Any, value: float) -> None:
        """Set all coefficients of a function, or components of a constant. Not collective."""
        own = self._own[id(terminal)]
        if isinstance(own, Function):
            own.x.array[:] = value
        else:
            own.value = np.full(own.ufl_shape, value)

    def units(self, terminal: Any, value: float) -> Iterator[None]:
        """Set one coefficient after the other to a value in all cells, the others to 0; then all.

        Args:
            terminal: A function, whose coefficients in a cell are gone through, or a constant,
                whose components are.
            value: The value of the one.
        """
        own = self._own[id(terminal)]
        size = cell_dofs(own.function_space).shape[1] if isinstance(own, Function) else 0
        for k in range(size or max(1, int(np.prod(own.ufl_shape)))):
            self.fill(terminal, 0.0)
            if size:
                own.x.array[k::size] = value
            else:
                unit = np.zeros(own.ufl_shape)
                unit.flat[k] = value
                own.value = unit
            yield
        self.fill(terminal, 0.0)

    def assemble(self) -> Array:
        """Return the element tensors for the data as set. Serial."""
        if self._matrix is None:
            return fem.assemble_vector(self._form).array.reshape(self.shape).copy()
        self._matrix.data[:] = 0.0
        fem.assemble_matrix(self._matrix, self._form)  # type: ignore[arg-type]
        return np.array(self._matrix.data).reshape(self.shape)


def cell_dofs(V: FunctionSpace) -> NDArray[np.int32]:
    """Return the dofs of each cell, blocks unrolled, (cells, n), in the order of its kernels."""
    blocks, bs = np.asarray(V.dofmap.list), V.dofmap.bs
    unrolled = blocks[:, :, None] * bs + np.arange(bs, dtype=np.int32)
    return unrolled.reshape(len(blocks), -1)  # type: ignore[no-any-return]


def _broken(V: FunctionSpace) -> FunctionSpace:
    """The space of V's element whose dofs are numbered cell by cell."""
    cells, n = V.dofmap.list.shape
    dofs = np.arange(cells * n, dtype=np.int32).reshape(cells, n)
    dofmap = cpp.fem.DofMap(
        V.dofmap.dof_layout,
        IndexMap(V.mesh.comm, cells * n),
        V.dofmap.index_map_bs,
        cpp.graph.AdjacencyList_int32(dofs),
        V.dofmap.bs,
    )
    space = cpp.fem.FunctionSpace_float64(V.mesh._cpp_object, V.element._cpp_object, dofmap)
    return FunctionSpace(V.mesh, V.ufl_element(), space)
