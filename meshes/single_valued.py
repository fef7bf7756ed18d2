"""Interpolation of expressions that may jump between cells, the same on any number of ranks.

A dof that several cells share gets the value of the stored cell with the lowest number among those
that are offered. DOLFINx takes the last one in the order of the local cells, which is another one
on other ranks.
"""

import dolfinx.fem.petsc as fem_petsc
import numpy as np
from dolfinx import fem
from dolfinx.fem import Function, FunctionSpace
from dolfinx.la import InsertMode
from numpy.typing import NDArray
from petsc4py import PETSc

__all__ = ["SingleValued"]


class SingleValued:
    """Interpolates on some cells; all dofs that they hold get a value, on all ranks."""

    def __init__(self, V: FunctionSpace, cells: NDArray) -> None:
        """Find which rank has the say about each dof. Collective.

        Args:
            V: The space.
            cells: Local cells, in any order; several ranks may offer the same cell.
        """
        stored = np.asarray(V.mesh.topology.original_cell_index)[cells]
        order = np.argsort(stored)[::-1]  # the last that is written stays: the lowest
        self._cells = np.asarray(cells, dtype=np.int32)[order]
        self._shared = V.mesh.comm.size > 1
        if self._shared:
            self._others = ~_has_the_say(V, self._cells, stored[order])

    def interpolate(self, expression: fem.Expression, g: Function) -> None:
        """Set g to an expression at the dofs of the cells, to 0 elsewhere. Collective."""
        g.x.array[:] = 0.0
        g.interpolate(expression, self._cells)
        if self._shared:
            g.x.array[self._others] = 0.0
            g.x.scatter_reverse(InsertMode.add)
            g.x.scatter_forward()


def _has_the_say(V: FunctionSpace, cells: NDArray, stored: NDArray) -> NDArray[np.bool_]:
    """Mask over the local dofs: True where this rank has the lowest cell of all ranks."""
    comm, bs = V.mesh.comm, V.dofmap.bs
    dofs = np.asarray(V.dofmap.list)[cells]
    ranked = -(stored.astype(float) * comm.size + comm.rank)  # no two ranks have the same
    vector = fem_petsc.create_vector(V)
    with vector.localForm() as local:
        keys = np.full(local.getLocalSize() // bs, -np.inf)
        np.maximum.at(keys, dofs.ravel(), np.repeat(ranked, dofs.shape[1]))
        local.array[:] = np.repeat(keys, bs)
    vector.ghostUpdate(PETSc.InsertMode.MAX, PETSc.ScatterMode.REVERSE)  # type: ignore[arg-type]
    vector.ghostUpdate(PETSc.InsertMode.INSERT, PETSc.ScatterMode.FORWARD)  # type: ignore[arg-type]
    with vector.localForm() as local:
        found = np.repeat(keys, bs) == local.array
    vector.destroy()
    return np.asarray(found & np.isfinite(np.repeat(keys, bs)))
