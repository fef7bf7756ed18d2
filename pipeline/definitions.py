"""Splits, and further problems that the samples of a data set are used for."""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from pipeline.models import SpecModel
from storage import BadSelection
from storage.selection import parse_condition

__all__ = ["DefinitionName", "DefinitionSpec", "SplitSpec", "check_definition"]

DefinitionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class SplitSpec(SpecModel):
    """Shares of training, validation and test samples, drawn by a hash of (seed, id)."""

    train: Annotated[float, Field(ge=0, le=1)] = Field(0.8, description="To fit on.")
    validation: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="To pick the best epoch and the controls' parameters on."
    )
    test: Annotated[float, Field(ge=0, le=1)] = Field(0.1, description="To report on, once.")

    @model_validator(mode="after")
    def _sum(self) -> "SplitSpec":
        total = self.train + self.validation + self.test
        if total > 1 + 1e-12:
            raise ValueError(f"the shares add up to {total:g}; allowed: at most 1")
        return self


class DefinitionSpec(SpecModel):
    """A problem that samples are used for: what is given and asked for, and its splits."""

    description: str = Field("", description="What it is for.")
    inputs: tuple[str, ...] | None = Field(
        None, description="Input fields and parameters that are given; null: all."
    )
    outputs: tuple[str, ...] | None = Field(None, description="Output fields; null: all.")
    splits: SplitSpec | None = Field(None, description="Its shares; null: those of the data set.")
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        None, description="Seed of its splits; null: that of the data set."
    )
    ood: str | None = Field(
        None,
        description="Samples for which this holds are its split `ood` and in no other one: "
        "comparisons of parameters, or of mean(a), std(a), rms(a) of input fields, with numbers, "
        "joined by `and`. Null: none.",
    )

    @field_validator("ood")
    @classmethod
    def _condition(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_condition(value)
            except BadSelection as error:
                raise ValueError(str(error)) from None
        return value


def check_definition(
    where: str, wanted: DefinitionSpec, given: Sequence[str], asked: Sequence[str]
) -> None:
    """Raise ValueError if a definition speaks of what its data set won't have.

    Args:
        where: the definition is in the spec.
        wanted: the definition.
        given: what is random: input fields and parameters.
        asked: output fields.
    """
    parts = parse_condition(wanted.ood) if wanted.ood is not None else []
    described = [re.sub(r"(?:mean|std|rms)\((.*)\)", r"\1", name) for name, _, _ in parts]
    for key, names, known in (
        ("inputs", wanted.inputs or (), given),
        ("outputs", wanted.outputs or (), asked),
        ("ood", described, given),
    ):
        for name in names:
            if name not in known:
                raise ValueError(f"{where}.{key}: {name!r} is not one of {', '.join(known)}")
