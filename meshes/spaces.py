"""Finite-element spaces by their UFL names."""

from dataclasses import dataclass
from typing import Any

import basix.ufl
from dolfinx.fem import FunctionSpace, functionspace
from dolfinx.mesh import Mesh

__all__ = ["BUBBLE_DEGREE", "SpaceName", "make_space"]

BUBBLE_DEGREE = {
    "interval": 2,
    "triangle": 3,
    "tetrahedron": 4,
    "quadrilateral": 2,
    "hexahedron": 2,
}
"""Lowest degree of a bubble on each cell type; that bubble is one function."""

_FAMILIES = {
    "interval": ("P", "DG", "MINI"),
    "triangle": ("P", "DG", "RT", "BDM", "N1curl", "N2curl", "CR", "MINI"),
    "quadrilateral": ("Q", "P", "DG", "DPC", "RT", "BDM", "N1curl", "N2curl", "MINI"),
}
_FAMILIES |= {"tetrahedron": _FAMILIES["triangle"], "hexahedron": _FAMILIES["quadrilateral"]}


@dataclass(frozen=True)
class SpaceName:
    """What names a space on a given mesh.

    Taylor–Hood is no name: it is the pair P2 with a vector shape, and P1. A mixed problem is
    stored sub-field by sub-field, each in a space of its own.

    Attributes:
        family: UFL family. "Q" is Lagrange on quadrilaterals and hexahedra; "MINI" is P1 (or
            Q1) with one bubble a cell.
        degree: Degree as UFL counts it: RT and N1curl begin with 1. MINI is 1.
        shape: Shape of a blocked space, for example (2,) for a vector P2; () for none.
    """

    family: str
    degree: int
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Return the key of the space in `spaces.h5`, for example "P2", "RT1" or "P2x2"."""
        return f"{self.family}{self.degree}" + "".join(f"x{n}" for n in self.shape)


def make_space(mesh: Mesh, name: SpaceName) -> FunctionSpace:
    """Return the space on a mesh. Collective.

    Raises:
        ValueError: There is no such element on the mesh's cells.
    """
    cell = mesh.topology.cell_type.name
    try:
        element = _element(name, cell)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(
            f"space {name}: Basix has no element {name.family!r} of degree {name.degree} and "
            f"shape {name.shape} on {cell} cells ({error}); choose among {_choice(cell)}"
        ) from error
    return functionspace(mesh, element)


def _element(name: SpaceName, cell: str) -> Any:
    if name.family not in _FAMILIES[cell]:
        raise ValueError("no such family there")
    if name.family == "MINI":
        return _mini(name, cell)
    family = "P" if name.family == "Q" else name.family
    if name.shape and basix.ufl.element(family, cell, name.degree).reference_value_shape:
        raise ValueError("its values are vectors already")
    return basix.ufl.element(family, cell, name.degree, shape=name.shape or None)


def _mini(name: SpaceName, cell: str) -> Any:
    """P1 ⊕ bubble (D. Arnold, F. Brezzi, M. Fortin, Calcolo 21 (1984) 337)."""
    if name.degree != 1:
        raise ValueError("MINI is P1 with a bubble, its degree is 1")
    linear = basix.ufl.element("P", cell, 1)
    bubble = basix.ufl.element("bubble", cell, BUBBLE_DEGREE[cell])
    element = basix.ufl.enriched_element([linear, bubble])
    return basix.ufl.blocked_element(element, shape=name.shape) if name.shape else element


def _choice(cell: str) -> str:
    degrees = {"DG": "≥ 0", "DPC": "≥ 0", "CR": "1", "MINI": "1"}
    listed = ", ".join(f"{name} ({degrees.get(name, '≥ 1')})" for name in _FAMILIES[cell])
    return f"{listed}; a shape is for families with scalar values"
