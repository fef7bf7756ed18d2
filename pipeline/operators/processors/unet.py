"""U-Net (Ronneberger et al., 2015, arXiv 1505.04597) of residual units, from the MONAI library.

The finest level is the grid itself; each further one has half its points an axis and twice its
channels. No normalisation: it would take away the size of the fields, which is what is learnt.
"""

from __future__ import annotations

from torch import nn

from pipeline.operators.config.grid import UNetConfig
from pipeline.operators.processors.grids import (
    CONV,
    Padded,
    Shape,
    coarsenings,
    image_dimension,
)

__all__ = ["make"]

MOST_LEVELS = 5
LEAST_POINTS = 4


def make(config: UNetConfig, shape: Shape, c_in: int, c_out: int) -> nn.Module:
    """U-Net on a grid, (B, c_in, *shape) → (B, c_out, *shape).

    Raises:
        TrainingError: The grid has no or more than three axes, or fewer levels than asked for.
    """
    dim = image_dimension(shape, config.kind)
    levels = len(coarsenings(shape, config.levels, MOST_LEVELS, LEAST_POINTS, config.kind))
    from monai.networks.nets import UNet  # seconds: only where it is needed

    # Ordinary and transposed convolutions of stride 2 agree on sizes that can be halved.
    step = 2 ** (levels - 1)
    padded = tuple(-(-n // step) * step for n in shape)
    net = UNet(
        spatial_dims=dim,
        in_channels=c_in,
        out_channels=config.width,
        channels=[min(config.width * 2**i, config.widest) for i in range(levels + 1)],
        # The library's last block stays on the grid of the one before.
        strides=[1] + [2] * (levels - 1),
        num_res_units=config.units,
        act="GELU",
        norm=None,  # type: ignore[arg-type]  # its hints forget that it may be none
    )
    # Without a head the library squeezes the fields through c_out activations, which train badly.
    head = CONV[dim](config.width, c_out, 1)
    return Padded(nn.Sequential(net, head), shape, padded)
