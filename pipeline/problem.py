"""What a problem family provides: its fields, its statement, its samples, its systems."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

__all__ = ["Family", "FieldInfo", "Sampler", "sample_rng"]

Array = NDArray[np.float64]
Columns = dict[str, Array]


@dataclass(frozen=True)
class FieldInfo:
    """A stored field.

    Attributes:
        name: Its name in a shard.
        role: "input" or "output".
        space: UFL family and degree of its space.
        units: Physical units, "1" where the problem has none.
        description: What it is.
    """

    name: str
    role: str
    space: tuple[str, int]
    units: str
    description: str


class Sampler(Protocol):
    """Draws the inputs of single samples; knows no DOLFINx."""

    def inputs(self, rng: Generator) -> Columns:
        """Return the input columns of one sample, {"inputs/a": (dofs,), …}."""

    def features(self, rng: Generator, count: int) -> Array:
        """Return at most `count` features of the same sample, for sorting by similarity."""


class Family(Protocol):
    """One PDE family with its spec."""

    def fields(self) -> list[FieldInfo]:
        """Return the stored fields, inputs first."""

    def statement(self) -> dict[str, Any]:
        """Return `manifest.problem`: the PDE as text that SymPy parses."""

    def sampler(self, points: dict[str, Array]) -> Sampler:
        """Return the sampler for inputs whose dofs are point values at `points[field]`."""

    def discretise(self, spaces: dict[str, Any]) -> Any:
        """Return the `meshes.LinearProblem` on the spaces of the fields. Collective."""


def sample_rng(seed: int, sample: int) -> Generator:
    """Return the random generator of one sample: it depends on (seed, sample) alone."""
    return np.random.Generator(np.random.PCG64(SeedSequence(seed, spawn_key=(sample,))))
