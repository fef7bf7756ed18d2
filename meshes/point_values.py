"""Values of continuous linear functions at the dof points of another space."""

import dolfinx.fem.petsc as fem_petsc
import scipy.sparse as sp
from dolfinx.fem import FunctionSpace

__all__ = ["point_values"]


def point_values(P1: FunctionSpace, V: FunctionSpace) -> sp.csr_matrix:
    """Return E (nodes of V, dofs of P1) with (E g)_i = g(x_i) at the dof points of V. Serial.

    Args:
        P1: The continuous linear space on V's mesh.
        V: A scalar space whose dofs are point values.
    """
    matrix = fem_petsc.interpolation_matrix(P1, V)  # type: ignore[arg-type]
    matrix.assemble()
    indptr, indices, data = matrix.getValuesCSR()
    found = sp.csr_matrix((data, indices, indptr), shape=matrix.getSize())
    matrix.destroy()
    found.data[abs(found.data) < 1e-14] = 0.0
    found.eliminate_zeros()
    found.sort_indices()
    return found
