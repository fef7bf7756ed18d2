"""MeshGraphNet (Pfaff et al., ICLR 2021, arXiv 2010.03409).

Places carry v_i, directed edges j → i carry e_ij, which starts from the relative offset
(x_j − x_i)/h and its length, h the mean length. After an encoder for each, every layer is

    e_ij ← e_ij + f_E(e_ij, v_j, v_i)
    v_i  ← v_i + f_V(v_i, Σ_j e_ij)          (the updated e_ij)

with two-layer perceptrons f followed by layer norm; the head has no norm. The first matrix of
f_E is applied to v before it is copied to the edges, of which there are some six a place: the
same sum, less work. A layer reaches one edge further, so information crosses `layers` edges.

`index_add` adds in the order of the edges on a CPU: results repeat. It was as fast as
sparse products (n = 4225, 25k edges, 8 samples).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pipeline.operators.config.points import MeshGraphNetConfig
from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.places import Places

__all__ = ["MeshGraphNet"]


class MeshGraphNet(nn.Module):
    """Processor by messages along mesh edges: (B, n, c_in) → (B, n, c_out)."""

    features: Tensor
    edges: Tensor
    offsets: Tensor

    def __init__(self, config: MeshGraphNetConfig, places: Places, c_in: int, c_out: int) -> None:
        """Set up the graph and random weights.

        Args:
            config: sizes.
            places: features, points and edges (row 0 sends to row 1).
            c_in: input channels.
            c_out: output channels.

        Raises:
            TrainingError: the places have no edges.
        """
        super().__init__()
        if not places.edges.shape[1]:
            raise TrainingError(
                f"{len(places.points)} places without edges: MeshGraphNet sends messages along "
                "the edges of the mesh; take dof nodes as places, or another operator"
            )
        self.recompute = config.checkpoint
        fixed = {
            "features": torch.as_tensor(places.features, dtype=torch.float32),
            "edges": torch.as_tensor(places.edges, dtype=torch.int64),
            "offsets": torch.from_numpy(edge_features(places.points, places.edges)).float(),
        }
        for name, tensor in fixed.items():
            self.register_buffer(name, tensor, persistent=False)
        width = config.width
        self.encode_places = _normed(c_in + self.features.shape[1], width)
        self.encode_edges = _normed(self.offsets.shape[1], width)
        self.layers = nn.ModuleList(_Layer(width) for _ in range(config.layers))
        self.head = _mlp(width, width, c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the processed values: (B, n, c_in) → (B, n, c_out)."""
        known = self.features.expand(len(x), -1, -1)
        v = self.encode_places(torch.cat([x, known], dim=-1))
        e = self.encode_edges(self.offsets).expand(len(x), -1, -1)
        for layer in self.layers:
            if self.recompute and torch.is_grad_enabled():
                v, e = checkpoint(
                    layer, v, e, self.edges, use_reentrant=False, preserve_rng_state=False
                )
            else:
                v, e = layer(v, e, self.edges)
        return self.head(v)


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.own = nn.Linear(width, width)
        self.sender = nn.Linear(width, width, bias=False)
        self.receiver = nn.Linear(width, width, bias=False)
        self.message = nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.LayerNorm(width))
        self.update = _normed(2 * width, width)

    def forward(self, v: Tensor, e: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        heard = self.sender(v).index_select(1, edges[0])
        e = e + self.message(self.own(e) + heard + self.receiver(v).index_select(1, edges[1]))
        total = torch.zeros_like(v).index_add(1, edges[1], e)
        return v + self.update(torch.cat([v, total], dim=-1)), e


def edge_features(points: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ((x_j − x_i)/h, |x_j − x_i|/h) of the edges j → i, h the mean length: (E, g + 1)."""
    offset = points[edges[0]] - points[edges[1]]
    length = np.linalg.norm(offset, axis=1, keepdims=True)
    # Nodes of several fields may coincide: with nothing but zero lengths there's no scale.
    return np.hstack([offset, length]) / (length.mean() or 1.0)


def _mlp(c_in: int, width: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(c_in, width), nn.ReLU(), nn.Linear(width, c_out))


def _normed(c_in: int, width: int) -> nn.Sequential:
    return nn.Sequential(*_mlp(c_in, width, width), nn.LayerNorm(width))
