"""Krylov recycling and solve strategies over petsc4py. Knows matrices, not PDEs.

Importing this package starts MPI and PETSc. Of Rekrylov it imports nothing.
"""

# The order matters and this is the one place of it: h5py has to load its HDF5 before DOLFINx
# does ("Not a datatype" otherwise), and dolfinx_solver puts the libraries of its wheel in place
# before petsc4py and mpi4py look for them.
import h5py  # noqa: F401  # isort: skip
import dolfinx_solver  # noqa: F401  # isort: skip
import petsc4py  # noqa: F401  # isort: skip

from solvers.deflated_cg import DeflatedCG
from solvers.gcrodr import GCRODR
from solvers.residual import true_residual
from solvers.strategy import Strategy
from solvers.stream import solve_stream
from solvers.system import Reason, Solution, System

__all__ = [
    "GCRODR",
    "DeflatedCG",
    "Reason",
    "Solution",
    "Strategy",
    "System",
    "solve_stream",
    "true_residual",
]
