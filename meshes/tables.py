"""Space tables: what a data set carries so that training needs no DOLFINx."""

from typing import Any

import basix
import numpy as np
import scipy.sparse as sp
import ufl
from dolfinx import fem
from dolfinx.fem import FunctionSpace
from dolfinx.mesh import exterior_facet_indices

from meshes.forms import compiled_form

__all__ = ["boundary_dofs", "space_tree"]


def space_tree(V: FunctionSpace) -> dict[str, Any]:
    """Return the `spaces/<space>` tree of a serial space (docs/format.md). Serial meshes only.

    The mesh has to be built by `mesh_from_tree`; all cell tables are in the order of the
    stored cells. The Gram matrices are M_ij = ∫ φ_i·φ_j and K_ij = ∫ D φ_i·D φ_j with D the
    gradient, or the divergence or curl where the element's map is Piola, so that
    ‖u‖²_L2 = cᵀMc and ‖u‖²_H1 (H(div), H(curl)) = cᵀ(M + K)c.

    Raises:
        ValueError: The mesh is distributed.
    """
    topology = V.mesh.topology
    if V.mesh.comm.size > 1:
        raise ValueError(f"space tables are made on one rank, not on {V.mesh.comm.size}")
    topology.create_entity_permutations()
    order = np.argsort(topology.original_cell_index)
    element = V.element.basix_element
    return {
        "family": element.family.name,
        "degree": element.degree,
        "value_shape": np.array(V.value_shape, dtype=np.int64),
        "block_size": V.dofmap.bs,
        "map_type": element.map_type.name,
        "needs_transformations": bool(V.element.needs_dof_transformations),
        "dim": V.dofmap.index_map.size_global * V.dofmap.bs,
        "element": str(V.ufl_element()),
        "dofmap": np.array(V.dofmap.list, dtype=np.int32)[order],
        "cell_permutation_info": np.array(topology.get_cell_permutation_info(), np.uint32)[order],
        "grams": {"mass": _gram(V, ufl.inner), "stiffness": _gram(V, _derivative_product(V))},
    } | _dof_points(V)


def boundary_dofs(V: FunctionSpace) -> np.ndarray:
    """Return the local dofs (owned and ghost, blocks not expanded) on the boundary. Collective."""
    facet_dim = V.mesh.topology.dim - 1
    V.mesh.topology.create_connectivity(facet_dim, facet_dim + 1)
    facets = exterior_facet_indices(V.mesh.topology)
    return fem.locate_dofs_topological(V, facet_dim, facets)


def _gram(V: FunctionSpace, product: Any) -> sp.csr_matrix:
    u, v = ufl.TrialFunction(V), ufl.TestFunction(V)
    matrix = fem.assemble_matrix(compiled_form(product(u, v) * ufl.dx)).to_scipy()
    matrix.sort_indices()
    return matrix


def _derivative_product(V: FunctionSpace) -> Any:
    """The integrand of K: chosen by the element's map, not by its Sobolev space."""
    map_type = V.element.basix_element.map_type
    if map_type == basix.MapType.contravariantPiola:
        return lambda u, v: ufl.div(u) * ufl.div(v)
    if map_type == basix.MapType.covariantPiola:
        return lambda u, v: ufl.inner(ufl.curl(u), ufl.curl(v))
    return lambda u, v: ufl.inner(ufl.grad(u), ufl.grad(v))


def _dof_points(V: FunctionSpace) -> dict[str, np.ndarray]:
    """Coordinates of the dofs where they are point values; nothing elsewhere."""
    if not V.element.interpolation_ident:
        return {}
    return {"points": np.array(V.tabulate_dof_coordinates()[:, : V.mesh.geometry.dim])}
