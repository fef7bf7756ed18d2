"""The base processor of SPON: messages between nodes.

Features h (n nodes, B samples, w channels). One layer, with the message kernels A_k (`fe.graph`)
and the modes Φ of the level:

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

from collections.abc import Sequence

import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn import functional

from pipeline.operators.config.spon import MessagesProcessor
from pipeline.operators.fe.levels import Level
from pipeline.operators.fe.sparse import SparseProduct

__all__ = ["Far", "Layer", "MessagePassing", "Near", "head", "known_features"]

HEAD = 64


class MessagePassing(nn.Module):
    """Processor P_θ: (B, n, c_in) → (B, n, c_out)."""

    features: Tensor

    def __init__(self, config: MessagesProcessor, level: Level, c_in: int, c_out: int) -> None:
        """Set up fixed kernels and random weights."""
        super().__init__()
        self.register_buffer("features", known_features(level), persistent=False)
        self.near = Near(level.kernels)
        self.far = Far(level, config.modes)
        self.lift = nn.Linear(c_in + self.features.shape[1], config.width)
        self.layers = nn.ModuleList(
            Layer(config.width, self.near.count, self.far.spaces) for _ in range(config.layers)
        )
        self.head = head(config.width, c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the processed values: (B, n, c_in) → (B, n, c_out)."""
        known = self.features.expand(len(x), -1, -1)
        h = self.lift(torch.cat([x, known], dim=-1)).transpose(0, 1).contiguous()
        for layer in self.layers:
            h = h + layer(h, self.near, self.far)
        return self.head(h).transpose(0, 1)


class Layer(nn.Module):
    """One layer of messages; its update of h is returned."""

    def __init__(self, width: int, kernels: int, spaces: int = 0) -> None:
        super().__init__()
        self.near = nn.Linear(width * (1 + kernels), width)
        self.far = nn.Parameter(torch.randn(spaces, width, width) / width)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, near: Near, far: Far | None = None) -> Tensor:
        """Return σ(m + b) V + c, (n, B, w)."""
        message = self.near(near(h))
        if far is not None and len(self.far):
            message = message + far(h, self.far)
        return self.out(functional.gelu(message))


class Near(nn.Module):
    """Neighbours' messages: h (n, B, w) → [h, A_1 h, …] (n, B, (1 + k) w)."""

    def __init__(self, kernels: Sequence[csr_matrix]) -> None:
        super().__init__()
        self.count = len(kernels)
        self.kernels = nn.ModuleList(SparseProduct(kernel) for kernel in kernels)

    def forward(self, h: Tensor) -> Tensor:
        """Return h and all messages side by side."""
        return torch.cat([h, *(kernel(h) for kernel in self.kernels)], dim=-1)


class Far(nn.Module):
    """Messages across the domain: h → Σ_s Φ_s (Φ_sᵀ M h) R_s.

    Attributes:
        spaces: number of eigenspaces, each with its own R_s.
    """

    vectors: Tensor
    dual: Tensor
    space: Tensor

    def __init__(self, level: Level, count: int) -> None:
        super().__init__()
        modes = level.modes(count)
        vectors = torch.from_numpy(modes.vectors).float()  # as checkpoints have them
        dual = torch.from_numpy(level.mass @ vectors.double().numpy()).T.contiguous().float()
        self.register_buffer("vectors", vectors)
        self.register_buffer("dual", dual)
        self.register_buffer("space", torch.from_numpy(modes.space))
        self.spaces = int(modes.space[-1]) + 1 if len(modes.space) else 0

    def forward(self, h: Tensor, weights: Tensor) -> Tensor:
        """Return the messages (n, B, w) for R (spaces, w, w)."""
        n, batch, width = h.shape
        amplitude = (self.dual @ h.reshape(n, -1)).view(-1, batch, width)
        mixed = torch.bmm(amplitude, weights[self.space])
        return (self.vectors @ mixed.view(-1, batch * width)).view(n, batch, width)


def head(width: int, c_out: int) -> nn.Module:
    """A pointwise network from features to outputs."""
    return nn.Sequential(nn.Linear(width, HEAD), nn.GELU(), nn.Linear(HEAD, c_out))


def known_features(level: Level) -> Tensor:
    """What a node knows of itself: its features, and whether it is free (n, f)."""
    known = torch.from_numpy(level.places.features)
    return torch.cat([known, torch.from_numpy(level.free)[:, None]], dim=1).float()
