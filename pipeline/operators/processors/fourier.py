"""Fourier neural operators of the neuraloperator library: FNO and U-NO.

A layer is x ← GELU(F⁻¹ R F x + W x), F the Fourier transform, R a learnt matrix for each of the
lowest modes (Li et al., ICLR 2021, arXiv 2010.08895). U-NO runs it on two grids with links between
equal ones (Rahman et al., TMLR 2023, arXiv 2204.11127).

The series is periodic, so the grid is prolonged at the far ends. The coordinates of the points are
among the input channels already: the library's own grid embedding is off.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from math import ceil

from torch import nn

from pipeline.operators.config.grid import FnoConfig, UnoConfig
from pipeline.operators.processors.grids import Padded, Shape, image_dimension

__all__ = ["fft_size", "make_fno", "make_uno"]


def fft_size(n: int) -> int:
    """The least even number not below n without prime factors above 5: there FFTs are quick."""
    size = n + n % 2
    while not _smooth(size):
        size += 2
    return size


def _smooth(n: int) -> bool:
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1


def _prolonged(shape: Shape, share: float) -> Shape:
    """The grid that the transform sees; without padding the grid itself, which is periodic."""
    return tuple(fft_size(ceil(n * (1 + share))) for n in shape) if share else shape


def _modes(modes: int, shape: Shape) -> tuple[int, ...]:
    """At most what each axis resolves, even: the library would carry dead weights otherwise."""
    return tuple(max(2, min(modes, n) // 2 * 2) for n in shape)


def _tensors_only(module: nn.Module) -> nn.Module:
    """The library puts its options into the state: no tensor, and strict loading refuses it."""

    def drop(module: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
        state.pop("_metadata", None)

    module.register_state_dict_post_hook(drop)
    return module


def make_fno(config: FnoConfig, shape: Shape, c_in: int, c_out: int) -> nn.Module:
    """FNO on a grid, (B, c_in, *shape) → (B, c_out, *shape).

    Raises:
        TrainingError: The grid has no or more than three axes.
    """
    image_dimension(shape, config.kind)
    from neuralop.models import FNO  # seconds: only where it is needed

    padded = _prolonged(shape, config.padding)
    net = FNO(
        n_modes=_modes(config.modes, padded),
        in_channels=c_in,
        out_channels=c_out,
        hidden_channels=config.width,
        n_layers=config.layers,
        positional_embedding=None,
    )
    return _tensors_only(Padded(net, shape, padded))


def make_uno(config: UnoConfig, shape: Shape, c_in: int, c_out: int) -> nn.Module:
    """U-NO of five layers, the middle three on a grid half as fine.

    Raises:
        TrainingError: The grid has no or more than three axes.
    """
    dim = image_dimension(shape, config.kind)
    from neuralop.models import UNO

    padded = _prolonged(shape, config.padding)
    fine = _modes(config.modes, padded)
    coarse = _modes(config.modes // 2, tuple(n // 2 for n in padded))
    width = config.width
    with redirect_stdout(StringIO()):  # the library prints its options while it builds
        net = UNO(
            in_channels=c_in,
            out_channels=c_out,
            hidden_channels=width,
            lifting_channels=2 * width,
            projection_channels=2 * width,
            positional_embedding=None,
            n_layers=5,
            channel_mlp_skip="linear",  # the default needs as many channels out as in
            uno_out_channels=[width, 2 * width, 2 * width, 2 * width, width],
            uno_n_modes=[list(fine), list(coarse), list(coarse), list(coarse), list(fine)],
            uno_scalings=[[s] * dim for s in (1.0, 0.5, 1.0, 2.0, 1.0)],
        )
    return Padded(net, shape, padded)
