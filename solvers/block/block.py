"""Systems of one pattern, side by side."""

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from solvers.block.library import LANES, aligned, call
from solvers.block.pattern import Pattern

__all__ = ["Block"]

Array = NDArray[np.float64]
_STRIDE = 509  # of the entries that are compared first


class Block:
    """Up to LANES systems A_s x_s = b_s over one pattern, their numbers interleaved.

    Constrained dofs are left out: their x is b, and b is lifted. Each lane's matrix and right-hand
    side are divided by powers of two that bring them near 1: that rounds nothing, and single
    precision can't overflow, whatever the units. What is said below of A, b and x is said of those.

    Attributes:
        pattern: The pattern.
        count: Lanes that hold a system; the others repeat the first.
        values: (entries of the pattern, LANES).
        b, x: (n, LANES) in the pattern's order.
        scale: (n, LANES), S of the scaled systems (S A S) (S⁻¹ x) = S b.
        residual: (n, LANES) S (b − A x) in single precision.
        target: (LANES,) what ‖b − A x‖ has to come down to.
        units: (2, LANES) what the matrices and the right-hand sides were divided by.
        uniform: Whether all lanes have one operator.
        changed: Whether an operator came in that a method hasn't seen; the method unsets it.
    """

    def __init__(self, pattern: Pattern) -> None:
        """Allocate. Serial."""
        self.pattern, self.count = pattern, 0
        self._values = aligned((LANES, pattern.entries + 1), np.float64)
        self._b, self._scratch = np.zeros((LANES, pattern.full)), np.empty(pattern.entries)
        self.values = aligned((len(pattern.idx), LANES), np.float64)
        self.b, self.x, self.scale = (aligned((pattern.n, LANES), np.float64) for _ in range(3))
        self.scale[:] = 1.0
        self.residual = aligned((pattern.n, LANES), np.float32)
        self.target, self.units = np.ones(LANES), np.ones((2, LANES))
        self.uniform = self._uniform_before = self.changed = False
        self._last, self._shared = 0, np.empty(0)
        self._constrained = np.flatnonzero(~pattern.free) if pattern.free is not None else None
        given = pattern.take[pattern.diagonal]
        self._diagonal = given[given < pattern.entries]

    def put(self, values: Array | None, b: Array, norm: float, rtol: float) -> None:
        """Take the next system.

        Args:
            values: CSR values of the full matrix; None if it is that of the last `put`.
            b: (full,) right-hand side.
            norm: ‖b‖ over the free dofs; 1 if that is zero.
            rtol: What ‖b − A x‖ over the free dofs has to come down to, relative to `norm`.
        """
        lane = self.count
        if values is None and not self.uniform:
            values = self.system(lane - 1 if lane else self._last)[0]
        if values is not None:
            if self.uniform and lane > 0:
                self._values[1:lane] = self._values[0]
            self.uniform = lane == 0
            unit = _power(self._size(values))
            np.divide(values, unit, out=self._scratch)
            row = self._values[lane, :-1]
            # time steps of the same samples come back to the same lanes
            same = unit == self.units[0, lane] and np.array_equal(
                row[::_STRIDE], self._scratch[::_STRIDE]
            )
            if not same or not np.array_equal(row, self._scratch):
                self.units[0, lane], row[:] = unit, self._scratch
                self.changed = True
        if self.uniform:
            self.units[0] = self.units[0, 0]
        self.units[1, lane] = _power(norm)
        np.divide(b, self.units[1, lane], out=self._b[lane])
        self.target[lane] = rtol * norm / self.units[1, lane]
        self.count, self._last = lane + 1, lane

    def _size(self, values: Array) -> float:
        """The largest diagonal entry; the largest of all where the diagonal is zero.

        Of free dofs: the others' identity rows have no unit.
        """
        size = float(np.abs(values[self._diagonal]).max(initial=0.0))
        if size == 0.0:
            given = self.pattern.take
            size = float(np.abs(values[given[given < values.size]]).max(initial=0.0))
        return size

    def system(self, lane: int) -> tuple[Array, Array]:
        """Return CSR values and right-hand side of one lane, in their own units."""
        of_matrix, of_b = self.units[:, lane]
        values = self._values[0 if self.uniform else lane, :-1]
        return values * of_matrix, self._b[lane] * of_b

    def clear(self) -> None:
        """Make room for the next systems."""
        self.count = 0

    def interleave(self) -> None:
        """Bring what was put into the lanes; x ← 0."""
        pattern, count = self.pattern, self.count
        self._b[count:], self.target[count:] = self._b[0], self.target[0]
        self.units[:, count:] = self.units[:, :1]
        self.changed |= self.uniform is not self._uniform_before
        self._uniform_before = self.uniform
        if self.uniform and self.changed:
            self._shared = self._values[0, pattern.take]
            self.values[:] = self._shared[:, None]
        elif self.changed:
            self._values[count:] = self._values[0]
            call("interleave", len(pattern.take), pattern.take, self._values.shape[1],
                 self._values, self.values)  # fmt: skip
        call("interleave", pattern.n, pattern.dofs, pattern.full, self._b, self.b)
        self.x[:] = 0.0

    def solutions(self) -> Array:
        """Return (LANES, full) solutions in their own units, b where constrained."""
        pattern, found = self.pattern, np.empty_like(self._b)
        if pattern.free is not None:
            fixed = self._constrained
            found[:, fixed] = self._b[:, fixed] * self.units[1][:, None]
        unit = self.units[1] / self.units[0]
        call("separate", pattern.n, pattern.dofs, pattern.full, self.x, unit, found)
        return found

    def round(self, dtype: DTypeLike) -> Array:
        """X ← x as it will be stored; return the (LANES,) norms of b − A x."""
        unit = self.units[1] / self.units[0]
        self.x[:] = (self.x * unit).astype(dtype) / unit
        return self.refresh()

    def refresh(self) -> Array:
        """Compute b − A x in double, S (b − A x) into `residual`; return the (LANES,) norms."""
        squares = np.empty(LANES)
        p = self.pattern
        name, values = ("residual", self.values)
        if self.uniform:
            name, values = "residual_shared", self._shared
        call(name, p.n, p.ptr, p.idx, values, self.b, self.x, self.scale,
             self.residual, squares)  # fmt: skip
        return np.sqrt(squares)

    def correct(self, y: Any, lanes: NDArray[Any] | float = 1.0) -> None:
        """X += c S y with c = `lanes` for each lane; y ← 0."""
        c = aligned((LANES,), np.float64)
        c[:] = lanes
        call("correct", self.pattern.n, c, self.scale, y, self.x)


def _power(size: float) -> float:
    """A power of two near a size; 1 for zero and what isn't finite."""
    return math.ldexp(1.0, min(max(math.frexp(size)[1], -1000), 1000))
