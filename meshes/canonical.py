"""Canonical coefficients: one numbering for every number of ranks.

The canonical dofs of a space are those of the stored serial dof map. On stored cell K a
function is u|_K = Σ_i r_i ψ_i with the reference basis ψ; the coefficients c in some numbering
give r = Tᵀ c|_K, where T is the element's dof transformation for that numbering's
`cell_permutation_info`. Since DOLFINx keeps the vertex order in a cell, r does not depend on
the numbering, and

    c_canonical|_K = T_canonical⁻ᵀ T_localᵀ c_local|_K,    c_local|_K = T_local⁻ᵀ T_canonicalᵀ c_canonical|_K.

T is the identity for P_k (k ≤ 2; above that the dof map holds the permutation), ±1 for lowest
order RT and Nédélec, and not diagonal above (M. Scroggs et al., ACM TOMS 48 (2022) 18).
"""  # noqa: E501

from typing import Any

import numpy as np
import scipy.sparse as sp
from dolfinx.fem import FunctionSpace
from mpi4py import MPI
from numpy.typing import NDArray

__all__ = ["CanonicalMap"]

Array = NDArray[np.float64]


class CanonicalMap:
    """Maps coefficients between a space on a communicator and the canonical numbering.

    Attributes:
        size: Number of canonical dofs, blocks expanded.
    """

    def __init__(self, V: FunctionSpace, table: dict[str, Any]) -> None:
        """Prepare the two sparse maps. Collective.

        Args:
            V: The space on a mesh that `mesh_from_tree` built from the stored mesh; also a
                collapsed sub-space of a mixed one, with the table of the stand-alone space.
            table: The stored space: `dofmap` (nc, d), `cell_permutation_info` (nc), `dim`.

        Raises:
            ValueError: The table is of another space.
        """
        self._comm: MPI.Comm = V.mesh.comm
        self._block = V.dofmap.bs
        self._imap = V.dofmap.index_map
        self._owned_cells = V.mesh.topology.index_map(V.mesh.topology.dim).size_local
        self.size = int(table["dim"])
        dofmap, local = np.asarray(table["dofmap"]), np.asarray(V.dofmap.list)
        if dofmap.shape[1] != local.shape[1] or self.size != self._imap.size_global * self._block:
            raise ValueError(
                f"the stored space has {self.size} dofs, {dofmap.shape[1]} a cell; this one "
                f"{self._imap.size_global * self._block}, {local.shape[1]} a cell: use the "
                "spaces.h5 that the space was made from"
            )
        cells = np.asarray(V.mesh.topology.original_cell_index[: len(local)])
        forward, backward = _cell_maps(V, cells, np.asarray(table["cell_permutation_info"]))
        self._build_to_canonical(dofmap, cells, local, forward)
        self._build_from_canonical(dofmap, cells, local, backward)

    @property
    def matrix(self) -> sp.csr_matrix:
        """CSR (local nodes, canonical nodes): local coefficients from canonical ones."""
        return self._backward

    def _build_to_canonical(
        self, dofmap: NDArray, cells: NDArray, local: NDArray, forward: NDArray | None
    ) -> None:
        """Rows of the canonical dofs that are read off this rank's owned cells.

        Each canonical dof is read off the first stored cell that holds it, so that exactly one
        rank is responsible for it, without any communication.
        """
        owned = self._owned_cells
        _, first = np.unique(dofmap.ravel(), return_index=True)
        is_first = np.zeros(dofmap.size, dtype=bool)
        is_first[first] = True
        mask = is_first.reshape(dofmap.shape)[cells[:owned]]
        self._rows, self._forward = _select_rows(
            dofmap[cells[:owned]], local[:owned], mask, forward, self._local_size()
        )
        counts = self._comm.gather(len(self._rows), root=0)
        rows = self._comm.gather(self._rows, root=0)
        self._counts = None if counts is None else np.array(counts) * self._block
        self._all_rows = None if rows is None else np.concatenate(rows)

    def _build_from_canonical(
        self, dofmap: NDArray, cells: NDArray, local: NDArray, backward: NDArray | None
    ) -> None:
        """One row for each local dof, ghosts included, read off some local cell that holds it."""
        _, first = np.unique(local.ravel(), return_index=True)
        mask = np.zeros(local.size, dtype=bool)
        mask[first] = True
        rows, matrix = _select_rows(
            local, dofmap[cells], mask.reshape(local.shape), backward, self.size // self._block
        )
        self._backward = matrix[np.argsort(rows)]

    def _local_size(self) -> int:
        return self._imap.size_local + self._imap.num_ghosts

    def to_canonical(self, values: Array) -> Array | None:
        """Gather local coefficients into the canonical numbering. Collective.

        Args:
            values: Owned and ghost coefficients, ghosts up to date, shape
                ((owned + ghosts) · block size,).

        Returns:
            The canonical coefficients, shape (size,), on rank 0; None on the others.
        """
        part = (self._forward @ values.reshape(-1, self._block)).ravel()
        if self._comm.size == 1:
            out = np.empty((self.size // self._block, self._block))
            out[self._rows] = part.reshape(-1, self._block)
            return out.ravel()
        if self._comm.rank > 0:
            self._comm.Gatherv(part, None)
            return None
        everything = np.empty(self.size)
        self._comm.Gatherv(part, (everything, self._counts))  # type: ignore[arg-type]
        out = np.empty((self.size // self._block, self._block))
        out[self._all_rows] = everything.reshape(-1, self._block)
        return out.ravel()

    def from_canonical(self, values: Array) -> Array:
        """Return this rank's coefficients, ghosts included. Not collective.

        Args:
            values: The canonical coefficients, shape (size,), on every rank.
        """
        return (self._backward @ values.reshape(-1, self._block)).ravel()


def _cell_maps(
    V: FunctionSpace, cells: NDArray, stored_info: NDArray
) -> tuple[NDArray | None, NDArray | None]:
    """Per local cell T_canonical⁻ᵀ T_localᵀ and its inverse, (cells, d, d); None if identities."""
    if not V.element.needs_dof_transformations:
        return None, None
    topology = V.mesh.topology
    topology.create_entity_permutations()
    here = np.asarray(topology.get_cell_permutation_info(), dtype=np.uint32)[: len(cells)]
    there = np.ascontiguousarray(stored_info[cells], dtype=np.uint32)
    d = V.dofmap.list.shape[1]
    return _change(V, here, there, d), _change(V, there, here, d)


def _change(V: FunctionSpace, source: NDArray, target: NDArray, d: int) -> NDArray:
    """T_target⁻ᵀ T_sourceᵀ for each cell, by applying both to the identity."""
    maps = np.tile(np.eye(d), (len(source), 1, 1))
    flat = maps.reshape(-1)
    V.element.Tt_apply(flat, source, d)
    V.element.Tt_inv_apply(flat, target, d)
    return flat.reshape(maps.shape)


def _select_rows(
    row_dofs: NDArray, col_dofs: NDArray, mask: NDArray, maps: NDArray | None, ncols: int
) -> tuple[NDArray, sp.csr_matrix]:
    """The masked rows of the cell maps as (row dofs, CSR over column dofs)."""
    rows = row_dofs[mask]
    cell, i = np.nonzero(mask)
    if maps is None:
        cols, data, row = col_dofs[cell, i], np.ones(len(cell)), np.arange(len(cell))
    else:
        blocks = maps[cell, i]
        row, j = np.nonzero(np.abs(blocks) > 1e-14)
        cols, data = col_dofs[cell[row], j], blocks[row, j]
    return rows, sp.csr_matrix((data, (row, cols)), shape=(len(rows), ncols))
