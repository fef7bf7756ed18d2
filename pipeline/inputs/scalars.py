"""Random numbers: uniform, normal, log-uniform, categorical."""

import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import ndtri

from pipeline.models import SpecModel

__all__ = ["Categorical", "LogUniform", "Normal", "ScalarSampler", "Uniform"]

Array = NDArray[np.float64]

_SMALLEST = 2.0**-53


class _Scalar(SpecModel):
    """A law given by its quantile function, so that designs act on it."""

    size: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="Length of a vector of independent values; left out: one number."
    )

    REVISION: ClassVar[int] = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a value: () or (size,)."""
        return () if self.size is None else (self.size,)

    def quantile(self, u: Array) -> Array:
        """Return the value that a share u of the law lies below, elementwise."""
        raise NotImplementedError

    def sampler(self) -> "ScalarSampler":
        """Return the sampler."""
        return ScalarSampler(self.quantile, self.shape)


class Uniform(_Scalar):
    """Uniform on [low, high]."""

    law: Literal["uniform"] = Field(description="Uniform on an interval.")
    low: float = Field(description="Lower end.")
    high: float = Field(description="Upper end.")

    @model_validator(mode="after")
    def _order(self) -> "Uniform":
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g}, high = {self.high:g}; expected low < high")
        return self

    def quantile(self, u: Array) -> Array:
        """Return low + (high − low) u."""
        return self.low + (self.high - self.low) * u


class Normal(_Scalar):
    """Normal with a mean and a standard deviation."""

    law: Literal["normal"] = Field(description="Normal (Gaussian).")
    mean: float = Field(0.0, description="Mean.")
    std: float = Field(1.0, gt=0, description="Standard deviation.")

    def quantile(self, u: Array) -> Array:
        """Return mean + std Φ⁻¹(u); u = 0 and 1 count as 2⁻⁵³ and 1 − 2⁻⁵³."""
        return self.mean + self.std * ndtri(np.clip(u, _SMALLEST, 1 - _SMALLEST))


class LogUniform(_Scalar):
    """The exponential of a uniform variable: on [low, high], equally often in each decade."""

    law: Literal["log_uniform"] = Field(description="Uniform in the logarithm.")
    low: float = Field(gt=0, description="Lower end.")
    high: float = Field(gt=0, description="Upper end.")

    @model_validator(mode="after")
    def _order(self) -> "LogUniform":
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g}, high = {self.high:g}; expected low < high")
        return self

    def quantile(self, u: Array) -> Array:
        """Return low (high / low)^u, kept within the ends."""
        value = self.low * np.exp(math.log(self.high / self.low) * u)
        return np.clip(value, self.low, self.high)


class Categorical(_Scalar):
    """One of the values, with the given probabilities."""

    law: Literal["categorical"] = Field(description="One of some values.")
    values: Annotated[tuple[float, ...], Field(min_length=1)] = Field(description="The values.")
    probabilities: tuple[Annotated[float, Field(ge=0)], ...] | None = Field(
        None, description="Their probabilities, which add up to 1; left out: equal."
    )

    @model_validator(mode="after")
    def _whole(self) -> "Categorical":
        p = self.probabilities
        if p is not None and (len(p) != len(self.values) or abs(sum(p) - 1) > 1e-9):
            raise ValueError(
                f"{len(p)} probabilities with sum {sum(p):g} for {len(self.values)} values; "
                "expected one for each value, adding up to 1"
            )
        return self

    def quantile(self, u: Array) -> Array:
        """Return the value into whose share of [0, 1], in the given order, u falls."""
        count = len(self.values)
        shares = [1 / count] * count if self.probabilities is None else self.probabilities
        ends = np.cumsum(shares)
        # The last value of some probability also takes what rounding leaves above the last end.
        last = int(np.flatnonzero(shares)[-1])
        at = np.minimum(np.searchsorted(ends, u, side="right"), last)
        return np.array(self.values)[at]


class ScalarSampler:
    """Turns coordinates of the design into values; the latent is these coordinates."""

    def __init__(self, quantile: Callable[[Array], Array], shape: tuple[int, ...]) -> None:
        self._quantile, self._shape = quantile, shape
        self.uniforms = math.prod(shape)

    def draw(self, rng: Generator, uniforms: Array, index: int) -> Array:
        """Return the coordinates, (size or 1,).

        Raises:
            ValueError: There are not as many as `uniforms`.
        """
        if np.shape(uniforms) != (self.uniforms,):
            raise ValueError(
                f"coordinates of shape {np.shape(uniforms)}; expected ({self.uniforms},)"
            )
        return uniforms

    def evaluate(self, latent: Array) -> Array:
        """Return the value, shape () or (size,)."""
        return np.asarray(self._quantile(latent)).reshape(self._shape)

    def features(self, latent: Array, count: int) -> Array:
        """Return the first `count` values themselves."""
        return np.asarray(self._quantile(latent[:count]))
