"""Random Chebyshev series: along an axis, over a box, or on a box's sides."""

from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from pipeline.inputs.blas import one_thread
from pipeline.inputs.series import TensorSeries
from pipeline.inputs.where import InputSampler, Where
from pipeline.models import SpaceSpec, SpecModel
from pipeline.spec_errors import SpecError

__all__ = ["Chebyshev", "ChebyshevEdges", "ChebyshevSeries"]

Array = NDArray[np.float64]

_MOST_COEFFICIENTS = 10_000
_ON_SIDE = 1e-9
"""How far from a side a point may lie, in lengths of the box, and still be on it."""


class Chebyshev(SpecModel):
    """mean + amplitude · Σ_k c_k T_k, the coefficients c_k independent and uniform on (−1, 1).

    Coordinates run over [−1, 1] as the mesh's bounding box is crossed. `over` says what the
    series depends on: one coordinate (Σ_k c_k T_k(x)); all of them, `box`
    (Σ c_{jk} T_j(x) T_k(y)); or, on `edges`, a series of its own for each of the four sides of a
    plane box, in the order left, right, bottom, top, along x or y, and 0 inside: boundary data.
    At a corner the value is the mean of the two sides'. Each series has variance
    amplitude² / 3 · Σ T_k². Degree 5 with `edges` and `box` is SKR's Poisson set (Wang et al.,
    ICLR 2024).
    """

    law: Literal["chebyshev"] = Field(description="A random Chebyshev series.")
    over: Literal["x", "y", "z", "box", "edges"] = Field(
        "box", description="The coordinate, box or sides that the series runs over."
    )
    degree: Annotated[int, Field(ge=0, le=64)] = Field(
        5, description="Degree of each one-dimensional series."
    )
    mean: float = Field(0.0, description="Added to the series, in units of the field.")
    amplitude: float = Field(1.0, gt=0, description="Factor of the series, in units of the field.")
    space: SpaceSpec = Field(SpaceSpec(family="P", degree=1), description="Space of the field.")

    REVISION: ClassVar[int] = 1

    def at(self, where: Where) -> InputSampler:
        """Return the sampler.

        Raises:
            SpecError: The mesh lacks the coordinate or is not in the plane (`edges`), or there
                are more than 10,000 coefficients.
        """
        d, over = where.gdim, self.over
        if over in ("x", "y", "z") and "xyz".index(over) >= d:
            raise SpecError(
                [f"over: got {over!r} on a mesh in {d}-D; it has {', '.join('xyz'[:d])}"]
            )
        if over == "edges":
            if d != 2:
                raise SpecError([f"over: got edges on a mesh in {d}-D; edges are for 2-D"])
            return ChebyshevEdges(self, where)
        if (self.degree + 1) ** (d if over == "box" else 1) > _MOST_COEFFICIENTS:
            raise SpecError(
                [f"degree: got {self.degree}; at most {_MOST_COEFFICIENTS} coefficients in {d}-D"]
            )
        points = _to_reference(where)
        return ChebyshevSeries(self, points if over == "box" else points[:, ["xyz".index(over)]])


class ChebyshevSeries:
    """A tensor-product series in d coordinates; the latent is c, ((degree + 1)^d,)."""

    uniforms = 0

    def __init__(self, spec: Chebyshev, points: Array) -> None:
        """Tabulate the polynomials at points in [−1, 1]^d, (n, d)."""
        self._spec, self._shape = spec, (spec.degree + 1,) * points.shape[1]
        self._series = TensorSeries(points, partial(chebvander, deg=spec.degree))
        self._root, variances = _principal(spec.degree)
        product = variances
        for _ in self._shape[1:]:
            product = np.multiply.outer(product, variances)
        self._leading = np.argsort(-product.ravel(), kind="stable")

    def draw(self, rng: Generator, uniforms: Array, index: int) -> Array:
        """Return the coefficients c of one sample."""
        return rng.uniform(-1.0, 1.0, int(np.prod(self._shape)))

    def evaluate(self, latent: Array) -> Array:
        """Return the series at the points, (n,)."""
        values = self._series(latent.reshape(self._shape))
        return self._spec.mean + self._spec.amplitude * values

    def features(self, latent: Array, count: int) -> Array:
        """Return the series' coefficients in L²-orthonormal polynomials, largest variance first.

        With all of them the distance is the L² distance on the box scaled to measure 1.
        """
        c = latent.reshape(self._shape)
        with one_thread():
            for _ in self._shape:  # each turn transforms the first axis and moves it to the end
                c = np.moveaxis(np.tensordot(self._root, c, 1), 0, -1)
        return self._spec.amplitude * c.ravel()[self._leading[:count]]


class ChebyshevEdges:
    """Four series on the sides of a box; the latent is their coefficients, (4 (degree + 1),)."""

    uniforms = 0

    def __init__(self, spec: Chebyshev, where: Where) -> None:
        """Find the points on each side and tabulate the polynomials there."""
        self._spec, self._count = spec, len(where.points)
        points = _to_reference(where)
        sides = [(axis, end) for axis in (0, 1) for end in (-1.0, 1.0)]
        on = [np.abs(points[:, axis] - end) <= 2 * _ON_SIDE for axis, end in sides]
        self._dofs = [np.flatnonzero(side) for side in on]
        self._tables = [
            chebvander(points[dofs, 1 - axis], spec.degree)
            for dofs, (axis, _) in zip(self._dofs, sides, strict=True)
        ]
        self._sharing = np.maximum(np.sum(on, axis=0), 1)
        lengths = (where.upper - where.lower)[[1, 1, 0, 0]]
        self._weights = np.sqrt(lengths / lengths.sum())
        self._root, _ = _principal(spec.degree)

    def draw(self, rng: Generator, uniforms: Array, index: int) -> Array:
        """Return the coefficients of one sample, side by side."""
        return rng.uniform(-1.0, 1.0, 4 * (self._spec.degree + 1))

    def evaluate(self, latent: Array) -> Array:
        """Return the sides' series at points on them, 0 elsewhere, (n,)."""
        values = np.zeros(self._count)
        with one_thread():
            for dofs, table, c in zip(self._dofs, self._tables, latent.reshape(4, -1), strict=True):
                values[dofs] += self._spec.mean + self._spec.amplitude * (table @ c)
        return values / self._sharing

    def features(self, latent: Array, count: int) -> Array:
        """Return the coefficients in L²-orthonormal polynomials of the sides, largest first.

        With all of them the distance is the L² distance on the sides, scaled to length 1.
        """
        with one_thread():
            c = self._root @ latent.reshape(4, -1).T * self._weights
        return self._spec.amplitude * c.ravel()[:count]


def _to_reference(where: Where) -> Array:
    """The points with the bounding box scaled to [−1, 1]^d."""
    return 2 * where.scaled() - 1


def _principal(degree: int) -> tuple[Array, Array]:
    """R with |R c|² = ½ ∫ (Σ c_k T_k)² dx over (−1, 1), and the variances of (R c)_i · 3.

    ∫ T_j T_k dx = 1 / (1 − (j + k)²) + 1 / (1 − (j − k)²) for even j + k, 0 for odd. R c are
    the principal components, largest first.
    """
    j, k = np.ogrid[: degree + 1, : degree + 1]
    odd = (j + k) % 2 == 1
    both = [1 / (1.0 - np.where(odd, 0, m) ** 2) for m in (j + k, j - k)]
    values, vectors = np.linalg.eigh(np.where(odd, 0.0, sum(both) / 2))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    return np.sqrt(values)[:, None] * vectors.T, values
