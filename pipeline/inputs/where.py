"""What an input law is told about the mesh, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

__all__ = ["InputSampler", "P1Tables", "Where"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class P1Tables:
    """The space of continuous piecewise linear functions on the mesh, m dofs.

    Attributes:
        mass: Mass matrix ∫ φ_i φ_j dx, SciPy CSR (m, m).
        stiffness: Stiffness matrix ∫ ∇φ_i·∇φ_j dx, SciPy CSR (m, m).
        to_points: CSR (n, m), the values of a P1 function at the wanted points; None where the
            wanted points are the P1 space's own, in its order.
    """

    mass: Any
    stiffness: Any
    to_points: Any


@dataclass(frozen=True)
class Where:
    """Where an input field is wanted.

    Attributes:
        points: Dof (or interpolation) points of the field's space, (n, gdim), in the
            coordinates of the mesh.
        lower: Lower corner of the mesh's bounding box, (gdim,).
        upper: Upper corner of it, (gdim,).
        p1: Makes the tables of the P1 space of the same mesh; called only by laws that need
            them. None where there are none.
    """

    points: Array
    lower: Array
    upper: Array
    p1: Callable[[], P1Tables] | None = None

    @property
    def gdim(self) -> int:
        """Dimension of the points."""
        return self.points.shape[1]

    def scaled(self) -> Array:
        """Return the points with the bounding box scaled to the unit box, (n, gdim)."""
        return np.asarray((self.points - self.lower) / (self.upper - self.lower))


class InputSampler(Protocol):
    """Draws one random input, sample by sample. Not collective; knows no DOLFINx.

    `draw` gives all that is random of a sample (the latent), `evaluate` makes the values from
    it. Both depend on their arguments alone: not on other samples, batches, ranks or N.
    """

    @property
    def uniforms(self) -> int:
        """How many coordinates of the design it takes; 0 for fields."""

    def draw(self, rng: Generator, uniforms: Array, index: int) -> Array:
        """Return the latent of one sample.

        Args:
            rng: The sample's own generator.
            uniforms: Coordinates in (0, 1) from the design, (self.uniforms,).
            index: The sample's number, for laws that read samples.
        """

    def evaluate(self, latent: Array) -> Array:
        """Return the values: (n,) at the points; scalars () or (size,)."""

    def features(self, latent: Array, count: int) -> Array:
        """Return at most `count` numbers whose Euclidean distances stand for L² distances."""
