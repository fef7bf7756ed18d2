"""Products of oscillations on many scales."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from pipeline.inputs.where import Where
from pipeline.models import SpaceSpec, SpecModel
from pipeline.spec_errors import SpecError

__all__ = ["Multiscale", "MultiscaleField"]

Array = NDArray[np.float64]


class Multiscale(SpecModel):
    """Π_{k=1}^{scales} (1 + ½ cos(a_k π (x + y))) (1 + ½ sin(a_k π (y − 3x))), in the plane.

    The frequencies a_k are independent, uniform on [2^(k−1), 1.5 · 2^(k−1)]; x and y are the
    mesh's coordinates. This is the trigonometric multiscale coefficient of HANO (Liu, Xu & Zhang
    2022) and MgNO (He, Liu & Xu, ICLR 2024). It lies between 4^(−scales) and 2.25^scales, with
    a shortest wave of 2/√10 / (1.5 · 2^(scales−1)), 0.013 for six scales: the mesh must resolve
    it.
    """

    law: Literal["multiscale"] = Field(description="A product of oscillations on many scales.")
    scales: Annotated[int, Field(ge=1, le=12)] = Field(6, description="Number of scales.")
    space: SpaceSpec = Field(SpaceSpec(family="P", degree=1), description="Space of the field.")

    REVISION: ClassVar[int] = 1

    def at(self, where: Where) -> "MultiscaleField":
        """Return the sampler. See `MultiscaleField`."""
        return MultiscaleField(self, where)


class MultiscaleField:
    """The product at the points; the latent is the frequencies, (scales,)."""

    uniforms = 0

    def __init__(self, spec: Multiscale, where: Where) -> None:
        """Keep the points.

        Raises:
            SpecError: The mesh is not in the plane.
        """
        if where.gdim != 2:
            raise SpecError([f"law: got multiscale on a mesh in {where.gdim}-D; it is for 2-D"])
        self._least = 2.0 ** np.arange(spec.scales)
        self._points, self._where = where.points, where

    def draw(self, rng: Generator, uniforms: Array, index: int) -> Array:
        """Return the frequencies a_k of one sample, (scales,)."""
        return self._least * rng.uniform(1.0, 1.5, len(self._least))

    def evaluate(self, latent: Array) -> Array:
        """Return the values at the points, (n,)."""
        return _product(latent, self._points)

    def features(self, latent: Array, count: int) -> Array:
        """Return values at `count` points spread over the bounding box, over √count.

        Their distance is the L² distance as the mean over these points (an R₂ sequence).
        """
        low, high = self._where.lower, self._where.upper
        return _product(latent, low + _spread(count) * (high - low)) / np.sqrt(count)


def _product(frequencies: Array, points: Array) -> Array:
    x, y = points.T
    result = np.ones(len(points))
    for a in np.pi * frequencies:
        result *= (1 + np.cos(a * (x + y)) / 2) * (1 + np.sin(a * (y - 3 * x)) / 2)
    return result


def _spread(count: int) -> Array:
    """Points of low discrepancy in the unit square, (count, 2): multiples of (1/ρ, 1/ρ²) mod 1.

    ρ ≈ 1.3247 solves ρ³ = ρ + 1 (Roberts 2018).
    """
    rho = 1.324717957244746
    return np.outer(np.arange(1, count + 1), [1 / rho, 1 / rho**2]) % 1.0
