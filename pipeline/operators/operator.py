"""A learnt map between finite-element functions: S_θ = D ∘ P_θ ∘ E.

K. Bouziani and N. Boullé, "Structure-preserving operator learning", arXiv 2410.01065.

- Encoder E: the input functions in their own spaces, normalised and evaluated at the places where
  the processor works by fixed sparse matrices; parameters of a sample are constant functions.
- Processor P_θ: the only part that is learnt.
- Decoder D (`decoder`): coefficients of functions in the output spaces, in float64.

SPON's places are the dof nodes of the output spaces and its constraints are exact. Other
operators are the same composition on a grid or on nodes, with nothing imposed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from pipeline.operators.config import OperatorConfig
from pipeline.operators.decoder import FieldDecoder
from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.normalisation import Normalisation
from pipeline.operators.fe.places import Places
from pipeline.operators.task import Task
from storage import Dataset

__all__ = ["Operator", "make_encoders", "predictor"]

Array = NDArray[np.float64]


class Operator(nn.Module):
    """The operator of one data set; `make_operator` builds it.

    Attributes:
        config: what it is.
        task: the fields.
        normalisation: from the training split.
        places: where the processor works.
        encoders: E of the input fields, by name.
        processor: P_θ, (B, n, c) → (B, n, channels).
        decoders: of the output fields, by name.
    """

    def __init__(
        self,
        config: OperatorConfig,
        task: Task,
        normalisation: Normalisation,
        places: Places,
        encoders: Mapping[str, csr_matrix],
        processor: nn.Module,
        decoders: Mapping[str, FieldDecoder],
    ) -> None:
        super().__init__()
        self.config, self.task, self.normalisation = config, task, normalisation
        self.places, self.encoders, self.processor = places, encoders, processor
        self.decoders = nn.ModuleDict(decoders)

    @property
    def parameter_count(self) -> int:
        """Number of learnt real numbers."""
        return sum(p.numel() * (2 if p.is_complex() else 1) for p in self.parameters())

    def encode(self, inputs: Mapping[str, Array]) -> NDArray[np.float32]:
        """E: coefficients and parameters by name, each (B, length) → (B, n, channels).

        Raises:
            TrainingError: an input is missing or has another length.
        """
        return np.concatenate([self._encode(inputs, name) for name in self.task.names], axis=-1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """D ∘ P_θ: encoded inputs (B, n, c) → output → normalised deviations (B, T, dim)."""
        w = self.processor(x)
        return {name: decoder(part) for name, decoder, part in self._parts(w)}

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Array], batch_size: int = 32) -> dict[str, Array]:
        """Return the coefficients of the predicted functions.

        Args:
            inputs: coefficients and parameters by name, each (B, length).
            batch_size: samples at a time.

        Returns:
            Output → (B, T, dim) float64, T = 1 without a time axis.

        Raises:
            TrainingError: an input is missing or has another length.
        """
        training, device = self.training, next(self.parameters()).device
        self.eval()
        found: dict[str, list[Array]] = {name: [] for name in self.decoders}
        count = len(next(iter(inputs.values())))
        for start in range(0, count, batch_size):
            some = {k: np.asarray(v)[start : start + batch_size] for k, v in inputs.items()}
            w = self.processor(torch.from_numpy(self.encode(some)).to(device)).float().cpu()
            for name, decoder, part in self._parts(w):
                found[name].append(decoder.decode(part, some))
        self.train(training)
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _parts(self, w: Tensor) -> list[tuple[str, FieldDecoder, Tensor]]:
        names = list(self.decoders)
        parts = w.split([self.decoders[name].channels for name in names], dim=-1)
        return list(zip(names, self.decoders.values(), parts, strict=True))  # type: ignore[arg-type]

    def _encode(self, inputs: Mapping[str, Array], name: str) -> NDArray[np.float32]:
        matrix, n = self.encoders.get(name), len(self.places.points)
        length = 1 if matrix is None else matrix.shape[1]
        if name not in inputs:
            raise TrainingError(f"input {name!r} is missing; expected {self.task.names}")
        values = np.asarray(inputs[name], dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != length:
            raise TrainingError(
                f"input {name!r} has shape {values.shape}, expected (samples, {length})"
            )
        scaled = self.normalisation.inputs[name](values)
        if matrix is None:
            return np.tile(scaled[:, None].astype(np.float32), (1, n, 1))
        return (matrix @ scaled.T).T.reshape(len(values), n, -1).astype(np.float32)


def make_encoders(task: Task, places: Places) -> dict[str, csr_matrix]:
    """Input field → E (n·v, dim of its space)."""
    known = {
        name: places.values(task.spaces[name]) for name in {field.space for field in task.inputs}
    }
    return {field.name: known[field.space] for field in task.inputs}


def predictor(operator: Operator, dataset: Dataset) -> Callable[..., dict[str, Array]]:
    """Predictions of samples by their positions in a data set."""
    return lambda rows: operator.predict(operator.task.given(dataset, rows))
