"""Losses: relative errors in the norms of the output spaces, or the equations' residual.

    L = mean over samples and outputs of ‖u_θ − u‖_G / ‖u‖_G,   ‖e‖²_G = Σ_t e_tᵀ G e_t

with G = M (L2) or M + K (H1, H(div), H(curl), whichever is the space's own).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.sparse import SparseProduct
from pipeline.operators.operator import Operator
from pipeline.operators.training.batches import Batch
from pipeline.operators.training.residual import AssembledOperators, ResidualLoss

__all__ = ["GramLoss", "NoLabels"]

TINY = 1e-14


class GramLoss(nn.Module):
    """Mean relative error of a batch."""

    def __init__(self, grams: Mapping[str, csr_matrix]) -> None:
        """Take the Gram matrix (dim, dim) of each output."""
        super().__init__()
        self.products = nn.ModuleDict({name: SparseProduct(G) for name, G in grams.items()})

    def forward(self, output: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Return the scalar loss of normalised outputs (B, T, dim)."""
        errors = [
            _norm(output[name] - batch.y[name], product) / batch.size[name]
            for name, product in self.products.items()
        ]
        return torch.stack(errors).mean()


class NoLabels(nn.Module):
    """The residual of the assembled equations at the prediction (see `residual`)."""

    def __init__(self, operator: Operator, tables: AssembledOperators) -> None:
        """Check that the operator predicts all that the equations need.

        Raises:
            TrainingError: it learns other fields, or doesn't impose their boundary values.
        """
        super().__init__()
        names = {field.name for field in operator.task.outputs}
        if names != set(tables.outputs):
            raise TrainingError(
                f"loss residual: the equations have the outputs {sorted(tables.outputs)}, the "
                f"operator learns {sorted(names)}; leave `train.outputs` out"
            )
        decoders: dict[str, Any] = dict(operator.decoders.items())
        if any(decoder.constraint is None for decoder in decoders.values()):
            raise TrainingError(
                "loss residual: needs exact boundary values, which "
                f"{operator.config.kind} doesn't impose; use operator spon"
            )
        self.scales = {name: decoder.scale.scale for name, decoder in decoders.items()}
        self.tables, self.residual = tables, ResidualLoss(tables)

    def forward(self, output: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Return the scalar loss of normalised outputs (B, T, dim)."""
        fields = {
            name: (batch.extra[f"base.{name}"] + self.scales[name] * y.double())[:, 0]
            for name, y in output.items()
        }
        return self.residual(self.tables.solution(fields), batch.extra["z"]).float()


def _norm(error: Tensor, product: nn.Module) -> Tensor:
    """‖e‖_G (B) of e (B, T, dim)."""
    batch, steps, dim = error.shape
    columns = error.reshape(batch * steps, dim).T.contiguous()
    squares = (columns * product(columns)).sum(dim=0).reshape(batch, steps).sum(dim=1)
    return (squares.clamp_min(0) + TINY).sqrt()
