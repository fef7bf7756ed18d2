"""Laws that transform a Gaussian field: Gaussian, log-normal, two-phase."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import AfterValidator, Discriminator, Field, Tag

from pipeline.inputs.cosine import CosineField, CosineFieldSpec
from pipeline.inputs.matern import MaternField, MaternFieldSpec
from pipeline.inputs.where import InputSampler, Where
from pipeline.models import SpaceSpec, SpecModel

__all__ = ["Gaussian", "GaussianSpec", "LogNormal", "TransformedField", "TwoPhase"]

Array = NDArray[np.float64]


def kind(value: Any) -> Any:
    """Which Gaussian field is asked for: cosine, if the key is left out."""
    return value.get("kind", "cosine") if isinstance(value, dict) else getattr(value, "kind", None)


GaussianSpec = Annotated[
    Annotated[CosineFieldSpec, Tag("cosine")] | Annotated[MaternFieldSpec, Tag("matern")],
    Discriminator(kind),
]
"""A mean-zero Gaussian field g; key `kind`."""


def _ordered(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] >= limits[1]:
        raise ValueError("expected [low, high] with low < high")
    return limits


Limits = Annotated[tuple[float, float], AfterValidator(_ordered)]
P1 = SpaceSpec(family="P", degree=1)
DG0 = SpaceSpec(family="DG", degree=0)


class Gaussian(SpecModel):
    """mean + g with a Gaussian field g, cut off at the limits if there are any."""

    law: Literal["gaussian"] = Field(description="A Gaussian field.")
    mean: float = Field(0.0, description="Mean, in units of the field.")
    clip: Limits | None = Field(None, description="[low, high]: values beyond are set to these.")
    field: GaussianSpec = Field(CosineFieldSpec(), description="Covariance of g.")
    space: SpaceSpec = Field(P1, description="Space of the field.")

    REVISION: ClassVar[int] = 1

    def transform(self, g: Array) -> Array:
        """Return the values at the points where g is given."""
        return _clipped(self.mean + g, self.clip)

    def at(self, where: Where) -> InputSampler:
        """Return the sampler; distances of features are L² distances of g."""
        return TransformedField(self.field.at(where), self.transform)


class LogNormal(SpecModel):
    """exp(mean + g) with a Gaussian field g, cut off at the limits if there are any."""

    law: Literal["lognormal"] = Field(description="The exponential of a Gaussian field.")
    mean: Annotated[float, Field(ge=-50, le=50)] = Field(0.0, description="Mean of the logarithm.")
    clip: Limits | None = Field(None, description="[low, high]: values beyond are set to these.")
    field: GaussianSpec = Field(CosineFieldSpec(), description="Covariance of g.")
    space: SpaceSpec = Field(P1, description="Space of the field.")

    REVISION: ClassVar[int] = 1

    def transform(self, g: Array) -> Array:
        """Return the values at the points where g is given."""
        return _clipped(np.exp(self.mean + g), self.clip)

    def at(self, where: Where) -> InputSampler:
        """Return the sampler; distances of features are L² distances of g, the logarithm."""
        return TransformedField(self.field.at(where), self.transform)


class TwoPhase(SpecModel):
    """`high` where the Gaussian field g ≥ threshold, `low` elsewhere.

    The sets of the literature: 12 and 3 with α = 2, τ = 3 (Fourier neural operator, "smooth" in
    MgNO); 10 and 5 (DGNO). A rougher interface ("rough" in MgNO) comes of a larger τ or a
    smaller α of the field.
    """

    law: Literal["two_phase"] = Field(description="Two values, by the sign of a Gaussian field.")
    high: float = Field(12.0, description="Value where g ≥ threshold.", gt=0)
    low: float = Field(3.0, description="Value where g < threshold.", gt=0)
    threshold: float = Field(0.0, description="The threshold, in units of g.")
    field: GaussianSpec = Field(CosineFieldSpec(), description="Covariance of g.")
    space: SpaceSpec = Field(DG0, description="Space of the field.")

    REVISION: ClassVar[int] = 1

    def transform(self, g: Array) -> Array:
        """Return the values at the points where g is given."""
        return np.where(g >= self.threshold, self.high, self.low)

    def at(self, where: Where) -> InputSampler:
        """Return the sampler; distances of features are L² distances of g."""
        return TransformedField(self.field.at(where), self.transform)


class TransformedField:
    """A pointwise function of a Gaussian field."""

    uniforms = 0

    def __init__(
        self, gaussian: CosineField | MaternField, transform: Callable[[Array], Array]
    ) -> None:
        self._gaussian, self._transform = gaussian, transform

    def draw(self, rng: Generator, uniforms: Array, index: int) -> Array:
        """Return the normal variates of one sample."""
        return self._gaussian.draw(rng, uniforms, index)

    def evaluate(self, latent: Array) -> Array:
        """Return the transformed field at the points, (n,)."""
        return self._transform(self._gaussian.evaluate(latent))

    def features(self, latent: Array, count: int) -> Array:
        """Return the features of the Gaussian field."""
        return self._gaussian.features(latent, count)


def _clipped(values: Array, limits: tuple[float, float] | None) -> Array:
    return values if limits is None else np.clip(values, *limits)
