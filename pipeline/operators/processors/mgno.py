"""MgNO, the multigrid neural operator (He, Liu, Xu, ICLR 2024, arXiv 2310.19809).

A layer is x ← GELU(V(x) + B x + b), V a multigrid V-cycle of convolutions with nothing nonlinear
in it, B pointwise. On level l with right-hand side f, from u = 0 on the finest:

    u ← u + S (f − A u)                       smoothing; twice on the coarsest level
    u_{l+1} = Π u,  f_{l+1} = R f             down
    u ← u + P u_{l+1}                         up, without smoothing

S, A, Π, R are 3-point stencils, the last two of stride 2. P is a transposed convolution: 4 points
where pairs were merged, 3 points (as linear interpolation) where every second point was kept. So
any number of points works without padding, and even grids have the paper's parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.operators.config.grid import MgnoConfig
from pipeline.operators.processors.grids import (
    CONV,
    CONV_TRANSPOSE,
    Shape,
    coarsenings,
    image_dimension,
)

__all__ = ["Mgno", "VCycle", "make"]

MOST_LEVELS = 6
LEAST_POINTS = 3  # an odd grid of three points still has one inside


class Smoothing(nn.Module):
    """u + S (f − A u); with `first`, u = 0 and so S f, without A."""

    def __init__(self, dim: int, c_f: int, c_u: int, boundary: str, first: bool = False):
        super().__init__()
        self.S = CONV[dim](c_f, c_u, 3, padding=1, bias=False, padding_mode=boundary)
        self.A = (
            None if first else CONV[dim](c_u, c_f, 3, padding=1, bias=False, padding_mode=boundary)
        )

    def forward(self, u: Tensor | None, f: Tensor) -> Tensor:
        """(B, c_u, *grid), (B, c_f, *grid) → (B, c_u, *grid)."""
        if self.A is None or u is None:
            return self.S(f)
        return u + self.S(f - self.A(u))


class VCycle(nn.Module):
    """One linear V-cycle from a right-hand side of c_f channels to a correction of c_u.

    Args:
        shapes: Of the grids, finest first.
        c_f: Channels of the right-hand side.
        c_u: Channels of the correction.
        boundary: Padding of the stencils, `zeros`, `reflect` or `circular`.
    """

    def __init__(self, shapes: list[Shape], c_f: int, c_u: int, boundary: str):
        super().__init__()
        dim = len(shapes[0])

        def restriction(channels: int) -> nn.Module:
            return CONV[dim](
                channels, channels, 3, stride=2, padding=1, bias=False, padding_mode=boundary
            )

        def prolongation(fine: Shape) -> nn.Module:
            kernel = tuple(3 if n % 2 else 4 for n in fine)
            return CONV_TRANSPOSE[dim](c_u, c_u, kernel, stride=2, padding=1, bias=False)

        last = len(shapes) - 1
        self.smooth = nn.ModuleList(
            Smoothing(dim, c_f, c_u, boundary, first=level == 0) for level in range(len(shapes))
        )
        self.smooth_again = Smoothing(dim, c_f, c_u, boundary)
        self.restrict_u = nn.ModuleList(restriction(c_u) for _ in range(last))
        self.restrict_f = nn.ModuleList(restriction(c_f) for _ in range(last))
        self.prolong = nn.ModuleList(prolongation(fine) for fine in shapes[:-1])

    def forward(self, f: Tensor) -> Tensor:
        """(B, c_f, *finest) → (B, c_u, *finest)."""
        u = self.smooth[0](None, f)
        done = []
        for restrict_u, restrict_f, smooth in zip(
            self.restrict_u, self.restrict_f, self.smooth[1:], strict=True
        ):
            done.append(u)
            u, f = restrict_u(u), restrict_f(f)
            u = smooth(u, f)
        u = self.smooth_again(u, f)
        for prolong, fine in zip(reversed(self.prolong), reversed(done), strict=True):
            u = fine + prolong(u)
        return u


class Mgno(nn.Module):
    """Layers of V-cycles, then a pointwise linear head; no lifting, no projection."""

    def __init__(self, config: MgnoConfig, shapes: list[Shape], c_in: int, c_out: int):
        super().__init__()
        conv, width = CONV[len(shapes[0])], config.width
        inputs = [c_in] + [width] * (config.layers - 1)
        self.cycles = nn.ModuleList(VCycle(shapes, c, width, config.boundary) for c in inputs)
        self.local = nn.ModuleList(conv(c, width, 1) for c in inputs)
        self.head = conv(width, c_out, 1, bias=False)
        # Two-dimensional convolutions on the CPU run faster with the channels side by side.
        self.format = torch.channels_last if len(shapes[0]) == 2 else torch.contiguous_format
        self.to(memory_format=self.format)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, *shape) → (B, c_out, *shape)."""
        x = x.contiguous(memory_format=self.format)
        for cycle, local in zip(self.cycles, self.local, strict=True):
            x = functional.gelu(cycle(x) + local(x))
        return self.head(x)


def make(config: MgnoConfig, shape: Shape, c_in: int, c_out: int) -> nn.Module:
    """MgNO on a grid.

    Raises:
        TrainingError: The grid has no or more than three axes, or fewer levels than asked for.
    """
    image_dimension(shape, config.kind)
    shapes = coarsenings(shape, config.levels, MOST_LEVELS, LEAST_POINTS, config.kind)
    return Mgno(config, shapes, c_in, c_out)
