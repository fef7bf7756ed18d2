"""Expressions in the coordinates, given in another algebra."""

from collections.abc import Callable
from typing import Any

import ufl
from dolfinx import fem
from dolfinx.mesh import Mesh

__all__ = ["Pointwise", "expression_on"]

Pointwise = Callable[[Any, Any], Any]
"""f(coordinates, functions): an expression in another algebra, NumPy's or UFL's."""


def expression_on(mesh: Mesh, value: Pointwise) -> Any:
    """Return f on a mesh for use in a form: a constant, or a UFL expression in x."""
    f = value(ufl.SpatialCoordinate(mesh), ufl)
    return fem.Constant(mesh, float(f)) if isinstance(f, int | float) else f
