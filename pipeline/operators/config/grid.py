"""Processors on regular grids, as a spec names them. Importing this loads pydantic only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.operators.config.base import Config

__all__ = ["FnoConfig", "GridConfig", "LsmConfig", "MgnoConfig", "UNetConfig", "UnoConfig"]

type Width = Annotated[int, Field(ge=1, le=1024)]
type Levels = Annotated[int, Field(ge=2, le=12)]


class FnoConfig(Config):
    """Fourier neural operator (arXiv 2010.08895), `neuralop.models.FNO`."""

    kind: Literal["fno"] = "fno"
    width: Width = Field(default=24, description="Channels; good values 16–64.")
    layers: Annotated[int, Field(ge=1, le=64)] = Field(
        default=4, description="Fourier layers; good values 3–6."
    )
    modes: Annotated[int, Field(ge=2, le=1024)] = Field(
        default=12,
        description="Fourier modes kept along each axis, of both signs (12: −6 … 5); even, at most "
        "what the grid resolves.",
    )
    padding: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.125,
        description="Each axis is prolonged by this share, because a Fourier series is periodic "
        "and the solution is not; 0 for periodic domains.",
    )


class UnoConfig(Config):
    """U-shaped neural operator (arXiv 2204.11127), `neuralop.models.UNO`."""

    kind: Literal["uno"] = "uno"
    width: Width = Field(
        default=16, description="Channels on the grid; twice as many on the one twice as coarse."
    )
    modes: Annotated[int, Field(ge=4, le=1024)] = Field(
        default=12, description="Fourier modes along each axis; half of them on the coarse grid."
    )
    padding: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.125, description="Each axis is prolonged by this share; 0 for periodic domains."
    )


class UNetConfig(Config):
    """U-Net of residual units (arXiv 1505.04597), `monai.networks.nets.UNet`."""

    kind: Literal["unet"] = "unet"
    width: Width = Field(
        default=12, description="Channels on the finest level; doubled on every coarser one."
    )
    levels: Levels | None = Field(
        default=None,
        description="Grids, each half as fine as the one before; null: as many as leave 4 points "
        "on the shortest axis, at most 5.",
    )
    widest: Width = Field(default=96, description="No level has more channels than this.")
    units: Annotated[int, Field(ge=1, le=8)] = Field(
        default=1, description="Convolutions of a residual unit."
    )


class LsmConfig(Config):
    """Latent spectral model (arXiv 2301.12664): neural spectral blocks in a U-Net."""

    kind: Literal["lsm"] = "lsm"
    width: Annotated[int, Field(ge=1, le=256)] = Field(
        default=8,
        description="Channels d on the finest level; d, 2d, 4d, 8d, 8d on the way down.",
    )
    levels: Annotated[int, Field(ge=2, le=5)] | None = Field(
        default=None,
        description="Grids; null: as many as leave 3 points on the shortest axis, at most 5.",
    )
    tokens: Annotated[int, Field(ge=1, le=64)] = Field(
        default=4, description="Latent tokens of a patch."
    )
    heads: Annotated[int, Field(ge=1, le=64)] = Field(
        default=2, description="Heads of the attention between points and tokens; divides d."
    )
    basis: Annotated[int, Field(ge=1, le=128)] = Field(
        default=12, description="Sines and cosines of a token's value, of each this many."
    )
    patch: Annotated[int, Field(ge=2, le=64)] = Field(
        default=3, description="Points of a patch along each axis."
    )


class MgnoConfig(Config):
    """Multigrid neural operator (arXiv 2310.19809): every layer is a linear V-cycle."""

    kind: Literal["mgno"] = "mgno"
    width: Width = Field(default=24, description="Channels on every level; good values 16–32.")
    layers: Annotated[int, Field(ge=1, le=64)] = Field(
        default=4, description="V-cycles with a nonlinearity behind each; good values 3–6."
    )
    levels: Levels | None = Field(
        default=None,
        description="Grids of a V-cycle; null: as many as leave 3 points on the shortest axis, "
        "at most 6.",
    )
    boundary: Literal["zeros", "reflect", "circular"] = Field(
        default="zeros",
        description="What the 3-point stencils see beyond the boundary: zeros for Dirichlet, "
        "reflect for Neumann conditions, circular for periodic domains.",
    )


GridConfig = Annotated[
    FnoConfig | UnoConfig | UNetConfig | LsmConfig | MgnoConfig, Field(discriminator="kind")
]
