"""The calculus in which a problem states its forms, in UFL.

A family of `pipeline` writes its weak form once, with the operators of a calculus `q`: this one
makes forms of it, `pipeline.symbolic` the text of `manifest.problem`.
"""

from dataclasses import dataclass
from typing import Any

import dolfinx.mesh
import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem import FunctionSpace
from dolfinx.mesh import Mesh
from numpy.typing import NDArray

from meshes.expressions import Pointwise, expression_on

__all__ = ["Dirichlet", "UflCalculus", "make_space_of"]


@dataclass(frozen=True, eq=False)
class Dirichlet:
    """u = value on a part of the boundary, or at one dof (a pin).

    Attributes:
        output: Name of the output field.
        value: UFL expression of the field's value shape, or scalar for a component.
        where: Name of a facet tag; a point (gdim) for a pin.
        component: Component of a vector field, None for all.
    """

    output: str
    value: Any
    where: Any
    component: int | None = None

    @property
    def is_pin(self) -> bool:
        """Whether it holds at the one dof nearest to a point."""
        return not isinstance(self.where, str)


class UflCalculus:
    """Operators, measures and conditions over one mesh.

    Attributes:
        dim: Geometric dimension d.
        x: Coordinates.
        n: Outward unit normal on the boundary.
        h: Diameter of a cell.
        dt, time: Step size and time of a marching problem, constants of the form.
        load: Fraction of the load, in (0, 1], for continuation of a nonlinear problem.
        previous: The solution at the time before, split like u; None if there is no time.
    """

    grad = staticmethod(ufl.grad)
    div = staticmethod(ufl.div)
    curl = staticmethod(ufl.curl)
    dot = staticmethod(ufl.dot)
    inner = staticmethod(ufl.inner)
    outer = staticmethod(ufl.outer)
    cross = staticmethod(ufl.cross)
    sym = staticmethod(ufl.sym)
    tr = staticmethod(ufl.tr)
    det = staticmethod(ufl.det)
    inv = staticmethod(ufl.inv)
    transpose = staticmethod(ufl.transpose)
    ln = staticmethod(ufl.ln)
    exp = staticmethod(ufl.exp)
    sqrt = staticmethod(ufl.sqrt)
    sin = staticmethod(ufl.sin)
    cos = staticmethod(ufl.cos)
    cosh = staticmethod(ufl.cosh)
    vector = staticmethod(ufl.as_vector)

    def __init__(self, mesh: Mesh, facets: dict[str, NDArray], quadrature: int | None = None):
        """Prepare the measures. Collective.

        Args:
            mesh: The mesh.
            facets: Facet tags: name → local facets (owned and ghost).
            quadrature: Degree of exactness of all integrals; None lets UFL estimate it.
        """
        self.mesh, self.dim = mesh, mesh.geometry.dim
        self.x, self.n = ufl.SpatialCoordinate(mesh), ufl.FacetNormal(mesh)
        self.h = ufl.CellDiameter(mesh)
        self.dt: Any = fem.Constant(mesh, 1.0)
        self.time: Any = fem.Constant(mesh, 0.0)
        self.load: Any = fem.Constant(mesh, 1.0)
        self.previous: Any = None
        self.facets = dict(facets)
        self._ids = {name: i for i, name in enumerate(sorted(facets))}
        metadata = {} if quadrature is None else {"quadrature_degree": quadrature}
        self._dx = ufl.Measure("dx", domain=mesh, metadata=metadata)
        exterior = dolfinx.mesh.exterior_facet_indices(mesh.topology)
        entities = [
            (i, _entities(mesh, np.intersect1d(facets[name], exterior)))
            for name, i in self._ids.items()
        ]
        self._ds = ufl.Measure("ds", domain=mesh, subdomain_data=entities, metadata=metadata)

    def dx(self, integrand: Any) -> Any:
        """∫_Ω integrand dx."""
        return integrand * self._dx

    def ds(self, where: str, integrand: Any) -> Any:
        """∫ integrand ds over a named part of the boundary."""
        return integrand * self._ds(self._ids[self.known(where)])

    def expression(self, f: Pointwise) -> Any:
        """An expression in the coordinates."""
        return expression_on(self.mesh, f)

    def identity(self) -> Any:
        """The d × d identity."""
        return ufl.Identity(self.dim)

    def conditional(self, test: Any, yes: Any, no: Any) -> Any:
        """`yes` where test > 0, else `no`."""
        return ufl.conditional(ufl.gt(test, 0.0), yes, no)

    def dirichlet(
        self, output: str, value: Any, where: str = "boundary", component: int | None = None
    ) -> Dirichlet:
        """The condition that an output (or a component of it) equals `value` there."""
        return Dirichlet(output, value, self.known(where), component)

    def pin(self, output: str, point: tuple[float, ...], value: float = 0.0) -> Dirichlet:
        """The condition that fixes the dof of an output nearest to a point."""
        return Dirichlet(output, value, np.asarray(point, dtype=float))

    def boundary_without(self, parts: list[str]) -> str | None:
        """Return the name of the boundary without some parts; None if nothing is left."""
        name = "boundary" if not parts else f"boundary without {', '.join(parts)}"
        if name not in self.facets:
            taken = np.concatenate([self.facets[self.known(part)] for part in parts])
            self.facets[name] = np.setdiff1d(self.facets["boundary"], taken)
        left: int = self.mesh.comm.allreduce(len(self.facets[name]))
        return name if left else None

    def known(self, where: str) -> str:
        """Return the name of a facet tag.

        Raises:
            ValueError: The mesh has no such tag.
        """
        if where not in self.facets:
            raise ValueError(
                f"the mesh has no boundary part {where!r}; it has {', '.join(sorted(self.facets))}"
            )
        return where


def _entities(mesh: Mesh, facets: NDArray) -> NDArray:
    """Pairs (cell, local facet) of the owned exterior facets, flat."""
    tdim = mesh.topology.dim
    owned = facets[facets < mesh.topology.index_map(tdim - 1).size_local].astype(np.int32)
    found: Any = fem.compute_integration_domains(
        fem.IntegralType.exterior_facet, mesh.topology, owned
    )
    return np.asarray(found, dtype=np.int32).ravel()


def make_space_of(mesh: Mesh, elements: list[Any]) -> FunctionSpace:
    """Return the space of one element, or the mixed space of several. Collective."""
    import basix.ufl

    element = elements[0] if len(elements) == 1 else basix.ufl.mixed_element(elements)
    return fem.functionspace(mesh, element)
