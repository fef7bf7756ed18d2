"""The learnt part of SPON: messages between dofs.

Features h (n dofs, B samples, w channels). One layer, with the message kernels A_k of the dof
graph and the modes Φ of the space:

    m = h W_0 + Σ_k (A_k h) W_k + Σ_s Φ_s (Φ_sᵀ M h) R_s        (near and far messages)
    h ← h + σ(m + b) V + c,   σ = GELU

The first sum is message passing over the edges of the mass matrix (SPON, arXiv 2410.01065,
section on the processor) with edge features that enter linearly. The second carries messages
across the whole domain, one matrix R_s per eigenspace: elliptic problems couple all dofs, and
layers that reach one edge further each would need as many layers as the mesh has edges across.
(A spectral layer in the space's own eigenfunctions, as in Chen et al., "Learning neural
operators on Riemannian manifolds", arXiv 2302.08166.) The nonlinearity is always local.

The layout (n, B, w) makes every step one matrix product, without transposes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.operators.fe.graph import DofGraph
from pipeline.operators.fe.modes import Modes
from pipeline.operators.fe.sparse import SparseProduct

__all__ = ["MessagePassing"]

HEAD = 64


class MessagePassing(nn.Module):
    """Processor P_θ: encoded inputs (n, B, c) → one value a dof (n, B)."""

    vectors: Tensor
    dual: Tensor
    space: Tensor
    features: Tensor

    def __init__(
        self, graph: DofGraph, modes: Modes, channels: int, width: int, layers: int
    ) -> None:
        """Set up fixed kernels and random weights.

        Args:
            graph: of the output space.
            modes: its low-frequency modes.
            channels: number of encoded inputs, c.
            width: w.
            layers: number of layers.
        """
        super().__init__()
        vectors = torch.from_numpy(modes.vectors).float()  # as checkpoints have them
        dual = torch.from_numpy(graph.mass @ vectors.double().numpy()).T.contiguous().float()
        self.register_buffer("vectors", vectors)
        self.register_buffer("dual", dual, persistent=False)
        self.register_buffer("space", torch.from_numpy(modes.space))
        features = torch.from_numpy(graph.features).float()
        self.register_buffer("features", features, persistent=False)
        self.kernels = nn.ModuleList(SparseProduct(kernel) for kernel in graph.kernels)
        self.lift = nn.Linear(channels + features.shape[1], width)
        spaces = int(modes.space[-1]) + 1 if len(modes.space) else 0
        self.layers = nn.ModuleList(_Layer(width, len(self.kernels), spaces) for _ in range(layers))
        self.head = nn.Sequential(nn.Linear(width, HEAD), nn.GELU(), nn.Linear(HEAD, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the processed values: (n, B, c) → (n, B)."""
        known = self.features[:, None].expand(-1, x.shape[1], -1)
        h = self.lift(torch.cat([x, known], dim=-1))
        for layer in self.layers:
            near = [kernel(h) for kernel in self.kernels]
            h = h + layer(h, near, self)
        return self.head(h)[..., 0]


class _Layer(nn.Module):
    def __init__(self, width: int, kernels: int, spaces: int) -> None:
        super().__init__()
        self.near = nn.Linear(width * (1 + kernels), width)
        self.far = nn.Parameter(torch.randn(spaces, width, width) / width)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, near: list[Tensor], net: MessagePassing) -> Tensor:
        message = self.near(torch.cat([h, *near], dim=-1))
        if len(self.far):
            message = message + self._far(h, net)
        return self.out(functional.gelu(message))

    def _far(self, h: Tensor, net: MessagePassing) -> Tensor:
        n, batch, width = h.shape
        amplitude = (net.dual @ h.reshape(n, -1)).view(-1, batch, width)
        mixed = torch.bmm(amplitude, self.far[net.space])
        return (net.vectors @ mixed.view(-1, batch * width)).view(n, batch, width)
