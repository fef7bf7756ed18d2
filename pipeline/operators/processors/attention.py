"""Transolver's physics attention (Wu et al., ICML 2024, arXiv 2402.02366).

Attention between all n places would cost n². Each head instead learns G slices of the domain;
places of like physical state fall into the same one, wherever they are. With a place's values
x_i (after layer norm), one head computes

    w_i = softmax(W x_i / τ)                weights of place i in the slices, Σ_g w_ig = 1
    z_g = Σ_i w_ig V x_i / Σ_i w_ig         tokens
    z'  = softmax(q kᵀ / √d) v              q, k, v linear in z: G² instead of n²
    x'_i = Σ_g w_ig z'_g                    back to the places

and a layer is h ← h + attention(LN h), h ← h + MLP(LN h). The sums run over all places, so a
permutation of the places permutes the outputs. W takes all channels of a place to each head's
slices: the paper's two linear maps in a row, as one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.operators.config.points import AttentionConfig, AttentionProcessor
from pipeline.operators.fe.places import Places

__all__ = ["Attention"]


class Attention(nn.Module):
    """Processor by attention between slices: (B, n, c_in) → (B, n, c_out)."""

    features: Tensor

    def __init__(
        self, config: AttentionConfig | AttentionProcessor, places: Places, c_in: int, c_out: int
    ) -> None:
        """Set up random weights.

        Args:
            config: sizes.
            places: their features are read beside the inputs.
            c_in: input channels.
            c_out: output channels.
        """
        super().__init__()
        features = torch.as_tensor(places.features, dtype=torch.float32)
        self.register_buffer("features", features, persistent=False)
        self.lift = _mlp(c_in + features.shape[1], 2 * config.width, config.width)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.head = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, c_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return the processed values: (B, n, c_in) → (B, n, c_out)."""
        known = self.features.expand(len(x), -1, -1)
        h = self.lift(torch.cat([x, known], dim=-1))
        for layer in self.layers:
            h = layer(h)
        return self.head(h)


class _Layer(nn.Module):
    def __init__(self, config: AttentionConfig | AttentionProcessor) -> None:
        super().__init__()
        width = config.width
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = _SliceAttention(width, config.heads, config.slices)
        self.mlp = _mlp(width, config.mlp_ratio * width, width)

    def forward(self, h: Tensor) -> Tensor:
        h = h + self.attention(self.norms[0](h))
        return h + self.mlp(self.norms[1](h))


class _SliceAttention(nn.Module):
    def __init__(self, width: int, heads: int, slices: int) -> None:
        super().__init__()
        self.heads, depth = heads, width // heads
        self.slice = nn.Linear(width, heads * slices)
        # τ, 1/2 at first; its logarithm keeps it positive.
        self.log_temperature = nn.Parameter(torch.full((heads, 1, 1), 0.5).log())
        self.value = nn.Linear(width, width)
        self.qkv = nn.Linear(depth, 3 * depth, bias=False)  # shared by the heads
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        logits = self._split(self.slice(h))
        weight = torch.softmax(logits / self.log_temperature.exp(), dim=-1)
        total = weight.sum(dim=2)[..., None]
        token = weight.mT @ self._split(self.value(h)) / (total + 1e-5)  # no one in the slice: 0
        query, key, value = self.qkv(token).chunk(3, dim=-1)
        token = functional.scaled_dot_product_attention(query, key, value)
        return self.out((weight @ token).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(B, n, heads · d) → (B, heads, n, d)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _mlp(c_in: int, hidden: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(c_in, hidden), nn.GELU(), nn.Linear(hidden, c_out))
