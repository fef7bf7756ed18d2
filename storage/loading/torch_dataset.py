"""Samples as a map-style PyTorch data set. Imported by `Dataset.torch` alone: it loads PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset as TorchDataset

from storage.loading.normalisation import Scale, field_scale

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["TorchSamples", "torch_dataset"]

_SMALL = 1 << 14  # bytes of a sample


class TorchSamples(TorchDataset[dict[str, Any]]):
    """Map-style data set of dicts: `id` and one tensor a field.

    Safe with worker processes, forked or spawned: files are opened in the process that reads.

    Attributes:
        dataset: the samples.
        names: of fields and other columns.
        dtype: floating type of the tensors, as NumPy names it.
        scales: name → how it is normalised; the others are as stored.
    """

    def __init__(
        self, dataset: Dataset, names: Sequence[str], dtype: str, scales: dict[str, Scale]
    ) -> None:
        self.dataset = dataset
        self.names = list(names)
        self.dtype = dtype
        self.scales = scales
        templates = {name: dataset.read(name, slice(0, 0)) for name in names}
        self._types = {
            name: np.dtype(dtype if values.dtype.kind == "f" else values.dtype)
            for name, values in templates.items()
        }
        sizes = [values.itemsize * math.prod(values.shape[1:]) for values in templates.values()]
        self._small = max(sizes, default=0) < _SMALL

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample: dict[str, Any] = {"id": self.dataset.ids.item(index)}
        return sample | {name: self._read(name, int(index)) for name in self.names}

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Read a batch: small samples at once, others one by one, as they stay in the cache."""
        if not self._small:
            return [self[index] for index in indices]
        rows = np.asarray(indices, dtype=np.int64)
        batch = {name: self._read(name, rows) for name in self.names}
        ids = self.dataset.ids[rows].tolist()
        return [
            {"id": id_} | {name: values[k] for name, values in batch.items()}
            for k, id_ in enumerate(ids)
        ]

    def denormalise(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a batch, or predictions by name, in the units of the data set."""
        plain = Scale()
        return {k: self.scales.get(k, plain).denormalise(values) for k, values in batch.items()}

    def _read(self, name: str, rows: int | npt.NDArray[np.int64]) -> torch.Tensor:
        if name not in self.scales:
            values = self.dataset.read(name, rows, self._types[name])
        else:
            stored = self.dataset.read(name, rows)
            values = self.scales[name].normalise(stored).astype(self.dtype, copy=False)
        return torch.from_numpy(np.asarray(values))


def torch_dataset(
    dataset: Dataset,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    dtype: str = "float32",
    normalised: bool = False,
) -> TorchSamples:
    """Make a PyTorch data set of some fields (or `parameters/…` and other columns).

    Args:
        dataset: the samples, for example a split.
        inputs: names, all input fields by default.
        outputs: names, all output fields by default, with `times` and `times_mask` if stored.
        dtype: floating type of the tensors, as NumPy names it; integers keep theirs.
        normalised: normalise fields by the statistics of the training split.

    Raises:
        KeyError: there is no such field or column.
        StorageError: there are no statistics.
    """
    first = dataset.inputs if inputs is None else inputs
    second = dataset.outputs if outputs is None else outputs
    times = [name for name in ("times", "times_mask") if name in dataset.columns]
    names = [*first, *second, *(times if outputs is None else [])]
    fields = {*dataset.inputs, *dataset.outputs}
    chosen = [name for name in names if name in fields] if normalised else []
    return TorchSamples(dataset, names, dtype, {n: field_scale(dataset, n) for n in chosen})
