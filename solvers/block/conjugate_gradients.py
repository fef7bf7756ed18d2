"""Conjugate gradients on a block: one preconditioner for all lanes, single precision inside."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.block.block import Block
from solvers.block.library import LANES, aligned, call

__all__ = ["ConjugateGradients", "Outcome"]

Floats = NDArray[np.float32]
# The residual is computed anew, in double, each time the recurrence has fallen by this.
RELIABLE = 3e-3
# … or after so many iterations without: a plateau that long is dearer than a direct solve …
PATIENCE = 250
# … and a lane that an update finds above this share of the one before is given up.
STALLED = 0.7
# A lane rests until then where its recurrence is so far below what it has to reach: it would run
# into the smallest numbers of single precision while it waits for others.
ENOUGH = 1e-3


@dataclass
class Outcome:
    """How a block ended.

    Attributes:
        norms: (LANES,) ‖b − A x‖ in double.
        iterations: (LANES,) products with A.
        indefinite: (LANES,) lanes where pᵀA p ≤ 0 was met.
    """

    norms: NDArray[np.float64]
    iterations: NDArray[np.int64]
    indefinite: NDArray[np.bool_]


class ConjugateGradients:
    """CG on the scaled systems of a block, each lane with its own coefficients.

    Vectors and matrices are in single precision; x and, whenever it has fallen by RELIABLE, the
    residual are in double, and the directions go on (reliable updates: M. A. Clark et al., Comput.
    Phys. Commun. 181 (2010) 1517). So what is reached is double's accuracy.
    """

    def __init__(self, n: int) -> None:
        """Allocate the work vectors. Serial."""
        self._z, self._p, self._q, self._y = (aligned((n, LANES), np.float32) for _ in range(4))
        self._coefficient = aligned((LANES,), np.float32)

    def solve(
        self, block: Block, values: Floats, apply: Callable[[Floats], None], max_it: int
    ) -> Outcome:
        """Bring ‖b − A x‖ of every lane to the block's targets, from its present x.

        Args:
            block: The systems; x is changed.
            values: (entries, LANES) values of S A S.
            apply: z ← M⁻¹ z for all lanes, M symmetric and positive definite.
            max_it: Iterations allowed.
        """
        n, r, y = block.pattern.n, block.residual, self._y
        norms = block.refresh()
        iterations = np.ones(LANES, dtype=np.int64)
        indefinite, resting, since = np.zeros(LANES, dtype=bool), np.zeros(LANES, dtype=bool), 0
        scaled = self._dot(n, r, r)
        active = (norms > block.target) & np.isfinite(norms) & (scaled > 0)
        ratio, rz_before = norms / np.sqrt(np.where(scaled > 0, scaled, 1.0)), np.zeros(LANES)
        y[:] = 0.0
        self._p[:] = 0.0
        with np.errstate(all="ignore"):
            for _ in range(max_it):
                if not active.any():
                    break
                self._z[:] = r
                apply(self._z)
                rz = self._dot(n, r, self._z)
                beta = np.where(rz_before > 0, rz / rz_before, 0.0)
                rz_before = rz
                call("turn", n, self._lanes(active, beta), self._z, self._p)
                pq = np.empty(LANES)
                p = block.pattern
                call("product", n, p.ptr, p.idx, values, self._p, self._q, pq)
                going = active & ~resting
                iterations += going
                indefinite |= going & ((pq <= 0) | (rz <= 0))
                active &= resting | (np.isfinite(pq) & np.isfinite(rz) & ~indefinite)
                alpha, rr = self._lanes(active & ~resting, rz / pq), np.empty(LANES)
                call("step", n, alpha, self._p, self._q, y, r, rr)
                estimate = ratio * np.sqrt(rr)
                wanted = np.maximum(0.9 * block.target, RELIABLE * norms)
                resting |= active & (estimate <= ENOUGH * wanted)
                since += 1
                if np.all((estimate <= wanted) | ~active) or since == PATIENCE:
                    before, since = norms, 0
                    rz_before[resting] = 0.0  # their directions have gone on without them
                    resting[:] = False
                    block.correct(y)
                    norms = block.refresh()
                    iterations += active
                    ratio = norms / np.sqrt(self._dot(n, r, r))
                    active &= (norms > block.target) & (norms <= STALLED * before)
            block.correct(y)
            norms = block.refresh()
        return Outcome(norms, iterations, indefinite)

    def _lanes(self, active: NDArray[np.bool_], values: NDArray[np.float64]) -> Floats:
        """Coefficients in single precision, zero where a lane rests."""
        self._coefficient[:] = np.where(active & np.isfinite(values), values, 0.0)
        return self._coefficient

    @staticmethod
    def _dot(n: int, a: Floats, b: Floats) -> NDArray[np.float64]:
        found = np.empty(LANES)
        call("dot", n, a, b, found)
        return found
