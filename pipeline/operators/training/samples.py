"""Samples of a data set as an operator takes them: encoded inputs and normalised outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.normalisation import positions
from pipeline.operators.fe.norms import gram, norm
from pipeline.operators.operator import Operator
from pipeline.operators.training.batches import Batch
from pipeline.operators.training.residual import AssembledOperators
from storage import Dataset

__all__ = ["OperatorSamples"]

Array = NDArray[np.float64]


class OperatorSamples:
    """The training split behind an operator's encoder."""

    def __init__(
        self,
        dataset: Dataset,
        operator: Operator,
        loss: str,
        residual: AssembledOperators | None = None,
    ) -> None:
        """Look at nothing yet.

        Args:
            dataset: the split.
            operator: whose encoder and normalisation are used.
            loss: norm of the relative errors.
            residual: tables of the equations, for the loss without labels.
        """
        self.dataset, self.operator, self.residual = dataset, operator, residual
        task = operator.task
        kind = "graph" if loss == "residual" else loss
        self.grams = {field.name: gram(task.space(field), kind) for field in task.outputs}

    def __len__(self) -> int:
        return len(self.dataset)

    def blocks(self) -> Sequence[NDArray[np.int64]]:
        """Positions that are stored together."""
        return list(positions(self.dataset))

    def load(self, rows: NDArray[np.int64]) -> Batch:
        """Read and encode samples.

        Raises:
            TrainingError: an output is zero, a relative error needs another.
        """
        task, ids = self.operator.task, self.dataset.ids[rows]
        given, truth = task.given(self.dataset, rows), task.truth(self.dataset, rows)
        y, size, extra = {}, {}, {}
        decoders: dict[str, Any] = dict(self.operator.decoders.items())
        for name, decoder in decoders.items():
            scale = decoder.scale.scale
            base = decoder.base(given, len(rows))
            size[name] = torch.from_numpy(self._size(name, truth[name], ids) / scale).float()
            y[name] = torch.from_numpy((truth[name] - base) / scale).float()
            if self.residual is not None:
                extra[f"base.{name}"] = torch.from_numpy(base)
        if self.residual is not None:
            extra["z"] = torch.from_numpy(self.residual.data(_columns(given, task)))
        x = torch.from_numpy(self.operator.encode(given))
        return Batch(torch.from_numpy(ids.astype(np.int64)), x, y, size, extra)

    def _size(self, name: str, truth: Array, ids: NDArray[np.int64]) -> Array:
        size = norm(self.grams[name], truth)
        if not np.all(size > 0):
            raise TrainingError(
                f"output {name!r} of sample {ids[~(size > 0)][0]} is zero or not finite, a "
                "relative error needs another; leave the sample out"
            )
        return size


def _columns(given: Mapping[str, Array], task: Any) -> dict[str, Array]:
    """Inputs and parameters by the names of their columns."""
    fields = {field.name for field in task.inputs}
    return {
        f"inputs/{name}" if name in fields else f"parameters/{name}": values
        for name, values in given.items()
    }
