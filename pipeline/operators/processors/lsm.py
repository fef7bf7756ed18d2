"""Latent spectral model (Wu et al., ICML 2023, arXiv 2301.12664), from the paper's description.

A U-Net whose links, and whose coarsest level, are neural spectral blocks. In each patch of the
grid a few latent tokens T gather what the points x hold, pass through a trigonometric series, and
hand the result back:

    T ← T₀ + Attention(T₀ from x),    T ← T + W₀ T + Σ_m (a_m sin(π m T / M) + b_m cos(π m T / M)),
    x ← x + Attention(x from T)

with M terms m = 0 … M−1 and channel-wise a_m, b_m. Other than in the paper, groups of channels are
normalised instead of batches (small ones here), odd grids are coarsened by keeping every second
point, and patches are completed on each level by repeating the last point.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.operators.config.grid import LsmConfig
from pipeline.operators.errors import TrainingError
from pipeline.operators.processors.grids import CONV, Shape, coarsenings, image_dimension

__all__ = ["Lsm", "SpectralBlock", "make"]

MOST_LEVELS = 5
LEAST_POINTS = 3
POOL = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


class SpectralBlock(nn.Module):
    """Patches → latent tokens → trigonometric series → patches, with a residual.

    Args:
        config: Sizes of the tokens.
        shape: Of the grid.
        channels: Of the image; a multiple of the heads.
    """

    frequencies: Tensor

    def __init__(self, config: LsmConfig, shape: Shape, channels: int):
        super().__init__()
        self.heads, self.patch, self.shape = config.heads, config.patch, shape
        self.tokens = nn.Parameter(torch.randn(config.tokens, channels) / math.sqrt(channels))
        self.gather_key = nn.Linear(channels, channels)
        self.gather_value = nn.Linear(channels, channels)
        self.constant = nn.Linear(channels, channels, bias=False)
        self.series = nn.Parameter(torch.randn(2 * config.basis, channels) / channels)
        self.scatter_query = nn.Linear(channels, channels)
        self.scatter_key = nn.Linear(channels, channels)
        self.scatter_value = nn.Linear(channels, channels)
        self.register_buffer("frequencies", math.pi / config.basis * torch.arange(config.basis))
        counts = [-(-n // config.patch) for n in shape]
        # functional.pad counts from the last axis: (before, after) each.
        self.fill = [
            p
            for n, k in zip(reversed(shape), reversed(counts), strict=True)
            for p in (0, k * config.patch - n)
        ]
        self.counts = counts

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *shape) → (B, C, *shape)."""
        points = self._patches(functional.pad(x, self.fill, mode="replicate"))
        tokens = self.tokens + self._gather(points)
        waves = tokens.unsqueeze(-2) * self.frequencies[:, None]
        basis = torch.cat([waves.sin(), waves.cos()], dim=-2)
        tokens = tokens + self.constant(tokens) + (basis * self.series).sum(-2)
        return x + self._image(self._scatter(points, tokens))

    def _gather(self, points: Tensor) -> Tensor:
        """Attention of the initial tokens to the points of a patch, (N, p, C) → (N, t, C)."""
        key, value = self.gather_key(points), self.gather_value(points)
        query = _split(self.tokens.unsqueeze(0), self.heads)
        weights = query @ _split(key, self.heads).transpose(-1, -2)
        scale = math.sqrt(query.shape[-1])
        return _join((weights / scale).softmax(-1) @ _split(value, self.heads))

    def _scatter(self, points: Tensor, tokens: Tensor) -> Tensor:
        """Attention of the points to the tokens of their patch, (N, p, C) → (N, p, C)."""
        query = _split(self.scatter_query(points), self.heads)
        key = _split(self.scatter_key(tokens), self.heads)
        value = _split(self.scatter_value(tokens), self.heads)
        weights = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return _join(weights.softmax(-1) @ value)

    def _patches(self, x: Tensor) -> Tensor:
        """(B, C, *filled) → (B · patches, points of a patch, C)."""
        batch, channels, *_ = x.shape
        dim = len(self.counts)
        x = x.reshape(batch, channels, *(s for k in self.counts for s in (k, self.patch)))
        outer = range(2, 2 + 2 * dim, 2)
        inner = range(3, 3 + 2 * dim, 2)
        return x.permute(0, *outer, *inner, 1).reshape(-1, self.patch**dim, channels)

    def _image(self, points: Tensor) -> Tensor:
        """The inverse of `_patches`, cropped to the grid."""
        channels, dim = points.shape[-1], len(self.counts)
        x = points.reshape(-1, *self.counts, *([self.patch] * dim), channels)
        pairs = (axis for i in range(1, 1 + dim) for axis in (i, i + dim))
        x = x.permute(0, 1 + 2 * dim, *pairs)
        x = x.reshape(-1, channels, *(k * self.patch for k in self.counts))
        for axis, n in enumerate(self.shape, start=2):
            x = x.narrow(axis, 0, n)
        return x


