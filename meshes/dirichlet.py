"""Dirichlet data of a problem: constrained dofs and their values, renewed for each sample."""

from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem import Function, FunctionSpace
from numpy.typing import NDArray
from ufl.algorithms import extract_coefficients
from ufl.algorithms.analysis import extract_constants, extract_type
from ufl.domain import extract_domains

from meshes.calculus import Dirichlet
from meshes.forms import compiled_expression
from meshes.single_valued import SingleValued

__all__ = ["DirichletData"]


class DirichletData:
    """The conditions w = g; where parts of the boundary meet, the last condition holds.

    Attributes:
        bcs: DOLFINx' conditions.
        free: Mask over the owned dofs of W: True where w is not constrained.
        varies: Whether values depend on a sample's data, or on time.
        in_time: Whether values depend on time.
        terminals: `id` of the functions and constants that values depend on.
    """

    def __init__(
        self,
        W: FunctionSpace,
        names: list[str],
        conditions: list[Dirichlet],
        facets: dict[str, NDArray],
        varying: set[int],
        time: Any,
        moves: bool,
    ) -> None:
        """Find the dofs and set the values for the present data. Collective.

        Args:
            W: The space of w.
            names: The output fields, in the order of W's parts.
            conditions: What holds where.
            facets: Facet tags.
            varying: `id` of the functions and constants that differ by sample.
            time: The constant that is the time.
            moves: Whether the mesh moves, and with it the values of expressions in x.

        Raises:
            ValueError: A condition is for a field that is no output.
        """
        self.free = np.ones(W.dofmap.index_map.size_local * W.dofmap.bs, dtype=bool)
        self.bcs: list[fem.DirichletBC] = []
        self._updates: list[tuple[SingleValued, fem.Expression, Function]] = []
        self._varying, self.varies = varying | {id(time)}, False
        self._time, self._moves, self.in_time = id(time), moves, False
        self.terminals: set[int] = set()
        for condition in conditions:
            if condition.output not in names:
                raise ValueError(
                    f"a condition for {condition.output!r}: the outputs are {', '.join(names)}"
                )
            self._add(W, names, condition, facets)
        for bc in self.bcs:
            dofs, owned = bc.dof_indices()
            self.free[dofs[:owned]] = False

    def _add(
        self, W: FunctionSpace, names: list[str], condition: Dirichlet, facets: dict[str, NDArray]
    ) -> None:
        sub = W if len(names) == 1 else W.sub(names.index(condition.output))
        if condition.component is not None:
            sub = sub.sub(condition.component)
        V = W if sub is W else sub.collapse()[0]
        g = Function(V)
        if condition.is_pin:
            dofs: Any = _nearest(W, sub, V, condition.where)
            g.x.array[:] = condition.value
        else:
            dofs = _boundary(W, sub, V, facets[condition.where])
            value = ufl.as_ufl(condition.value)
            if not extract_domains(value):  # numbers alone: DOLFINx asks which mesh they are on
                value = value + fem.Constant(W.mesh, np.zeros(value.ufl_shape))
            self._set(g, value, facets[condition.where])
        self.bcs.append(fem.dirichletbc(g, dofs) if sub is W else fem.dirichletbc(g, dofs, sub))

    def _set(self, g: Function, value: Any, facets: NDArray) -> None:
        """Interpolate a value into g beside the facets; note whether that has to be repeated."""
        V = g.function_space
        interpolation = SingleValued(V, _cells_beside(V, facets))
        expression = compiled_expression(value, V.element.interpolation_points)
        interpolation.interpolate(expression, g)
        terminals = {id(f) for f in (*extract_coefficients(value), *extract_constants(value))}
        moved = self._moves and bool(extract_type(value, ufl.SpatialCoordinate))
        if moved or self._varying & terminals:
            self._updates.append((interpolation, expression, g))
            self.varies = True
        self.in_time = self.in_time or self._time in terminals
        self.terminals |= terminals

    def update(self) -> None:
        """Interpolate the values again, for the present data. Collective."""
        for interpolation, expression, g in self._updates:
            interpolation.interpolate(expression, g)

    def apply(self, w: Function) -> None:
        """Write the values into w, ghosts included. Not collective."""
        for bc in self.bcs:
            bc.set(w.x.array)


def _boundary(W: FunctionSpace, sub: FunctionSpace, V: FunctionSpace, facets: NDArray) -> Any:
    dim = W.mesh.topology.dim - 1
    W.mesh.topology.create_connectivity(dim, dim + 1)
    if sub is W:
        return fem.locate_dofs_topological(W, dim, facets)
    return fem.locate_dofs_topological((sub, V), dim, facets)


def _cells_beside(V: FunctionSpace, facets: NDArray) -> NDArray[np.int32]:
    """The local cells that have some of the facets: g's values there are its trace."""
    topology = V.mesh.topology
    beside: Any = topology.connectivity(topology.dim - 1, topology.dim)
    found = [beside.links(facet) for facet in facets]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int32), *found]))


def _nearest(W: FunctionSpace, sub: FunctionSpace, V: FunctionSpace, point: NDArray) -> Any:
    """The one dof whose place is nearest to a point, on the rank that owns it. Collective.

    Ties are broken by coordinates, so that the choice doesn't depend on the number of ranks.
    """
    imap = V.dofmap.index_map
    x = V.tabulate_dof_coordinates()[: imap.size_local]
    target = np.zeros(3)
    target[: len(point)] = point
    distance = np.round(np.linalg.norm(x - target, axis=1), 12)
    place = np.round(x, 12)
    order = np.lexsort((*place.T[::-1], distance))[:1].astype(np.int32)
    found = [(distance[i], tuple(place[i]), int(imap.local_to_global(order)[0])) for i in order]
    best = min(sum(W.mesh.comm.allgather(found), []))
    local = imap.global_to_local(np.array([best[-1]]))
    chosen = local[local >= 0].astype(np.int32)  # ghosts too
    if sub is W:
        return chosen
    block = np.arange(V.dofmap.bs, dtype=np.int32)
    unrolled = (chosen[:, None] * V.dofmap.bs + block).ravel()
    return [np.ravel(sub.collapse()[1])[unrolled].astype(np.int32), unrolled]
