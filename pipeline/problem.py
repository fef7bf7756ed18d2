"""The fields and quantities of a spec's problem on its mesh."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence

from pipeline.expressions import function
from pipeline.family import Quantity
from pipeline.inputs import is_field_law, is_law
from pipeline.spec import Spec

__all__ = [
    "FieldInfo",
    "Parameter",
    "expressions",
    "input_fields",
    "laws",
    "output_fields",
    "parameters",
    "sample_rng",
]


@dataclass(frozen=True)
class FieldInfo:
    """A stored field.

    Attributes:
        name: Its name in a shard.
        role: "input" or "output".
        space: UFL family, degree and shape of its space.
        units: Physical units, "1" where the problem has none.
        description: What it is.
    """

    name: str
    role: str
    space: tuple[str, int, tuple[int, ...]]
    units: str
    description: str


@dataclass(frozen=True)
class Parameter:
    """A stored parameter.

    Attributes:
        name: Its name in a shard.
        shape: () for a scalar, (k,) for a vector.
        units: Physical units.
        description: What it is.
    """

    name: str
    shape: tuple[int, ...]
    units: str
    description: str


def laws(spec: Spec) -> dict[str, Quantity]:
    """Return the random quantities, by symbol, in the order in which they are drawn."""
    return {q.symbol: q for q in spec.problem.quantities() if is_law(q.value)}


def input_fields(spec: Spec) -> list[FieldInfo]:
    """Return the random fields, and the displacement of a moving mesh."""
    found = [
        FieldInfo(symbol, "input", q.value.space.key, q.units, f"{q.meaning} {symbol}")
        for symbol, q in laws(spec).items()
        if is_field_law(q.value)
    ]
    if spec.mesh.moves:
        space = ("P", 1, (spec.mesh.gdim,))
        text = "displacement of the reference mesh"
        found.append(FieldInfo("displacement", "input", space, "m", text))
    return found


def output_fields(spec: Spec) -> list[FieldInfo]:
    """Return the output fields, in the order of the mixed problem."""
    return [
        FieldInfo(o.symbol, "output", o.space.key, o.units, f"{o.description} {o.symbol}")
        for o in spec.problem.outputs(spec.mesh.gdim)
    ]


def parameters(spec: Spec) -> list[Parameter]:
    """Return the random scalars and vectors that the forms depend on."""
    return [
        Parameter(symbol, q.value.shape, q.units, f"{q.meaning} {symbol}")
        for symbol, q in laws(spec).items()
        if not is_field_law(q.value)
    ]


def expressions(spec: Spec) -> dict[str, Callable[[Any, Any], Any]]:
    """Return the quantities that are the same for all samples, as functions of x."""
    return {
        q.symbol: function(str(q.value)) for q in spec.problem.quantities() if not is_law(q.value)
    }


def sample_rng(seed: int, sample: int) -> Generator:
    """Return the random generator of one sample: it depends on (seed, sample) alone."""
    return np.random.Generator(np.random.PCG64(SeedSequence(seed, spawn_key=(sample,))))
