"""Processors on places (points, graphs) in a spec. Importing this loads pydantic only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.operators.config.base import Config

__all__ = [
    "AttentionConfig",
    "AttentionProcessor",
    "DeepONetConfig",
    "DenseProcessor",
    "MeshGraphNetConfig",
    "MultiONetConfig",
]

type Width = Annotated[int, Field(ge=1, le=4096)]
type Layers = Annotated[int, Field(ge=1, le=64)]


class _Attention(Config):
    width: Width = Field(
        default=64, description="Channels at every place, a multiple of `heads`; good 64–192."
    )
    layers: Layers = Field(default=4, description="Attention layers; good values 4–8.")
    heads: Annotated[int, Field(ge=1, le=64)] = Field(default=4, description="Attention heads.")
    slices: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=32, description="Slices (tokens) of a head; cost grows with heads × slices."
    )
    mlp_ratio: Annotated[int, Field(ge=1, le=8)] = Field(
        default=2, description="Hidden width of a layer's MLP, in multiples of `width`."
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> _Attention:
        if self.width % self.heads:
            raise ValueError(
                f"width {self.width} isn't a multiple of heads {self.heads}; "
                f"take {-(-self.width // self.heads) * self.heads}"
            )
        return self


class AttentionConfig(_Attention):
    """Transolver (arXiv 2402.02366): attention between slices of the domain."""

    kind: Literal["transolver"] = "transolver"


class AttentionProcessor(_Attention):
    """SPON's processor by Transolver's attention."""

    kind: Literal["attention"] = "attention"


class DenseProcessor(Config):
    """SPON's processor by a perceptron from all values to all values; small spaces only."""

    kind: Literal["dense"] = "dense"
    width: Width = Field(default=128, description="Hidden width.")
    layers: Layers = Field(default=2, description="Hidden layers.")
    max_parameters: Annotated[int, Field(ge=1)] = Field(
        default=10_000_000, description="Refuse spaces that need more weights than this."
    )


class MeshGraphNetConfig(Config):
    """MeshGraphNet (arXiv 2010.03409): messages along the edges of the mesh."""

    kind: Literal["meshgraphnet"] = "meshgraphnet"
    width: Width = Field(default=32, description="Channels of places and edges; the paper: 128.")
    layers: Layers = Field(
        default=6,
        description="Message-passing steps; each reaches one edge further. The paper: 15.",
    )
    checkpoint: bool = Field(
        default=True,
        description="Compute each layer again in the backward pass: a third slower, memory of "
        "1 instead of about 6 arrays (samples, edges, width) a layer.",
    )


class _BranchTrunk(Config):
    width: Width = Field(default=128, description="Hidden width of branch and trunk.")
    layers: Layers = Field(default=4, description="Layers of branch and of trunk.")
    basis: Width = Field(default=128, description="Basis functions for every output channel.")
    sensors: Annotated[int, Field(ge=1, le=65_536)] = Field(
        default=1024,
        description="Places whose values the branch reads, spread evenly over the domain; "
        "all places if there are fewer.",
    )


class DeepONetConfig(_BranchTrunk):
    """DeepONet (arXiv 1910.03193): trunk basis with coefficients from the branch."""

    kind: Literal["deeponet"] = "deeponet"

    @property
    def terms(self) -> int:
        """Number of last layers whose products enter the output."""
        return 1


class MultiONetConfig(_BranchTrunk):
    """MultiONet (DGenNO): a DeepONet that averages the products of its last layers."""

    kind: Literal["multionet"] = "multionet"
    terms: Layers = Field(
        default=3, description="Last layers whose products enter the output; 1: a DeepONet."
    )

    @model_validator(mode="after")
    def _terms_are_layers(self) -> MultiONetConfig:
        if self.terms > self.layers:
            raise ValueError(f"terms {self.terms}: there are {self.layers} layers; take fewer")
        return self
