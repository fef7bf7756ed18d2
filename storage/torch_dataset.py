"""Samples as a map-style PyTorch data set. Imported by `Dataset.torch` alone: it loads PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["TorchSamples", "torch_dataset"]


class TorchSamples(TorchDataset[dict[str, Any]]):
    """Map-style data set of dicts: `id` (int64) and one tensor a field.

    Safe with worker processes, forked or spawned: files are opened in the process that reads.
    """

    def __init__(self, dataset: Dataset, names: Sequence[str], dtype: str) -> None:
        self.dataset = dataset
        self.names = list(names)
        self.dtype = dtype

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Read a batch at once, grouped by shard."""
        rows = np.asarray(indices, dtype=np.int64)
        batch = {"id": torch.from_numpy(self.dataset.ids[rows])}
        for name in self.names:
            values = self.dataset.read(name, rows)
            if values.dtype.kind == "f":
                values = values.astype(self.dtype, copy=False)
            batch[name] = torch.from_numpy(values)
        return [{name: values[k] for name, values in batch.items()} for k in range(len(rows))]


def torch_dataset(
    dataset: Dataset,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    dtype: str = "float32",
) -> TorchSamples:
    """Make a PyTorch data set of some fields (or `parameters/…` and other columns).

    Args:
        dataset: the samples, for example a split.
        inputs: names, all input fields by default.
        outputs: names, all output fields by default, with `times` and `times_mask` if stored.
        dtype: floating type of the tensors, as NumPy names it; integers keep theirs.
    """
    first = dataset.inputs if inputs is None else inputs
    second = dataset.outputs if outputs is None else outputs
    times = [name for name in ("times", "times_mask") if name in dataset.columns]
    return TorchSamples(dataset, [*first, *second, *(times if outputs is None else [])], dtype)
