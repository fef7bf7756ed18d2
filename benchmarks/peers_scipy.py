"""SciPy's peers: SuperLU, and GCROT(m, k), which recycles a space from system to system."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from benchmarks.peers_methods import Peer
from solvers import System

__all__ = ["Gcrotmk", "SuperLU"]

Array = NDArray[np.float64]
OUTER = 300


class ScipyPeer(Peer):
    """Holds the matrix as SciPy's, which is not timed: its users have it so."""

    def __init__(self, name: str) -> None:
        """Hold nothing yet."""
        super().__init__(name)
        self._source: tuple[Any, int] | None = None
        self.A: Any = None
        self.new = True

    def prepare(self, system: System) -> None:
        """Convert a matrix that is new; the same one again is left alone."""
        source = (system.A, system.A.stateGet())
        if source == self._source:
            return
        indptr, indices, values = system.A.getValuesCSR()
        self.A = sp.csr_matrix((values, indices, indptr), shape=system.A.getSize())
        self._source, self.new = source, True


class SuperLU(ScipyPeer):
    """`splu`; a symmetric matrix is ordered and pivoted as SuperLU's guide says for such ones."""

    def __init__(self, name: str, symmetric: bool) -> None:
        """Take what is known of the matrices."""
        super().__init__(name)
        self._symmetric, self._lu = symmetric, None

    def factorise(self) -> Any:
        """The factors; those of the last system if its matrix is this one."""
        if self.new:
            if self._symmetric:
                # its transpose is itself: CSR read as CSC
                parts = (self.A.data, self.A.indices, self.A.indptr)
                A = sp.csc_matrix(parts, shape=self.A.shape)
                self._lu = spla.splu(
                    A,
                    permc_spec="MMD_AT_PLUS_A",
                    diag_pivot_thresh=0.01,
                    options={"SymmetricMode": True},
                )
            else:
                self._lu = spla.splu(self.A.tocsc())
            self.new = False
        return self._lu

    def attempt(self, system: System, rtol: float, scale: float, x: Array) -> tuple[Array, bool]:
        """Factorise and solve."""
        return self.factorise().solve(system.b.getArray(readonly=True)), True


class Gcrotmk(ScipyPeer):
    """`gcrotmk` with the space of the solves before, and ILU or the diagonal in front."""

    def __init__(self, name: str, pc: str) -> None:
        """Take "ilu" (SuperLU's, thresholded) or "jacobi"."""
        super().__init__(name)
        self._pc, self._M = pc, None
        self._CU: list[Any] = []

    def attempt(self, system: System, rtol: float, scale: float, x: Array) -> tuple[Array, bool]:
        """Set up and solve; C = A U is computed anew where the matrix is."""
        if self.new:
            self._M = self._preconditioner()
            self._CU[:] = [(None, u) for _, u in self._CU]
            self.new = False
        b: Any = system.b.getArray(readonly=True)
        found, info = spla.gcrotmk(
            self.A,
            b,
            x0=x,
            rtol=0.0,
            atol=rtol * scale,
            maxiter=OUTER,
            M=self._M,
            CU=self._CU,
            discard_C=False,
        )
        return found, info == 0

    def _preconditioner(self) -> Any:
        if self._pc == "jacobi":
            d = self.A.diagonal()
            scale = 1.0 / np.where(d == 0.0, 1.0, d)
            return spla.LinearOperator(self.A.shape, matvec=lambda v: scale * v.ravel())
        ilu = spla.spilu(self.A.tocsc(), drop_tol=1e-3, fill_factor=5)
        return spla.LinearOperator(self.A.shape, matvec=ilu.solve)
