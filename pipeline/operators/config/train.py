"""The training part of a spec. Importing this loads pydantic only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Control", "OperatorConfig", "SponConfig", "TrainConfig"]

type Control = Literal["mean", "nearest", "pod_ridge"]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SponConfig(_Config):
    """SPON (arXiv 2410.01065): FE encoder, message-passing processor on dofs, FE decoder."""

    kind: Literal["spon"] = "spon"
    width: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=24, description="Channels at every dof inside the processor; good values 16–48."
    )
    layers: Annotated[int, Field(ge=1, le=64)] = Field(
        default=4, description="Message-passing layers; good values 3–6."
    )
    modes: Annotated[int, Field(ge=0, le=4096)] = Field(
        default=96,
        description="Low-frequency eigenvectors of (stiffness, mass) that carry messages across "
        "the whole domain; 0: neighbours only, too short-sighted for elliptic problems.",
    )


# One operator so far; the next one makes this a union discriminated by `kind`.
OperatorConfig = SponConfig


class TrainConfig(_Config):
    """How an operator is fitted to a data set."""

    operator: OperatorConfig = Field(
        default=SponConfig(), description="The operator and its sizes."
    )
    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=20, description="Passes over the training split."
    )
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = Field(
        default=8, description="Samples a step."
    )
    lr: Annotated[float, Field(gt=0, le=1)] = Field(
        default=5e-3, description="Peak learning rate of the one-cycle schedule (AdamW)."
    )
    weight_decay: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1e-4, description="Decoupled weight decay of AdamW."
    )
    clip: Annotated[float, Field(gt=0)] | None = Field(
        default=1.0, description="Largest 2-norm of the gradient of all weights; null: no clipping."
    )
    loss: Literal["l2", "h1"] = Field(
        default="h1",
        description="Mean relative error in this Gram norm; it also picks the best epoch.",
    )
    log_inputs: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Take logarithms of inputs; auto: of those whose training values are all "
        "positive and vary by more than a factor of 2.",
    )
    inputs: tuple[str, ...] | None = Field(
        default=None, description="Input fields to learn from; null: all of the data set."
    )
    output: str | None = Field(
        default=None, description="Output field to learn; null: the only one of the data set."
    )
    samples: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Train on the first so many ids of the training split; null: on all.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        default=0, description="Of the initial weights and the order of the samples."
    )
    threads: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="Threads of PyTorch. More help on idle cores only: on shared ones they wait "
        "for each other (2 threads were 8 times slower than 1; OMP_WAIT_POLICY=passive helps).",
    )
    memory_mib: Annotated[int, Field(ge=0)] = Field(
        default=1024,
        description="Keep the training split in memory (float32) if it needs at most so many "
        "MiB; otherwise every batch is read from the shards.",
    )
    controls: tuple[Control, ...] = Field(
        default=("mean", "nearest", "pod_ridge"),
        description="What the operator is compared with on the test split.",
    )
