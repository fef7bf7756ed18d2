"""SPON, a structure-preserving operator network: S_θ = D ∘ P_θ ∘ E.

K. Bouziani and N. Boullé, "Structure-preserving operator learning", arXiv 2410.01065.

- Encoder E: the input's coefficients in its finite-element space U_h, normalised, taken to the
  dofs of the output space by a fixed sparse matrix (`transfer`) if the spaces differ.
- Processor P_θ: message passing on the dofs (`processor`); the only part that is learnt.
- Decoder D: coefficients of a function in the output space V_h,
      u = ū + s P_θ on free dofs,    u = g on Dirichlet dofs,
  in float64, with g exactly as stored: every prediction is a member of V_h with exact traces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.operators.config import SponConfig
from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.graph import dof_graph
from pipeline.operators.fe.modes import Modes, low_modes
from pipeline.operators.fe.normalisation import Normalisation
from pipeline.operators.fe.transfer import transfer_matrix
from pipeline.operators.processors.message_passing import MessagePassing
from pipeline.operators.task import Task

__all__ = ["SPON"]

Array = NDArray[np.float64]


class SPON(nn.Module):
    """The operator of one data set."""

    free: Tensor

    def __init__(
        self,
        config: SponConfig,
        task: Task,
        normalisation: Normalisation,
        modes: Modes | None = None,
    ) -> None:
        """Build it with random weights (PyTorch's global generator).

        Args:
            config: sizes of the processor.
            task: fields and spaces.
            normalisation: from the training split.
            modes: of the output space; computed by default.

        Raises:
            TrainingError: spaces that SPON can't work with yet.
        """
        super().__init__()
        self.task = task
        self.normalisation = normalisation
        graph = dof_graph(task.space, task.output.constrained)
        self.transfers = {
            field.name: transfer_matrix(task.mesh, task.spaces[field.space], task.space)
            for field in task.inputs
        }
        modes = low_modes(graph, config.modes) if modes is None else modes
        channels = len(task.inputs)
        self.processor = MessagePassing(graph, modes, channels, config.width, config.layers)
        self.register_buffer("free", torch.from_numpy(graph.free).float(), persistent=False)

    def encode(self, inputs: Mapping[str, Array]) -> NDArray[np.float32]:
        """E: coefficients by field name, each (B, dofs of its space) → (B, n, channels).

        Raises:
            TrainingError: an input is missing or has another number of dofs.
        """
        return np.stack([self._encode(inputs, name) for name in self.transfers], axis=-1)

    def forward(self, encoded: Tensor) -> Tensor:
        """P_θ with constrained dofs masked: (n, B, channels) → (n, B), in units of s around ū."""
        return self.processor(encoded) * self.free[:, None]

    def decode(self, processed: NDArray[Any]) -> Array:
        """D: processed values (B, n) → coefficients (B, n) in V_h, float64."""
        u = self.normalisation.mean + self.normalisation.scale * processed.astype(np.float64)
        u[:, self.task.constrained] = self.task.values
        return u

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Array], batch_size: int = 32) -> Array:
        """Return the coefficients of the predicted functions.

        Args:
            inputs: coefficients by field name, each (B, dofs of its space).
            batch_size: samples at a time.

        Returns:
            (B, n) float64.
        """
        encoded = torch.from_numpy(self.encode(inputs))
        parts = [self(batch.transpose(0, 1).contiguous()).T for batch in encoded.split(batch_size)]
        return self.decode(torch.cat(parts).numpy())

    def _encode(self, inputs: Mapping[str, Array], name: str) -> NDArray[np.float32]:
        matrix = self.transfers[name]
        if name not in inputs:
            raise TrainingError(f"input {name!r} is missing; expected {list(self.transfers)}")
        values = np.asarray(inputs[name], dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != matrix.shape[1]:
            raise TrainingError(
                f"input {name!r} has shape {values.shape}, expected (samples, {matrix.shape[1]})"
            )
        scaled = self.normalisation.inputs[name](values)
        return (matrix @ scaled.T).T.astype(np.float32)
