"""The sparsity pattern of a block's systems: free dofs, ordering, symbolic factorisation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from petsc4py import PETSc

from solvers.block.library import call

__all__ = ["Pattern", "Supernodes"]

Ints = NDArray[np.int32]
# A child is merged into its parent if at most this share of the block is explicit zeros …
_ZEROS = 0.05
# … or if it has at most this many columns.
_NARROW = 3


@dataclass(frozen=True, eq=False)
class Supernodes:
    """The symbolic factorisation: dense fronts along the elimination tree.

    Attributes:
        start: (ns + 1,) columns of supernode s: start[s] … start[s + 1].
        rowptr: (ns + 1,) ranges of `rows`.
        rows: Rows of each front, its own columns first.
        parent: (ns,) supernode that takes the update; −1 for a root.
        entry: (ns + 1,) ranges of `source`, `mirror`, `target`.
        source: Position of entry (j, i), i ≥ j, in the CSR values.
        mirror: Position of entry (i, j).
        target: Its place i·m + j in the front.
        relative: Places of the rows of a front in that of its parent.
        lptr: (ns + 1,) ranges of the factor's values.
        front, panel, stack: Sizes of the workspaces.
    """

    start: Ints
    rowptr: NDArray[np.int64]
    rows: Ints
    parent: Ints
    entry: NDArray[np.int64]
    source: Ints
    mirror: Ints
    target: Ints
    relative: Ints
    lptr: NDArray[np.int64]
    front: int
    panel: int
    stack: int

    @property
    def operations(self) -> float:
        """Multiply-add pairs of a symmetric factorisation, about."""
        w, m = np.diff(self.start).astype(float), np.diff(self.rowptr).astype(float)
        return float((w * m * m - w * w * m + w**3 / 3).sum())


class Pattern:
    """A symmetric pattern in the order of nested dissection, constrained dofs left out.

    Attributes:
        n: Free dofs.
        free: Mask of them over all dofs; None: all are.
        full: All dofs.
        entries: Entries of the CSR matrix that it was made from.
        dofs: (n,) the dof of each row.
        ptr, idx: CSR pattern, symmetric, with all diagonal entries.
        take: Position of each entry in the given matrix's values; `entries` where it has none.
        diagonal: (n,) positions of the diagonal entries.
    """

    def __init__(
        self, indptr: Any, indices: Any, free: NDArray[np.bool_] | None, values: Any = None
    ) -> None:
        """Analyse the pattern of a square CSR matrix. Serial.

        Args:
            indptr: Row pointers.
            indices: Columns.
            free: Mask of the free dofs; None: all.
            values: Of one matrix. Where its diagonal is zero, as that of a saddle point problem,
                the dof comes after its first neighbour: then its pivot isn't zero any more (A. C.
                de Niet, F. W. Wubs, BIT Numer. Math. 49 (2009) 271).
        """
        self.full, self.entries = len(indptr) - 1, len(indices)
        self.free = None if free is None else free.copy()
        self._csr = (indptr.copy(), indices.copy())
        kept = np.arange(self.full) if free is None else np.flatnonzero(free)
        self.n = len(kept)
        # positions are numbered from 1, so that 0 is an entry that isn't there
        positions = np.arange(1.0, self.entries + 1)
        A = sp.csr_matrix((positions, indices, indptr), shape=(self.full, self.full))
        A = A[kept][:, kept].tocsr()
        union = A.astype(bool)
        union = (union + union.T + sp.identity(self.n, dtype=bool)).tocsr()
        order = _nested_dissection(union)
        if values is not None:
            diagonal = sp.csr_matrix((values, indices, indptr), shape=(self.full,) * 2).diagonal()
            order = _constraints_later(order, union, diagonal[kept])
        order = order[_postorder(union[order][:, order].tocsr())]
        self.dofs = kept[order].astype(np.int32)
        self._set(A[order][:, order].tocsr(), union[order][:, order].tocsr())
        self._supernodes: Supernodes | None = None

    def _set(self, A: Any, union: Any) -> None:
        big = float(2**40)
        both = (A + union.astype(float) * big).tocsr()
        both.sort_indices()
        position = np.mod(both.data, big).astype(np.int64)
        self.take = np.where(position > 0, position - 1, self.entries).astype(np.int32)
        self.ptr, self.idx = both.indptr.astype(np.int32), both.indices.astype(np.int32)
        rows = np.repeat(np.arange(self.n), np.diff(self.ptr))
        self.diagonal = np.flatnonzero(rows == self.idx).astype(np.int32)

    def csr(self) -> tuple[Any, Any]:
        """Return the CSR pattern that this was made from."""
        return self._csr

    def fits(self, indptr: Any, indices: Any, free: NDArray[np.bool_] | None) -> bool:
        """Whether a matrix has the pattern that this was made from."""
        if free is None or self.free is None:
            if free is not self.free:
                return False
        elif not np.array_equal(free, self.free):
            return False
        return all(map(np.array_equal, self._csr, (indptr, indices)))

    @property
    def supernodes(self) -> Supernodes:
        """The symbolic factorisation, made when first asked for."""
        if self._supernodes is None:
            self._supernodes = _symbolic(self.n, self.ptr, self.idx)
        return self._supernodes


def _nested_dissection(union: Any) -> NDArray[np.int64]:
    """PETSc's nested dissection; that of METIS gives as good factors and takes longer."""
    ones = np.ones(union.nnz)
    csr: Any = (union.indptr.astype(np.int32), union.indices.astype(np.int32), ones)
    A = PETSc.Mat().createAIJ(union.shape, csr=csr, comm=PETSc.COMM_SELF)
    rows, columns = A.getOrdering(PETSc.Mat.OrderingType.ND)  # type: ignore[arg-type]
    order = rows.getIndices().astype(np.int64)
    for made in (rows, columns, A):
        made.destroy()
    return order


