"""The base of every part of a spec, and the types that several parts share."""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from pipeline.expressions import number, parse

__all__ = ["Expression", "SpaceSpec", "SpecModel", "identity"]


class SpecModel(BaseModel):
    """Part of a spec: unknown keys are mistakes, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    REVISION: ClassVar[int | None] = None
    """Set on whatever draws or discretises; raised when equal specs would give other data."""


def identity(value: Any) -> Any:
    """What determines the data, as plain JSON: the fields and the revisions of all parts."""
    if isinstance(value, SpecModel):
        fields = {name: identity(getattr(value, name)) for name in type(value).model_fields}
        revision = type(value).REVISION
        return fields if revision is None else fields | {"revision": revision}
    if isinstance(value, tuple | list):
        return [identity(item) for item in value]
    return value


def _expression_text(value: Any) -> Any:
    return repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _normal_form(text: str) -> str:
    """One text for equal expressions, so that the data key doesn't hang on how it was written."""
    if (value := number(text)) is not None:
        return repr(value)
    expr = parse(text)
    return repr(float(expr)) if expr.is_number else str(expr)


Expression = Annotated[
    str,
    BeforeValidator(_expression_text),
    AfterValidator(_normal_form),
    Field(
        json_schema_extra={"type": ["string", "number"]},
        description='A number, or an expression in x and y such as "sin(pi*x)*y".',
    ),
]


class SpaceSpec(SpecModel):
    """A scalar finite-element space on the data set's mesh."""

    family: str = Field(description='UFL family: "P" (continuous) or "DG" (discontinuous).')
    degree: Annotated[int, Field(ge=0, le=10)] = Field(description="Polynomial degree.")
