"""Comparisons of operators in a spec. Importing this loads pydantic only."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from pipeline.operators.config.base import Config
from pipeline.operators.config.train import Control, TrainConfig

__all__ = ["CompareConfig", "OutOfDistribution"]

type Count = Annotated[int, Field(ge=1)]
type Seed = Annotated[int, Field(ge=0, lt=2**63)]
type Tolerance = Annotated[float, Field(gt=0, lt=1)]


class OutOfDistribution(Config):
    """Samples unlike those trained on: another data set, or values of a number that are left out.

    With a number, operators are trained anew on the samples inside, and tested on both sides.
    """

    folder: str | None = Field(
        default=None, description="A data set with the same mesh and spaces, such as another law."
    )
    parameter: str | None = Field(
        default=None,
        description="What is looked at: a parameter, or mean(a), std(a), rms(a) of an input field.",
    )
    above: float | None = Field(default=None, description="Larger values are outside.")
    below: float | None = Field(default=None, description="Smaller values are outside.")

    @model_validator(mode="after")
    def _one_kind(self) -> OutOfDistribution:
        bounds = [bound for bound in (self.above, self.below) if bound is not None]
        if (self.folder is None) == (self.parameter is None):
            raise ValueError("give either a folder or a parameter")
        if bool(bounds) != (self.parameter is not None):
            raise ValueError("give above, below or both with a parameter, and with nothing else")
        if self.above is not None and self.below is not None and self.below >= self.above:
            raise ValueError(f"nothing is inside below {self.below:g} and above {self.above:g}")
        return self

    @property
    def inside(self) -> str:
        """The condition of samples that are trained on, see `storage.selection`."""
        parts = [f"{self.parameter} <= {self.above!r}"] if self.above is not None else []
        parts += [f"{self.parameter} >= {self.below!r}"] if self.below is not None else []
        return " and ".join(parts)


class CompareConfig(Config):
    """Operators against each other and against the controls, on equal terms."""

    operators: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)] = Field(
        description="Operators, `{kind: fno, width: 16}`, or what replaces keys of `train`, "
        "`{operator: {kind: fno}, lr: 1.0e-3}`."
    )
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        default=(0, 1, 2), description="Each operator is trained with every one."
    )
    budget_seconds: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Train each for so long instead of `train.epochs`."
    )
    samples: tuple[Count, ...] = Field(
        default=(), description="Error against number of training samples: these numbers."
    )
    tolerances: tuple[Tolerance, ...] = Field(
        default=(),
        description="Error against accuracy of the labels: solve the samples again with each of "
        "these `rtol`, train on them, and test on this data set's own.",
    )
    out_of_distribution: OutOfDistribution | None = Field(
        default=None, description="Test on samples unlike those trained on."
    )
    transfer: tuple[str, ...] = Field(
        default=(), description="Data sets on other meshes; operators are tested there untrained."
    )
    controls: tuple[Control, ...] = Field(
        default=("mean", "nearest", "pod_ridge"), description="What needs no network."
    )

    @model_validator(mode="after")
    def _are_trainings(self) -> CompareConfig:
        self.trainings(TrainConfig())
        return self

    def trainings(self, base: TrainConfig) -> list[TrainConfig]:
        """Return the config of each operator's training, seeds left alone.

        Raises:
            ValueError: an entry is no operator and replaces no keys of `train`.
        """
        common = base.model_dump(mode="json") | {"controls": []}
        if self.budget_seconds is not None:
            common["budget_seconds"] = self.budget_seconds
        found = []
        for number, entry in enumerate(self.operators):
            changes = {"operator": entry} if "kind" in entry else dict(entry)
            try:
                found.append(TrainConfig.model_validate(common | changes))
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                raise ValueError(f"operators.{number}: {where}: {first['msg']}") from error
        return found
