"""What the controls share: the data they are fitted on and the form of their answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, csr_matrix, identity

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
        predict: positions in the test split (k) → all outputs side by side (k, n).
        settings: what was picked on validation, for the report.
    """

    predict: Callable[[NDArray[np.int64]], Array]
    settings: dict[str, float | int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Setting:
    """What a control works with: fields, normalisation, and the splits by name.

    Outputs are one vector (n): all of them, step by step, each divided by its own scale, so that
    all count alike.
    """

    task: Task
    normalisation: Normalisation
    splits: dict[str, Dataset]

    def input_gram(self, name: str) -> csr_matrix:
        """L2 Gram matrix of the space of an input; 1 for a parameter."""
        for given in self.task.inputs:
            if given.name == name:
                return gram(self.task.space(given), "l2")
        return identity(1, format="csr")

    @cached_property
    def output_gram(self) -> csr_matrix:
        """L2 Gram matrix (n, n) of the vector of outputs."""
        blocks = []
        for item in self.task.outputs:
            blocks += [gram(self.task.space(item), "l2")] * self.task.steps[item.name]
        return csr_matrix(block_diag(blocks, format="csr"))

    @cached_property
    def mean(self) -> Array:
        """Mean training output (n)."""
        scales = self.normalisation.outputs.values()
        return np.concatenate([(scale.mean / scale.scale).ravel() for scale in scales])

    def normalised(self, dataset: Dataset, name: str, rows: NDArray[np.int64]) -> Array:
        """A normalised input of some samples: (rows, length)."""
        values = dataset.read(name, rows).astype(np.float64).reshape(len(rows), -1)
        return self.normalisation.inputs[name](values)

    def outputs(self, dataset: Dataset, rows: NDArray[np.int64]) -> Array:
        """The vectors of outputs of some samples: (rows, n)."""
        truth, scales = self.task.truth(dataset, rows), self.normalisation.outputs
        return np.hstack([v.reshape(len(rows), -1) / scales[k].scale for k, v in truth.items()])

    def deviations(self, dataset: Dataset, rows: NDArray[np.int64]) -> Array:
        """Outputs minus their mean: (rows, n)."""
        return self.outputs(dataset, rows) - self.mean

    def by_field(self, values: Array) -> dict[str, Array]:
        """Vectors (k, n) → output → coefficients (k, T, dim)."""
        found, start = {}, 0
        for item in self.task.outputs:
            scale = self.normalisation.outputs[item.name]
            stop = start + scale.mean.size
            part = values[:, start:stop].reshape(len(values), *scale.mean.shape)
            found[item.name] = part * scale.scale
            start = stop
        return found
