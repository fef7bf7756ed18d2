"""What processors on regular grids share: convolutions by dimension, coarsening, padding.

Grid points lie on the closed boundary, so a mesh of resolution 64 has 65 points an axis. Of an odd
number of points every second one is kept and both ends stay; of an even number, pairs are merged:
n points become ⌈n/2⌉ either way.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from pipeline.operators.errors import TrainingError

__all__ = ["CONV", "CONV_TRANSPOSE", "Padded", "Shape", "coarsenings", "image_dimension"]

type Shape = tuple[int, ...]

CONV: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
CONV_TRANSPOSE: dict[int, type[nn.Module]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


def image_dimension(shape: Shape, kind: str) -> int:
    """The number of axes of a grid.

    Raises:
        TrainingError: There are no convolutions in so many dimensions, or an axis is too short.
    """
    if len(shape) not in CONV or min(shape) < 3:
        raise TrainingError(
            f"{kind} works on grids of 1 to 3 axes with at least 3 points each, and this grid is "
            f"{'x'.join(map(str, shape))}: take another grid, or an operator on dofs such as spon"
        )
    return len(shape)


def coarsenings(shape: Shape, levels: int | None, most: int, least: int, kind: str) -> list[Shape]:
    """Shapes of nested grids, finest first.

    Args:
        shape: Of the finest grid.
        levels: How many grids; None: as many as the next two allow.
        most: At most so many grids, if `levels` is None.
        least: The shortest axis keeps so many points, if `levels` is None.
        kind: Names the operator in messages.

    Raises:
        TrainingError: The grid cannot be halved that often.
    """
    shapes = [shape]
    while len(shapes) < (levels or most):
        coarse = tuple((n + 1) // 2 for n in shapes[-1])
        if min(coarse) < (2 if levels else least):
            break
        shapes.append(coarse)
    if levels and len(shapes) < levels:
        raise TrainingError(
            f"{kind}: {levels} levels asked for, and a grid of {'x'.join(map(str, shape))} points "
            f"has {len(shapes)}: set levels to at most {len(shapes)}, or take a finer grid"
        )
    return shapes


class Padded(nn.Module):
    """A net for a larger grid: its input is prolonged by the last value, its output cropped."""

    def __init__(self, net: nn.Module, shape: Shape, padded: Shape):
        super().__init__()
        self.net = net
        self.shape = shape
        # functional.pad counts from the last axis: (before, after) each.
        self.pad = [
            p for n, m in zip(reversed(shape), reversed(padded), strict=True) for p in (0, m - n)
        ]

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, *shape) → (B, c_out, *shape)."""
        y = self.net(functional.pad(x, self.pad, mode="replicate") if any(self.pad) else x)
        for axis, n in enumerate(self.shape, start=2):
            y = y.narrow(axis, 0, n)
        return y
