"""The training part of a spec. Importing this loads pydantic only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.operators.config.base import Config
from pipeline.operators.config.grid import FnoConfig, LsmConfig, MgnoConfig, UNetConfig, UnoConfig
from pipeline.operators.config.points import (
    AttentionConfig,
    DeepONetConfig,
    MeshGraphNetConfig,
    MultiONetConfig,
)
from pipeline.operators.config.spon import SponConfig

__all__ = ["Control", "OperatorConfig", "SponConfig", "Tracking", "TrainConfig"]

type Tracking = Literal["csv", "tensorboard", "mlflow"]
type Control = Literal["mean", "nearest", "pod_ridge"]


OperatorConfig = Annotated[
    SponConfig
    | FnoConfig
    | UnoConfig
    | UNetConfig
    | LsmConfig
    | MgnoConfig
    | AttentionConfig
    | MeshGraphNetConfig
    | DeepONetConfig
    | MultiONetConfig,
    Field(discriminator="kind"),
]

RATES = {"spon": 5e-3, "unet": 2e-3, "fno": 3e-3, "uno": 3e-3, "lsm": 2e-3, "mgno": 2e-3}
"""Peak learning rates where `lr` is null, of other operators 1e-3."""


class TrainConfig(Config):
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
    lr: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="Peak learning rate of the one-cycle schedule (AdamW); null: one that suits "
        "the operator, from 1e-3 to 5e-3.",
    )
    weight_decay: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1e-4, description="Decoupled weight decay of AdamW."
    )
    clip: Annotated[float, Field(gt=0)] | None = Field(
        default=1.0, description="Largest 2-norm of the gradient of all weights; null: no clipping."
    )
    loss: Literal["l2", "graph", "h1", "hdiv", "hcurl", "residual"] = Field(
        default="graph",
        description="Mean relative error in this norm, which also picks the best epoch; graph: "
        "H1, H(div) or H(curl), whichever is the space's own. residual: no labels, the residual "
        "of the assembled equations in the dual norm.",
    )
    log_inputs: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Take logarithms of inputs; auto: of those whose training values are all "
        "positive and vary by more than a factor of 2.",
    )
    definition: str | None = Field(
        default=None,
        description="Learn one of the data set's problem definitions, with its fields and splits; "
        "null: the data set as it is.",
    )
    inputs: tuple[str, ...] | None = Field(
        default=None,
        description="Input fields and parameters to learn from; null: all of the data set.",
    )
    outputs: tuple[str, ...] | None = Field(
        default=None, description="Output fields to learn; null: all of the data set."
    )
    where: str | None = Field(
        default=None,
        description="Train and validate on samples for which this holds: comparisons of "
        "parameters, or of mean(a), std(a), rms(a) of input fields, with numbers, joined by "
        "`and`; null: on all. The test split keeps all.",
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
        "MiB; otherwise batches are read from the shards, shuffled in windows of that size.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where to train; auto: on CUDA if there is a device."
    )
    devices: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=1,
        description="Processes on this machine, one a device; each step takes batch_size samples "
        "on every one, and the gradients are averaged.",
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        default="32-true", description="Of the network's arithmetic; 16-mixed needs CUDA."
    )
    accumulate: Annotated[int, Field(ge=1, le=65_536)] = Field(
        default=1, description="Batches a step of the optimiser, where larger ones need memory."
    )
    patience: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Stop after so many epochs without a better validation error; null: never.",
    )
    budget_seconds: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Train for so long instead of `epochs`; the learning rate follows the time "
        "spent. Waiting for data counts, validation and writing don't.",
    )
    validate_every: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Epochs between validations; the last epoch always has one."
    )
    save_every: Annotated[float, Field(ge=0)] = Field(
        default=60.0, description="Seconds between states of the run from which it can go on."
    )
    workers: Annotated[int, Field(ge=0, le=256)] = Field(
        default=0,
        description="Processes that read and encode samples which don't fit in memory; 0: a "
        "thread, enough where reading takes less time than the steps.",
    )
    tracking: tuple[Tracking, ...] = Field(
        default=("csv", "tensorboard"), description="Where the figures of every epoch go."
    )
    controls: tuple[Control, ...] = Field(
        default=("mean", "nearest", "pod_ridge"),
        description="What the operator is compared with on the test split.",
    )

    @property
    def peak_lr(self) -> float:
        """The peak learning rate."""
        return self.lr or RATES.get(self.operator.kind, 1e-3)
