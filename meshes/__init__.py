"""Domains, meshes, finite-element spaces and their tables, over DOLFINx.

Importing this package starts MPI. The order of the imports below is fixed: h5py and DOLFINx
bring an HDF5 library each, and h5py fails ("Not a datatype") when DOLFINx's was loaded first;
the wheel's own loader has to run before DOLFINx and petsc4py.
"""

# isort: off
import h5py  # noqa: F401
import dolfinx_solver  # noqa: F401

# isort: on
from meshes.assembly import LinearProblem, expression_on
from meshes.canonical import CanonicalMap
from meshes.domains import Domain, UnitSquare, mesh_tree
from meshes.evaluation import evaluation_matrix, grid_tree
from meshes.rebuild import mesh_from_tree
from meshes.spaces import SpaceName, make_space
from meshes.tables import boundary_dofs, space_tree

__all__ = [
    "CanonicalMap",
    "Domain",
    "LinearProblem",
    "SpaceName",
    "UnitSquare",
    "boundary_dofs",
    "evaluation_matrix",
    "expression_on",
    "grid_tree",
    "make_space",
    "mesh_from_tree",
    "mesh_tree",
    "space_tree",
]
