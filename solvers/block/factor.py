"""Sparse factors: of all systems of a block at once, or of one matrix that they share."""

import numpy as np
from numpy.typing import NDArray

from solvers.block.library import LANES, aligned, call
from solvers.block.pattern import Pattern

__all__ = ["Factor"]

Floats = NDArray[np.float32]


class Factor:
    """A = L D Lᵀ or L D U by the multifrontal method, without pivoting, in single precision.

    A factor of a block has one matrix a lane; a shared one has one matrix for all lanes. Zero
    pivots give NaN or Inf in their lane alone.

    Attributes:
        symmetric: Whether the matrices are taken for symmetric.
    """

    def __init__(self, pattern: Pattern, shared: bool, symmetric: bool = True) -> None:
        """Allocate. Serial."""
        self.pattern, self.symmetric = pattern, symmetric
        self._name = "shared" if shared else "own"
        nodes = pattern.supernodes
        lanes = () if shared else (LANES,)
        self._L = aligned((int(nodes.lptr[-1]), *lanes), np.float32)
        self._U = self._L if symmetric else aligned(self._L.shape, np.float32)
        self._d = aligned((pattern.n, *lanes), np.float32)
        sizes = (nodes.front, nodes.panel, nodes.stack)
        self._work = [aligned((size, *lanes), np.float32) for size in sizes]

    def compute(self, values: Floats) -> None:
        """Factorise.

        Args:
            values: (entries, LANES) of the pattern's entries, or (entries,) if shared.
        """
        s = self.pattern.supernodes
        call(
            f"factorise_{self._name}",
            int(self.symmetric),
            len(s.parent),
            *(s.start, s.rowptr, s.parent, s.entry, s.source, s.mirror, s.target, s.relative),
            *(values, s.lptr, self._L, self._U, self._d, *self._work),
        )

    def solve(self, x: Floats) -> None:
        """X ← A⁻¹ x for all lanes, in place; x is (n, LANES)."""
        s = self.pattern.supernodes
        call(
            f"solve_{self._name}",
            len(s.parent),
            *(s.start, s.rowptr, s.rows, s.lptr, self._L, self._U, self._d, x),
        )
