"""Systems of one pattern, side by side."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.block.library import LANES, aligned, call
from solvers.block.pattern import Pattern

__all__ = ["Block"]

Array = NDArray[np.float64]


class Block:
    """Up to LANES systems A_s x_s = b_s over one pattern, their numbers interleaved.

    Constrained dofs are left out: their x is b, and b is lifted.

    Attributes:
        pattern: The pattern.
        count: Lanes that hold a system; the others repeat the first.
        values: (entries of the pattern, LANES).
        b, x: (n, LANES) in the pattern's order.
        scale: (n, LANES), S of the scaled systems (S A S) (S⁻¹ x) = S b.
        residual: (n, LANES) S (b − A x) in single precision.
        target: (LANES,) what ‖b − A x‖ has to come down to.
        uniform: Whether all lanes have one operator.
        changed: Whether an operator came in that a method hasn't seen; the method unsets it.
    """

    def __init__(self, pattern: Pattern) -> None:
        """Allocate. Serial."""
        self.pattern, self.count = pattern, 0
        self._values = np.zeros((LANES, pattern.entries + 1))
        self._b = np.zeros((LANES, pattern.full))
        self.values = aligned((len(pattern.idx), LANES), np.float64)
        self.b, self.x, self.scale = (aligned((pattern.n, LANES), np.float64) for _ in range(3))
        self.scale[:] = 1.0
        self.residual = aligned((pattern.n, LANES), np.float32)
        self.target = np.ones(LANES)
        self.uniform = self.changed = False
        self._last = 0

    def put(self, values: Array | None, b: Array, target: float) -> None:
        """Take the next system.

        Args:
            values: CSR values of the full matrix; None if it is that of the last `put`.
            b: (full,) right-hand side.
            target: What ‖b − A x‖ over the free dofs has to come down to.
        """
        lane = self.count
        if values is None and not self.uniform:
            values = self._values[lane - 1 if lane else self._last, :-1]
        if values is not None:
            if self.uniform and lane > 0:
                self._values[1:lane] = self._values[0]
            self.uniform = lane == 0
            self._values[lane, :-1] = values
            self.changed = True
        self._b[lane] = b
        self.target[lane] = target
        self.count, self._last = lane + 1, lane

    def system(self, lane: int) -> tuple[Array, Array]:
        """Return CSR values and right-hand side of one lane."""
        return self._values[0 if self.uniform else lane, :-1], self._b[lane]

    def clear(self) -> None:
        """Make room for the next systems."""
        self.count = 0

    def interleave(self) -> None:
        """Bring what was put into the lanes; x ← 0."""
        pattern, count = self.pattern, self.count
        self._b[count:], self.target[count:] = self._b[0], self.target[0]
        if self.uniform and self.changed:
            self.values[:] = self._values[0, pattern.take][:, None]
        elif self.changed:
            self._values[count:] = self._values[0]
            call("interleave", len(pattern.take), pattern.take, self._values.shape[1],
                 self._values, self.values)  # fmt: skip
        call("interleave", pattern.n, pattern.dofs, pattern.full, self._b, self.b)
        self.x[:] = 0.0

    def solutions(self) -> Array:
        """Return (LANES, full) solutions, b where constrained."""
        found = self._b.copy()
        pattern = self.pattern
        call("separate", pattern.n, pattern.dofs, pattern.full, self.x, found)
        return found

    def refresh(self) -> Array:
        """Compute b − A x in double, S (b − A x) into `residual`; return the (LANES,) norms."""
        squares = np.empty(LANES)
        p = self.pattern
        call("residual", p.n, p.ptr, p.idx, self.values, self.b, self.x, self.scale,
             self.residual, squares)  # fmt: skip
        return np.sqrt(squares)

    def correct(self, y: Any, lanes: NDArray[np.bool_] | float = 1.0) -> None:
        """X += c S y with c = `lanes` for each lane; y ← 0."""
        c = aligned((LANES,), np.float64)
        c[:] = lanes
        call("correct", self.pattern.n, c, self.scale, y, self.x)
