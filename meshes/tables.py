"""Space tables: what a data set carries so that training needs no DOLFINx."""

from typing import Any

import basix
import numpy as np
import scipy.sparse as sp
import ufl
from dolfinx import fem
from dolfinx.fem import FunctionSpace

from meshes.forms import compiled_form
from meshes.interpolation import interpolation_table
from meshes.mappings import local_cells, require_serial

__all__ = ["space_tree"]


def space_tree(V: FunctionSpace) -> dict[str, Any]:
    """Return the `spaces/<space>` tree of a serial space (docs/format.md). Serial meshes only.

    The mesh has to be built by `mesh_from_tree`; all cell tables are in the order of the
    stored cells. The Gram matrices are M_ij = ∫ φ_i·φ_j and K_ij = ∫ D φ_i·D φ_j with D the
    gradient (cell by cell where the space is broken: DG, CR), or the divergence or curl where
    the element's map is Piola, so that ‖u‖²_L2 = cᵀMc and ‖u‖²_H1 (H(div), H(curl)) =
    cᵀ(M + K)c. Which dofs are neighbours is the sparsity of M, zeros included.

    Coefficients of a function f are c = f(points), node by node, where dofs are point values;
    elsewhere c = I f(points) with the tables of `interpolation`.

    Raises:
        ValueError: The mesh is distributed.
    """
    require_serial(V)
    topology = V.mesh.topology
    topology.create_entity_permutations()
    order = local_cells(V.mesh)
    return (
        _element_description(V)
        | {
            "value_shape": np.array(V.value_shape, dtype=np.int64),
            "block_size": V.dofmap.bs,
            "needs_transformations": bool(V.element.needs_dof_transformations),
            "dim": V.dofmap.index_map.size_global * V.dofmap.bs,
            "element": str(V.ufl_element()),
            "dofmap": np.array(V.dofmap.list, dtype=np.int32)[order],
            "cell_permutation_info": np.array(topology.get_cell_permutation_info(), np.uint32)[
                order
            ],
            "grams": {"mass": _gram(V, ufl.inner), "stiffness": _gram(V, _derivative_product(V))},
        }
        | _functionals(V)
    )


def _element_description(V: FunctionSpace) -> dict[str, Any]:
    """What Basix needs to make the element again (`storage/elements.py`).

    An enriched element is to Basix a "custom" one; MINI is the only one that `make_space` makes.
    """
    element = V.element.basix_element
    is_mini = element.family.name == "custom"
    return {
        "family": "MINI" if is_mini else element.family.name,
        "degree": 1 if is_mini else element.degree,
        "cell_type": element.cell_type.name,
        "lagrange_variant": element.lagrange_variant.name,
        "dpc_variant": element.dpc_variant.name,
        "discontinuous": bool(element.discontinuous),
        "map_type": element.map_type.name,
    }


def _gram(V: FunctionSpace, product: Any) -> sp.csr_matrix:
    u, v = ufl.TrialFunction(V), ufl.TestFunction(V)
    matrix = fem.assemble_matrix(compiled_form(product(u, v) * ufl.dx)).to_scipy()
    matrix = sp.csr_matrix(matrix)
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


def _functionals(V: FunctionSpace) -> dict[str, Any]:
    """The points of dofs that are point values; points and matrix of other dofs."""
    if V.element.interpolation_ident:
        return {"points": np.array(V.tabulate_dof_coordinates()[:, : V.mesh.geometry.dim])}
    points, matrix = interpolation_table(V)
    return {"interpolation": {"points": points, "matrix": matrix}}