def _constraints_later(order: Any, union: Any, diagonal: Any) -> Any:
    """Move each dof with a zero diagonal behind a neighbour of its own that has none.

    Of its own: two that followed one neighbour would get a singular 2 × 2 block from it.
    """
    size = np.abs(diagonal)
    regular = size > 1e-12 * size.max(initial=0.0)
    if regular.all() or not regular.any():
        return order
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order))
    taken = ~regular
    for i in order[~regular[order]]:
        neighbours = union.indices[union.indptr[i] : union.indptr[i + 1]]
        there = neighbours[~taken[neighbours]]
        if len(there):
            own = there[np.argmin(rank[there])]
            taken[own] = True
            rank[i] = max(rank[i], rank[own] + 0.5)
        else:
            rank[i] = max(rank[neighbours].max() + 0.5, rank[i])
    return np.argsort(rank, kind="stable")


def _postorder(union: Any) -> Ints:
    union.sort_indices()
    n, ptr, idx = union.shape[0], union.indptr.astype(np.int32), union.indices.astype(np.int32)
    parent, post = np.empty(n, np.int32), np.empty(n, np.int32)
    call("etree", n, ptr, idx, parent)
    call("postorder", n, parent, post)
    return post


def _symbolic(n: int, ptr: Ints, idx: Ints) -> Supernodes:
    """Supernodes of a postordered pattern."""
    parent, count, start = (np.empty(n + k, np.int32) for k in (0, 0, 1))
    call("etree", n, ptr, idx, parent)
    call("column_counts", n, ptr, idx, parent, count)
    ns = call("supernodes", n, parent, count, _ZEROS, _NARROW, start)
    start = start[: ns + 1].copy()
    rowptr, above = np.empty(ns + 1, np.int64), np.empty(ns, np.int32)
    call("structure", n, ns, ptr, idx, start, rowptr, None, above)
    rows = np.empty(rowptr[-1], np.int32)
    call("structure", n, ns, ptr, idx, start, rowptr, rows, above)
    entry, half = np.empty(ns + 1, np.int64), (len(idx) + n) // 2
    source, target = np.empty(half, np.int32), np.empty(half, np.int32)
    relative = np.zeros(len(rows), np.int32)
    call("places", n, ns, ptr, idx, start, rowptr, rows, above, entry, source, target, relative)
    m, w = np.diff(rowptr), np.diff(start).astype(np.int64)
    return Supernodes(
        start=start,
        rowptr=rowptr,
        rows=rows,
        parent=above,
        entry=entry,
        source=source,
        mirror=_transposed(n, ptr, idx)[source],
        target=target,
        relative=relative,
        lptr=np.concatenate([[0], np.cumsum(m * w)]),
        front=int((m * m).max(initial=0)),
        panel=int((m * w).max(initial=0)),
        stack=_stack_height(m - w, above),
    )


def _transposed(n: int, ptr: Ints, idx: Ints) -> Ints:
    """The position of (j, i) for each entry (i, j) of a symmetric pattern."""
    A = sp.csr_matrix((np.arange(len(idx)), idx, ptr), shape=(n, n)).T.tocsr()
    A.sort_indices()
    return A.data.astype(np.int32)


def _stack_height(r: NDArray[np.int64], parent: Ints) -> int:
    """The largest number of entries, Σ r², of updates that wait at once."""
    height = peak = 0
    waiting: list[int] = []
    for s, above in enumerate(parent.tolist()):
        while waiting and parent[waiting[-1]] == s:
            height -= int(r[waiting.pop()]) ** 2
        if above >= 0:
            height += int(r[s]) ** 2
            waiting.append(s)
            peak = max(peak, height)
    return peak
