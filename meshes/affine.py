"""Assembly as sparse products, where a problem's system is affine in the data of a sample.

With p all coefficients and constants that differ by sample, the values of A in CSR, the columns of
constrained dofs beside the free rows, and the linear form are

    A = t_A + T_A p,    A_fD = t_D + T_D p,    L = t_L + T_L p,    b_free = L − A_fD g,

where the sparse T hold sums of element tensors: the affine decomposition of reduced-basis methods,
with one term for each coefficient. They are made once, from the compiled kernels.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
import ufl
from numpy.typing import NDArray
from petsc4py import PETSc

from meshes.affine_degree import is_affine
from meshes.affine_tensors import AffineTensors
from meshes.affine_values import AffineValues, Slots
from meshes.dirichlet import DirichletData
from meshes.element_tensors import ElementTensors, cell_dofs
from meshes.shared_matrix import SharedMatrix

__all__ = ["AffineSystem", "affine_system"]

Array = NDArray[np.float64]
_MOST_TIMES = 16
_MOST_ENTRIES = 2**26
_ROUNDING = 1e-13


class AffineSystem:
    """A and b of a linear problem on one rank, both affine in the data.

    Attributes:
        bytes: Memory of the sparse products.
    """

    def __init__(
        self,
        a: ufl.Form,
        L: ufl.Form,
        varying: list[Any],
        dirichlet: DirichletData,
        matrix: SharedMatrix,
    ) -> None:
        """Set the sparse products up for the present data. Serial.

        Args:
            a: The bilinear form.
            L: The linear form.
            varying: Functions and constants that differ by sample; both forms are affine in them.
            dirichlet: The constrained dofs, and their values of the present sample.
            matrix: A, to be written.

        Raises:
            ValueError: The forms are not sums over cells and their facets.
        """
        tensors = ElementTensors(a), ElementTensors(L)
        self._fixed = [
            (c, np.array(c.value))
            for c in {id(c): c for t in tensors for c in t.constants}.values()
            if not any(c is v for v in varying)
        ]
        self._dirichlet, n = dirichlet, len(dirichlet.free)
        dofs = cell_dofs(a.arguments()[0].ufl_function_space()).astype(np.int64)
        slots, rows = Slots.by_key(dofs.ravel())
        if len(rows) != n:
            raise ValueError("dofs without a cell")
        self._L = AffineValues(slots, AffineTensors(tensors[1], varying))
        apart, free = AffineTensors(tensors[0], varying), dirichlet.free[dofs]
        keys = (dofs[:, :, None] * n + dofs[:, None, :]).ravel()
        slots, found = Slots.by_key(keys, (free[:, :, None] & ~free[:, None, :]).ravel())
        self._beside = AffineValues(slots, apart)
        self._A_fD = sp.coo_array((self._beside.out, np.divmod(found, n)), shape=(n, n))
        self.bytes = self._beside.bytes + self._L.bytes
        self._A: AffineValues | None = None
        self._matrix = matrix
        if apart.parts:
            self._A = self._inside(apart, keys, (free[:, :, None] & free[:, None, :]).ravel())
            self.bytes += self._A.bytes

    def _inside(self, tensors: AffineTensors, keys: Any, wanted: Any) -> AffineValues:
        """The values of A: those between free dofs, and ones for the others."""
        slots, found = Slots.by_key(keys)
        free, matrix = self._dirichlet.free, self._matrix
        rows, columns = np.divmod(found, len(free))
        indptr = np.searchsorted(rows, np.arange(len(free) + 1))
        if not np.array_equal(indptr, matrix.indptr) or not np.array_equal(columns, matrix.indices):
            raise ValueError("a matrix with another pattern")
        ones = ((rows == columns) & ~free[rows]).astype(float)
        return AffineValues(slots.where(wanted), tensors, ones, matrix.values)

    def holds(self) -> bool:
        """Whether the constants that don't differ by sample are still the same. Not collective."""
        return all(np.array_equal(constant.value, value) for constant, value in self._fixed)

    def set_matrix(self) -> None:
        """Write A for the present data. Serial."""
        if self._A is None:
            return  # it doesn't depend on them
        self._A.evaluate()
        self._beside.evaluate()
        self._matrix.renew()

    def set_vector(self, b: PETSc.Vec) -> None:
        """Write b for the present data and the last `set_matrix`. Serial."""
        values = self._L.evaluate().copy()
        g = np.zeros(len(values))
        for bc in self._dirichlet.bcs:
            bc.set(g)
        if g.any():
            values -= self._A_fD @ g
        values[~self._dirichlet.free] = g[~self._dirichlet.free]
        b.array_w[:] = values

    def agrees(self, b: PETSc.Vec) -> bool:
        """Whether A and b, assembled by the forms for the present data, are the same to rounding.

        The values of the forms are left in A.
        """
        matrix, theirs = self._matrix, self._matrix.values.copy()
        self.set_matrix()
        rows = np.repeat(np.arange(len(matrix.indptr) - 1), np.diff(matrix.indptr))
        largest = np.zeros(len(matrix.indptr) - 1)
        np.maximum.at(largest, rows, np.abs(theirs))
        same = bool(np.all(np.abs(matrix.values - theirs) <= _ROUNDING * largest[rows]))
        right = b.duplicate()
        self.set_vector(right)
        difference = np.abs(b.array_r - right.array_r)
        same = same and bool(difference.max() <= _ROUNDING * np.abs(b.array_r).max())
        if self._A is not None:
            matrix.values[:] = theirs
            matrix.renew()
        return same


def affine_system(
    a: ufl.Form,
    L: ufl.Form,
    varying: list[Any],
    dirichlet: DirichletData,
    matrix: SharedMatrix,
    b: PETSc.Vec,
) -> AffineSystem | None:
    """Return the affine system if there is one, exact to rounding and of sensible size. Serial.

    Args:
        a: The bilinear form.
        L: The linear form.
        varying: Functions and constants that differ by sample.
        dirichlet: The Dirichlet data.
        matrix: A of the present data, assembled by the forms; the system will write it.
        b: The vector of the present data, assembled by the forms.
    """
    if not (is_affine(a, varying) and is_affine(L, varying)) or _entries(a) > _MOST_ENTRIES:
        return None
    try:
        system = AffineSystem(a, L, varying, dirichlet, matrix)
    except ValueError:
        return None
    allowed = _MOST_TIMES * (matrix.values.nbytes + matrix.indices.nbytes)
    return system if system.bytes <= allowed and system.agrees(b) else None


def _entries(a: ufl.Form) -> int:
    """Numbers in all the element tensors that the products are made of."""
    cells, n = cell_dofs(a.arguments()[0].ufl_function_space()).shape
    coefficients = sum(cell_dofs(f.function_space).shape[1] for f in a.coefficients())
    return int(cells * n * n * (1 + coefficients))
