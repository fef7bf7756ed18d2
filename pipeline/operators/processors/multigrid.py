"""SPON-MG: a processor on the levels of the mesh (arXiv 2410.01065, section on multigrid).

    down    h_{l+1} = R_l (h_l) W
    bottom  message-passing layers with far messages, on the coarsest level only
    up      h_l ← h_l + P_l (h_{l+1}) V, then light layers of neighbours' messages

P_l are the data set's prolongations and R_l their transposes with rows of sum 1: fixed and sparse.
Long ranges are crossed on the small graph; the fine ones cost a layer or two.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.operators.config.spon import MultigridProcessor
from pipeline.operators.fe.levels import Levels
from pipeline.operators.fe.sparse import SparseProduct
from pipeline.operators.processors.message_passing import Far, Layer, Near, head, known_features

__all__ = ["Multigrid"]


class Multigrid(nn.Module):
    """Processor P_θ: (B, n, c_in) → (B, n, c_out)."""

    def __init__(self, config: MultigridProcessor, levels: Levels, c_in: int, c_out: int) -> None:
        """Set up fixed kernels, transfers and random weights."""
        super().__init__()
        w, fine, coarsest = config.width, levels.levels[:-1], levels.levels[-1]
        for number, level in enumerate(levels.levels):
            self.register_buffer(f"features_{number}", known_features(level), persistent=False)
        sizes = [known_features(level).shape[1] for level in levels.levels]
        self.lift = nn.Linear(c_in + sizes[0], w)
        self.restrict = nn.ModuleList(
            SparseProduct(levels.restriction(i)) for i in range(len(fine))
        )
        self.prolong = nn.ModuleList(SparseProduct(P) for P in levels.prolongations)
        self.down = nn.ModuleList(nn.Linear(w + size, w) for size in sizes[1:])
        self.up = nn.ModuleList(nn.Linear(w, w) for _ in fine)
        near = [Near(level.kernels) for level in fine]
        self.near = nn.ModuleList(near)
        self.smoothers = nn.ModuleList(
            nn.ModuleList(Layer(w, each.count) for _ in range(config.smoothings)) for each in near
        )
        self.bottom_near, self.bottom_far = Near(coarsest.kernels), Far(coarsest, config.modes)
        self.bottom = nn.ModuleList(
            Layer(w, self.bottom_near.count, self.bottom_far.spaces) for _ in range(config.layers)
        )
        self.head = head(w, c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the processed values: (B, n, c_in) → (B, n, c_out)."""
        h = self.lift(self._with_features(x.transpose(0, 1), 0)).contiguous()
        kept = []
        for number, (restrict, down) in enumerate(zip(self.restrict, self.down, strict=True)):
            kept.append(h)
            h = down(self._with_features(restrict(h), number + 1))
        for layer in self.bottom:
            h = h + layer(h, self.bottom_near, self.bottom_far)
        for number in reversed(range(len(kept))):
            h = kept[number] + self.prolong[number](self.up[number](h))
            for layer in self.smoothers[number]:  # type: ignore[union-attr, attr-defined]
                h = h + layer(h, self.near[number])
        return self.head(h).transpose(0, 1)

    def _with_features(self, h: Tensor, number: int) -> Tensor:
        known = getattr(self, f"features_{number}")
        return torch.cat([h, known[:, None].expand(-1, h.shape[1], -1)], dim=-1)
