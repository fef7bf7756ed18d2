"""Domains, meshes, finite-element spaces and their tables, over DOLFINx.

Importing this package starts MPI. The order of the imports below is fixed: h5py and DOLFINx
bring an HDF5 library each, and h5py fails ("Not a datatype") when DOLFINx's was loaded first;
the wheel's own loader has to run before DOLFINx and petsc4py.
"""

# isort: off
import h5py  # noqa: F401
import dolfinx_solver  # noqa: F401

# isort: on
from meshes.boxes import (
    BackwardStep,
    Box,
    Interval,
    LShape,
    Rectangle,
    SlottedBlock,
    UnitSquare,
)
from meshes.calculus import UflCalculus
from meshes.canonical import CanonicalMap
from meshes.data import Data
from meshes.derivatives import derivative_matrix, derivatives_tree
from meshes.domains import Domain, mesh_tree, tagged_tree
from meshes.evaluation import evaluation_matrix, grid_tree
from meshes.gmsh_domains import Annulus, ChannelCylinder, Disk, PerforatedPlate
from meshes.grid import inside_mesh, regular_grid
from meshes.hierarchy import hierarchy
from meshes.interpolation import interpolation_table
from meshes.morph import hole_morph
from meshes.point_values import point_values
from meshes.problem import Problem
from meshes.prolongation import prolongation
from meshes.quality import MeshError, check_quality
from meshes.rebuild import mesh_from_tree
from meshes.spaces import SpaceName, make_space
from meshes.tables import space_tree
from meshes.tagged import TaggedMesh
from meshes.tags import cell_tags_from_tree, facet_tags_from_tree, tag_names
from meshes.user_mesh import UserMesh

__all__ = [
    "Annulus",
    "BackwardStep",
    "Box",
    "CanonicalMap",
    "ChannelCylinder",
    "Data",
    "Disk",
    "Domain",
    "Interval",
    "LShape",
    "MeshError",
    "PerforatedPlate",
    "Problem",
    "Rectangle",
    "SlottedBlock",
    "SpaceName",
    "TaggedMesh",
    "UflCalculus",
    "UnitSquare",
    "UserMesh",
    "cell_tags_from_tree",
    "check_quality",
    "derivative_matrix",
    "derivatives_tree",
    "evaluation_matrix",
    "facet_tags_from_tree",
    "grid_tree",
    "hierarchy",
    "hole_morph",
    "inside_mesh",
    "interpolation_table",
    "make_space",
    "mesh_from_tree",
    "mesh_tree",
    "point_values",
    "prolongation",
    "regular_grid",
    "space_tree",
    "tag_names",
    "tagged_tree",
]
