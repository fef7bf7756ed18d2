"""What the controls share: the data they are fitted on and the form of their answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from pipeline.operators.fe.normalisation import Normalisation
from pipeline.operators.fe.norms import gram
from pipeline.operators.task import Task
from storage import Dataset

__all__ = ["Control", "Setting"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Control:
    """A fitted control.

    Attributes:
        predict: positions in the test split (k) → coefficients (k, n).
        settings: what was picked on validation, for the report.
    """

    predict: Callable[[NDArray[np.int64]], Array]
    settings: dict[str, float | int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Setting:
    """What a control works with: fields, normalisation, and the splits by name."""

    task: Task
    normalisation: Normalisation
    splits: dict[str, Dataset]

    def input_gram(self, name: str) -> csr_matrix:
        """L2 Gram matrix of the space of an input."""
        (field,) = (field for field in self.task.inputs if field.name == name)
        return gram(self.task.spaces[field.space], "l2")

    def normalised(self, dataset: Dataset, name: str, rows: NDArray[np.int64]) -> Array:
        """A normalised input of some samples: (rows, dofs of its space)."""
        return self.normalisation.inputs[name](dataset.read(name, rows).astype(np.float64))

    def deviations(self, dataset: Dataset, rows: NDArray[np.int64]) -> Array:
        """U − ū of some samples: (rows, n)."""
        values = dataset.read(self.task.output.name, rows).astype(np.float64)
        return values - self.normalisation.mean
