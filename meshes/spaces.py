"""Finite-element spaces by their UFL names."""

from dataclasses import dataclass

import basix.ufl
from dolfinx.fem import FunctionSpace, functionspace
from dolfinx.mesh import Mesh

__all__ = ["SpaceName", "make_space"]


@dataclass(frozen=True)
class SpaceName:
    """What names a space on a given mesh: UFL family, degree, and shape of a blocked space."""

    family: str
    degree: int
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Return the key of the space in `spaces.h5`, for example "P2", "RT1" or "P2x2"."""
        return f"{self.family}{self.degree}" + "".join(f"x{n}" for n in self.shape)


def make_space(mesh: Mesh, name: SpaceName) -> FunctionSpace:
    """Return the space on a mesh. Collective.

    Raises:
        ValueError: Basix has no such element on the mesh's cells.
    """
    cell = mesh.topology.cell_type.name
    try:
        element = basix.ufl.element(name.family, cell, name.degree, shape=name.shape or None)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(
            f"space {name}: Basix has no element {name.family!r} of degree {name.degree} on "
            f"{cell} cells ({error}); choose a family and degree that exist there"
        ) from error
    return functionspace(mesh, element)
