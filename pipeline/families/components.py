"""Vectors whose components are quantities of their own: f_x, f_y, f_z."""

from typing import Any

__all__ = ["components"]


def components(q: Any, c: Any, symbol: str) -> Any:
    """Return the vector of the quantities symbol_x, symbol_y (and symbol_z in space)."""
    return q.vector([getattr(c, f"{symbol}_{axis}") for axis in "xyz"[: q.dim]])
