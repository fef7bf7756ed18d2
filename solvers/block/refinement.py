"""Iterative refinement on a block, and GCR where that doesn't contract."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from solvers.block.block import Block
from solvers.block.conjugate_gradients import Outcome
from solvers.block.library import LANES, aligned, call

__all__ = ["refine"]

Array = NDArray[np.float64]
Apply = Callable[[NDArray[np.float32]], None]
# Refinement goes on as long as a sweep takes the residual below this share.
CONTRACTION = 0.1
SWEEPS = 10
DIRECTIONS = 12


def refine(block: Block, apply: Apply) -> Outcome:
    """Bring ‖b − A x‖ of every lane to the block's targets: x += M⁻¹ (b − A x), in double.

    M⁻¹ is a factor in single precision. Where a sweep doesn't contract, GCR takes over (S. C.
    Eisenstat, H. C. Elman, M. H. Schultz, SIAM J. Numer. Anal. 20 (1983) 345): the residual can't
    grow. A lane that fails doesn't touch the others.
    """
    norms = block.refresh()
    iterations = np.zeros(LANES, dtype=np.int64)
    z = np.empty(0, np.float32)
    active, slow = norms > block.target, np.zeros(LANES, dtype=bool)
    with np.errstate(all="ignore"):
        for _ in range(SWEEPS):
            if not active.any():
                break
            z = aligned(block.residual.shape, np.float32) if not z.size else z
            z[:] = block.residual
            apply(z)
            z[:, ~np.isfinite(_squares(z))] = 0.0  # of a singular lane; 0 · NaN would spoil its x
            step = z.copy()
            block.correct(z, active)
            before, norms = norms, block.refresh()
            iterations += active
            worse = active & ~(norms < before)
            if worse.any():
                block.correct(step, np.where(worse, -1.0, 0.0))
                block.refresh()
                norms = np.where(worse, before, norms)
            slow |= active & ~(norms <= CONTRACTION * before) & (norms > block.target)
            active &= (norms > block.target) & ~slow
        if slow.any():
            return _gcr(block, apply, iterations, slow)
    return Outcome(norms, iterations, np.zeros(LANES, dtype=bool))


def _gcr(block: Block, apply: Apply, iterations: NDArray, active: NDArray) -> Outcome:
    """GCR with all directions kept, up to DIRECTIONS of them."""
    pattern, n = block.pattern, block.pattern.n
    block.refresh()
    r = aligned((n, LANES), np.float64)
    call("product_wide", n, pattern.ptr, pattern.idx, block.values, block.x, r)
    np.subtract(block.b, r, out=r)
    z32 = aligned((n, LANES), np.float32)
    directions: list[tuple[Array, Array]] = []
    norms = np.sqrt(_dot(n, r, r))
    for _ in range(DIRECTIONS):
        if not active.any():
            break
        call("narrow", n, r, z32)
        apply(z32)
        z32[:, ~np.isfinite(_squares(z32))] = 0.0
        z, q = aligned((n, LANES), np.float64), aligned((n, LANES), np.float64)
        call("widen", n, z32, z)
        call("product_wide", n, pattern.ptr, pattern.idx, block.values, z, q)
        iterations += active
        for z_old, q_old in directions:
            h = -_dot(n, q, q_old)
            _axpy(n, h, q_old, q)
            _axpy(n, h, z_old, z)
        length = np.sqrt(_dot(n, q, q))
        inverse = np.where(length > 0, 1.0 / length, 0.0)
        q *= inverse
        z *= inverse
        directions.append((z, q))
        alpha = np.where(active, _dot(n, r, q), 0.0)
        _axpy(n, alpha, z, block.x)
        _axpy(n, -alpha, q, r)
        before, norms = norms, np.sqrt(_dot(n, r, r))
        active &= (norms > 0.9 * block.target) & (norms <= 0.999 * before)
    return Outcome(block.refresh(), iterations, np.zeros(LANES, dtype=bool))


def _squares(z: NDArray[np.float32]) -> Array:
    found = np.empty(LANES)
    call("dot", len(z), z, z, found)
    return found


def _dot(n: int, a: Array, b: Array) -> Array:
    found = np.empty(LANES)
    call("dot_wide", n, a, b, found)
    return found


def _axpy(n: int, c: Array, a: Array, b: Array) -> None:
    lanes = aligned((LANES,), np.float64)
    lanes[:] = np.where(np.isfinite(c), c, 0.0)
    call("axpy_wide", n, lanes, a, b)