def _split(x: Tensor, heads: int) -> Tensor:
    """(N, p, C) → (N, heads, p, C/heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _join(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def _double_convolution(dim: int, c_in: int, c_out: int) -> nn.Sequential:
    """Two 3-point convolutions, each normalised in four groups (or one), then GELU."""
    groups = math.gcd(4, c_out)
    layers: list[nn.Module] = []
    for channels in (c_in, c_out):
        layers.append(CONV[dim](channels, c_out, 3, padding=1, bias=False))
        layers.append(nn.GroupNorm(groups, c_out))
        layers.append(nn.GELU())
    return nn.Sequential(*layers)


class Lsm(nn.Module):
    """The U-Net: d, 2d, 4d, 8d, 8d channels down, spectral blocks across, concatenated up."""

    def __init__(self, config: LsmConfig, shapes: list[Shape], c_in: int, c_out: int):
        super().__init__()
        self.shapes, self.dim = shapes, len(shapes[0])
        dim, d = self.dim, config.width
        channels = [d, 2 * d, 4 * d, 8 * d, 8 * d][: len(shapes)]
        # The first image is lifted before normalisation, which would hide its size.
        self.lift = CONV[dim](c_in, d, 1)
        self.down = nn.ModuleList(
            _double_convolution(dim, c, e) for c, e in zip([d, *channels], channels, strict=False)
        )
        self.across = nn.ModuleList(
            SpectralBlock(config, shape, c) for shape, c in zip(shapes, channels, strict=True)
        )
        self.up = nn.ModuleList(
            _double_convolution(dim, channels[i] + channels[i + 1], channels[i])
            for i in range(len(shapes) - 1)
        )
        self.head = nn.Sequential(CONV[dim](2 * d, 128, 1), nn.GELU(), CONV[dim](128, c_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, *shape) → (B, c_out, *shape)."""
        lifted = self.lift(x)
        image, links = lifted, []
        for level, down in enumerate(self.down):
            image = down(self._coarsen(image, self.shapes[level - 1]) if level else image)
            links.append(image)
        image = self.across[-1](links[-1])
        for level in reversed(range(len(self.up))):
            image = functional.interpolate(
                image, self.shapes[level], mode=INTERPOLATION[self.dim], align_corners=True
            )
            image = self.up[level](torch.cat([self.across[level](links[level]), image], dim=1))
        return self.head(torch.cat([lifted, image], dim=1))

    def _coarsen(self, image: Tensor, shape: Shape) -> Tensor:
        """Largest of each pair of points, or of three around each kept one of an odd grid."""
        kernel = tuple(3 if n % 2 else 2 for n in shape)
        padding = tuple(n % 2 for n in shape)
        return POOL[self.dim](image, kernel, stride=2, padding=padding)


def make(config: LsmConfig, shape: Shape, c_in: int, c_out: int) -> nn.Module:
    """LSM on a grid.

    Raises:
        TrainingError: The grid has no or more than three axes, or fewer levels than asked for, or
            the heads do not divide the channels.
    """
    image_dimension(shape, config.kind)
    if config.width % config.heads:
        raise TrainingError(
            f"lsm: width {config.width} is no multiple of heads {config.heads}: change one of them"
        )
    shapes = coarsenings(shape, config.levels, MOST_LEVELS, LEAST_POINTS, config.kind)
    return Lsm(config, shapes, c_in, c_out)
