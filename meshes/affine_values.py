"""Sums of element tensors that are affine in data p, as one sparse product: t₀ + T φ(p)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from dolfinx.fem import Function
from numpy.typing import NDArray
from petsc4py import PETSc

from meshes.affine_tensors import AffineTensors, Part, values_of
from meshes.element_tensors import cell_dofs

__all__ = ["AffineValues", "Slots"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Slots:
    """Which entries of the element tensors are summed into which value.

    Attributes:
        entries: (entries,) positions in the tensors, flat, in the order of their slots.
        indptr: (slots + 1,) where the entries of a slot begin.
    """

    entries: NDArray[np.int64]
    indptr: NDArray[np.int64]

    @classmethod
    def by_key(
        cls, keys: NDArray[np.int64], wanted: NDArray[np.bool_] | None = None
    ) -> tuple["Slots", NDArray[np.int64]]:
        """Return slots of the entries with equal keys, in the order of the keys, and those.

        Args:
            keys: One ≥ 0 for each entry of the tensors, flat.
            wanted: Mask of the entries to take; all by default.
        """
        chosen = None if wanted is None else np.flatnonzero(wanted)
        taken = keys if chosen is None else keys[chosen]
        entries = np.argsort(taken, kind="stable")  # cell by cell, as the forms are summed
        arranged = taken[entries]
        first = np.flatnonzero(np.diff(arranged, prepend=-1))
        entries = entries if chosen is None else chosen[entries]
        return cls(entries, np.append(first, len(taken))), arranged[first]

    def where(self, wanted: NDArray[np.bool_]) -> "Slots":
        """Return the same slots with the wanted entries only.

        Args:
            wanted: Mask of the entries of the tensors, flat.
        """
        kept = wanted[self.entries]
        before = np.append(0, np.cumsum(kept))
        return Slots(self.entries[kept], before[self.indptr])

    def sums(self, tensors: Array) -> Array:
        """Return the sum of each slot's entries."""
        slot = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        weights = tensors.ravel()[self.entries]
        return np.bincount(slot, weights=weights, minlength=len(self.indptr) - 1)


class AffineValues:
    """The values t₀ + T φ of slots; φ are coefficients, or one weighted sum of them a cell.

    Attributes:
        out: (slots,) the values of the last evaluation; overwritten by the next.
        bytes: Memory of the sparse matrices and vectors.
    """

    def __init__(
        self,
        slots: Slots,
        tensors: AffineTensors,
        more: Array | float = 0.0,
        out: Array | None = None,
    ) -> None:
        """Make the sparse matrices. Not collective.

        Args:
            slots: Where the entries of the tensors go.
            tensors: The tensors.
            more: (slots,) or a number, added to t₀.
            out: (slots,) where values are to be written; by default an array of its own.
        """
        self._base = slots.sums(tensors.constant) + more
        self.out = self._base.copy() if out is None else out
        self.bytes = self._base.nbytes + (self.out.nbytes if out is None else 0)
        self._T: PETSc.Mat | None = None
        if not tensors.parts:
            return
        blocks = [(part.terminal, *_block(slots, part)) for part in tensors.parts]
        self._sources = [(terminal, block.shape[1], sums) for terminal, block, sums in blocks]
        T = blocks[0][1] if len(blocks) == 1 else sp.hstack([T for _, T, _ in blocks], format="csr")
        integers = (a.astype(np.int32, copy=False) for a in (T.indptr, T.indices))
        self._arrays: Any = (*integers, T.data)
        self._phi = np.zeros(T.shape[1])
        self._T = PETSc.Mat().createAIJWithArrays(T.shape, self._arrays, comm=PETSc.COMM_SELF)
        arrays: list[Any] = [self._phi, self._base, self.out]
        self._vectors = [PETSc.Vec().createWithArray(a, comm=PETSc.COMM_SELF) for a in arrays]
        sums = [(s.indptr, s.indices, s.data) for _, _, s in blocks if s is not None]
        self.bytes += sum(array.nbytes for csr in (self._arrays, *sums) for array in csr)

    def evaluate(self) -> Array:
        """Return `out` for the present data. Not collective."""
        if self._T is None:
            return self.out
        start = 0
        for terminal, size, sums in self._sources:
            values = values_of(terminal)
            self._phi[start : start + size] = values if sums is None else sums @ values
            start += size
        phi, base, out = self._vectors
        self._T.multAdd(phi, base, out)
        return self.out


def _block(slots: Slots, part: Part) -> tuple[Any, Any]:
    """The columns of T that belong to a function or constant, and the sums that they act on."""
    if not isinstance(part.terminal, Function):
        return sp.csr_array(np.stack([slots.sums(E) for E in part.tensors], axis=1)), None
    dofs, rows = cell_dofs(part.terminal.function_space), len(slots.indptr) - 1
    cells, K = dofs.shape
    cell = (slots.entries // (part.tensors[0].size // cells)).astype(np.int32)
    data = part.tensors.reshape(len(part.tensors), -1)[:, slots.entries].T.ravel()
    size = len(part.terminal.x.array)
    indptr = (slots.indptr * len(part.tensors)).astype(np.int32)  # SciPy will work in place on it
    if part.weights is None:
        T = sp.csr_array((data, dofs[cell].ravel(), indptr), shape=(rows, size))
        T.sum_duplicates()
        T.eliminate_zeros()
        return T, None
    used = np.zeros(cells, dtype=bool)
    used[cell] = True
    column, dofs = (np.cumsum(used) - 1).astype(np.int32)[cell], dofs[used]
    T = sp.csr_array((data, column, indptr), shape=(rows, len(dofs)))
    T.eliminate_zeros()
    indptr = np.arange(len(dofs) + 1, dtype=np.int32) * K
    sums = (np.tile(part.weights, len(dofs)), dofs.ravel(), indptr)
    return T, sp.csr_array(sums, shape=(len(dofs), size))
