"""What a data set knows of its fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Field", "make_fields"]

_KEYS = ("role", "space", "units", "description", "constrained", "values")


@dataclass(frozen=True, eq=False)
class Field:
    """What is known of a field.

    Attributes:
        name: of the field.
        role: "input" or "output".
        space: name of its space in `Dataset.spaces`.
        units: physical units, "1" if it has none.
        description: one line.
        constrained: (k) dofs fixed by Dirichlet data, None if there are none.
        values: (k) their values, None if they differ by sample.
    """

    name: str
    role: str = ""
    space: str = ""
    units: str = ""
    description: str = ""
    constrained: npt.NDArray[np.int32] | None = None
    values: npt.NDArray[np.float64] | None = None


def make_fields(tables: Mapping[str, Any], names: Iterable[str]) -> dict[str, Field]:
    """Make the fields `names` from the group `fields` of `spaces.h5`, as far as it knows them."""
    known = {name: tables.get(name, {}) for name in names}
    return {
        name: Field(name, **{key: table[key] for key in _KEYS if key in table})
        for name, table in known.items()
    }
