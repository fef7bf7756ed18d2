"""Encoded training samples, in memory if they fit, from the shards otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.normalisation import positions
from pipeline.operators.fe.norms import norm
from pipeline.operators.spon import SPON
from storage import Dataset

__all__ = ["Batch", "Batches"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples as the processor takes them.

    Attributes:
        encoded: (n, B, channels) encoded inputs.
        target: (n, B) normalised outputs (u − ū)/s.
        size: (B) ‖u‖_G / s, the denominator of the relative error.
    """

    encoded: Tensor
    target: Tensor
    size: Tensor


class Batches:
    """Shuffled batches of a split."""

    def __init__(
        self, dataset: Dataset, operator: SPON, matrix: csr_matrix, memory_mib: int
    ) -> None:
        """Read the split if it fits.

        Args:
            dataset: the split.
            operator: whose encoder and normalisation are used.
            matrix: G, Gram matrix of the loss.
            memory_mib: keep the encoded split if it needs at most so much.
        """
        self.dataset, self.operator, self.matrix = dataset, operator, matrix
        channels = len(operator.task.inputs)
        needed = 4 * len(dataset) * matrix.shape[0] * (channels + 1)
        self.in_memory = needed <= memory_mib * 2**20
        self._kept = self._keep(channels) if self.in_memory else None

    def epoch(self, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield every sample once, in random order."""
        order = rng.permutation(len(self.dataset))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            if self._kept is None:
                yield _batch(*self._load(rows))
            else:
                encoded, target, size = self._kept
                yield _batch(encoded[rows], target[rows], size[rows])

    def steps(self, batch_size: int) -> int:
        """Number of batches of an epoch."""
        return -(-len(self.dataset) // batch_size)

    def _keep(self, channels: int) -> tuple[NDArray[np.float32], ...]:
        count, n = len(self.dataset), self.matrix.shape[0]
        encoded = np.empty((count, n, channels), np.float32)
        target, size = np.empty((count, n), np.float32), np.empty(count, np.float32)
        for rows in positions(self.dataset):
            encoded[rows], target[rows], size[rows] = self._load(rows)
        return encoded, target, size

    def _load(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        task, scale = self.operator.task, self.operator.normalisation
        inputs = {field.name: self.dataset.read(field.name, rows) for field in task.inputs}
        outputs = self.dataset.read(task.output.name, rows).astype(np.float64)
        size = norm(self.matrix, outputs) / scale.scale
        if not np.all(size > 0):
            bad = self.dataset.ids[rows[~(size > 0)][0]]
            raise TrainingError(
                f"output {task.output.name!r} of sample {bad} is zero or not finite, a relative "
                "error needs another; leave the sample out"
            )
        target = (outputs - scale.mean) / scale.scale
        return self.operator.encode(inputs), target.astype(np.float32), size.astype(np.float32)


def _batch(encoded: NDArray[np.float32], target: NDArray[np.float32], size: NDArray) -> Batch:
    return Batch(
        torch.from_numpy(encoded).transpose(0, 1).contiguous(),
        torch.from_numpy(target).T.contiguous(),
        torch.from_numpy(size),
    )
