"""MgNO's layers on the data set's own meshes.

He, Liu and Xu, "MgNO", ICLR 2024, arXiv 2310.19809: u ← σ(V(u) + B u), where V is one linear
V-cycle with many channels and all nonlinearity is outside. There A and S are convolutions on a
grid; here they are messages between neighbours on the levels of the mesh, and transfers are the
stored ones:

    level l     u = S_0 f;  u ← u + S (f − A u)
    down        f_{l+1} = R_l (f − A u) W
    up          u ← u + P_l (u_{l+1}) W',   u ← u + S' (f − A u)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.operators.config.spon import VcycleProcessor
from pipeline.operators.fe.levels import Levels
from pipeline.operators.fe.sparse import SparseProduct
from pipeline.operators.processors.message_passing import Near, head, known_features

__all__ = ["VcycleOnMesh"]


class VcycleOnMesh(nn.Module):
    """Processor P_θ: (B, n, c_in) → (B, n, c_out)."""

    features: Tensor

    def __init__(self, config: VcycleProcessor, levels: Levels, c_in: int, c_out: int) -> None:
        """Set up fixed kernels, transfers and random weights."""
        super().__init__()
        self.register_buffer("features", known_features(levels.levels[0]), persistent=False)
        count, w = len(levels.levels), config.width
        near = [Near(level.kernels) for level in levels.levels]
        self.near = nn.ModuleList(near)
        self.restrict = nn.ModuleList(
            SparseProduct(levels.restriction(i)) for i in range(count - 1)
        )
        self.prolong = nn.ModuleList(SparseProduct(P) for P in levels.prolongations)
        kernels = [each.count for each in near]
        self.lift = nn.Linear(c_in + self.features.shape[1], w)
        self.cycles = nn.ModuleList(_Cycle(w, kernels) for _ in range(config.layers))
        self.skips = nn.ModuleList(nn.Linear(w, w) for _ in range(config.layers))
        self.head = head(w, c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the processed values: (B, n, c_in) → (B, n, c_out)."""
        known = self.features.expand(len(x), -1, -1)
        u = self.lift(torch.cat([x, known], dim=-1)).transpose(0, 1).contiguous()
        for cycle, skip in zip(self.cycles, self.skips, strict=True):
            u = functional.gelu(cycle(u, self) + skip(u))
        return self.head(u).transpose(0, 1)


class _Cycle(nn.Module):
    """A linear V-cycle (n, B, w) → (n, B, w)."""

    def __init__(self, width: int, kernels: list[int]) -> None:
        super().__init__()

        def stencils() -> nn.ModuleList:
            return nn.ModuleList(nn.Linear((1 + k) * width, width, bias=False) for k in kernels)

        self.first, self.A, self.S = stencils(), stencils(), stencils()
        steps = len(kernels) - 1
        self.down = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(steps))
        self.up = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(steps))

    def forward(self, f: Tensor, net: VcycleOnMesh, number: int = 0) -> Tensor:
        near = net.near[number]
        u = self.first[number](near(f))
        defect = f - self.A[number](near(u))
        if number == len(self.down):
            return u + self.S[number](near(defect))
        coarse = self.down[number](net.restrict[number](defect))
        below = self(coarse, net, number + 1)
        u = u + net.prolong[number](self.up[number](below))
        return u + self.S[number](near(f - self.A[number](near(u))))
