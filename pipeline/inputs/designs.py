"""Designs: where in the unit cube the scalar inputs of each sample lie."""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray
from pydantic import Field

from pipeline.models import SpecModel

__all__ = ["DesignSpec", "design"]

Array = NDArray[np.float64]
Design = Callable[[int], Array]

_STREAM = 0x64657369
"""Keeps a design's random numbers apart from those of the samples."""


class DesignSpec(SpecModel):
    """How the scalar inputs are spread over their ranges.

    Point i depends on the seed and on i alone, so N samples are the first N of more. `sobol` is
    scrambled (a random linear map of the digits and a shift), best at N a power of two.
    `latin_hypercube` is one in every block of `block` samples: each coordinate falls once into
    each of `block` equal slices.
    """

    kind: Literal["random", "sobol", "latin_hypercube"] = Field(
        "random", description="Independent points, a scrambled Sobol sequence, or Latin hypercubes."
    )
    block: Annotated[int, Field(ge=2, le=1_000_000)] = Field(
        64, description="Samples in one Latin hypercube."
    )

    REVISION: ClassVar[int] = 1


def design(spec: DesignSpec, seed: int, dims: int) -> Design:
    """Return i ↦ point i in (0, 1)^dims, shape (dims,). Not collective.

    Args:
        spec: The kind.
        seed: The data set's seed.
        dims: Coordinates of a point: the sum of the samplers' `uniforms`; 0 gives empty points.

    Raises:
        ValueError: More coordinates than the Sobol sequence has (21,201).
    """
    if dims == 0:
        return lambda index: np.empty(0)
    if spec.kind == "sobol":
        return _Sobol(seed, dims)
    if spec.kind == "latin_hypercube":
        return _LatinHypercubes(seed, dims, spec.block)
    return lambda index: _inside(_rng(seed, index).random(dims))


def _rng(seed: int, *key: int) -> Generator:
    return np.random.Generator(np.random.PCG64(SeedSequence(seed, spawn_key=(*key, _STREAM))))


def _inside(points: Array) -> Array:
    """The points with zeros moved off the edge: quantile functions may be infinite there."""
    return np.maximum(points, 2.0**-53)


class _Sobol:
    """A scrambled Sobol sequence that is read at any place; forward reading is quick."""

    def __init__(self, seed: int, dims: int) -> None:
        from scipy.stats import qmc  # slow to import

        self._engine: Any = qmc.Sobol(dims, scramble=True, rng=_rng(seed))

    def __call__(self, index: int) -> Array:
        if index < self._engine.num_generated:
            self._engine.reset()
        if (ahead := index - self._engine.num_generated) > 0:
            self._engine.fast_forward(ahead)
        return _inside(self._engine.random(1)[0])


class _LatinHypercubes:
    """Latin hypercubes of a fixed size, one after the other, each from (seed, its number)."""

    def __init__(self, seed: int, dims: int, block: int) -> None:
        self._seed, self._dims, self._block = seed, dims, block
        self._cube = lru_cache(maxsize=4)(self._make)

    def __call__(self, index: int) -> Array:
        number, row = divmod(index, self._block)
        return self._cube(number)[row]

    def _make(self, number: int) -> Array:
        """Each coordinate: a permutation of the slices plus a uniform place in each."""
        rng = _rng(self._seed, number)
        slices = np.argsort(rng.random((self._block, self._dims)), axis=0, kind="stable")
        return _inside((slices + rng.random(slices.shape)) / self._block)
