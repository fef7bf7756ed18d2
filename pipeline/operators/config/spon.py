"""SPON and its processors in a spec. Importing this loads pydantic only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.operators.config.base import Config
from pipeline.operators.config.points import AttentionProcessor, DenseProcessor

__all__ = ["MessagesProcessor", "MultigridProcessor", "SponConfig", "VcycleProcessor"]


class MessagesProcessor(Config):
    """Message passing on the dof graph, and across the domain through modes of the space."""

    kind: Literal["messages"] = "messages"
    width: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=24, description="Channels at every node; good values 16–48."
    )
    layers: Annotated[int, Field(ge=1, le=64)] = Field(
        default=4, description="Message-passing layers; good values 3–6."
    )
    modes: Annotated[int, Field(ge=0, le=4096)] = Field(
        default=96,
        description="Low-frequency eigenvectors of (stiffness, mass) that carry messages across "
        "the whole domain; 0: neighbours only, too short-sighted for elliptic problems.",
    )


class MultigridProcessor(Config):
    """SPON-MG: light layers on fine meshes, a larger model on the coarsest."""

    kind: Literal["multigrid"] = "multigrid"
    width: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=24, description="Channels at every node of all levels; good values 16–48."
    )
    levels: Annotated[int, Field(ge=2, le=12)] = Field(
        default=3, description="Meshes that are used, the finest included; `mesh.levels` at most."
    )
    layers: Annotated[int, Field(ge=1, le=64)] = Field(
        default=4, description="Layers on the coarsest level; good values 3–6."
    )
    smoothings: Annotated[int, Field(ge=1, le=8)] = Field(
        default=1, description="Layers of neighbours' messages on each finer level, on the way up."
    )
    modes: Annotated[int, Field(ge=0, le=4096)] = Field(
        default=96, description="Modes that carry messages across the coarsest level; 0: none."
    )


class VcycleProcessor(Config):
    """MgNO's layers (arXiv 2310.19809) on the data set's meshes: linear V-cycles."""

    kind: Literal["vcycle"] = "vcycle"
    width: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=24, description="Channels at every node of all levels; good values 16–32."
    )
    levels: Annotated[int, Field(ge=2, le=12)] = Field(
        default=3, description="Meshes that are used, the finest included; `mesh.levels` at most."
    )
    layers: Annotated[int, Field(ge=1, le=64)] = Field(
        default=4, description="V-cycles with a nonlinearity behind each; good values 3–6."
    )


class SponConfig(Config):
    """SPON (arXiv 2410.01065): Galerkin encoder, a processor on dofs, Galerkin decoder."""

    kind: Literal["spon"] = "spon"
    processor: Annotated[
        MessagesProcessor
        | MultigridProcessor
        | VcycleProcessor
        | AttentionProcessor
        | DenseProcessor,
        Field(discriminator="kind"),
    ] = Field(default=MessagesProcessor(), description="What is learnt.")
    conserve: tuple[str, ...] = Field(
        default=(),
        description="Flux outputs whose divergence is exact, whatever is learnt: a particular "
        "flux, plus the curl of a learnt potential, plus a flux through each hole.",
    )
