"""The base of every part of a spec, and the types that several parts share."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
)

from pipeline.expressions import number, parse

__all__ = ["PIOLA", "Expression", "SpaceSpec", "SpecModel", "UserPath", "identity"]


class SpecModel(BaseModel):
    """Part of a spec: unknown keys are mistakes, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    REVISION: ClassVar[int | None] = None
    """Set on whatever draws or discretises; raised when equal specs would give other data."""

    def identity_extra(self) -> dict[str, Any]:
        """Return what determines the data beyond the fields, such as a file's hash."""
        return {}


def _beside_the_spec(value: str, info: ValidationInfo) -> str:
    return str(((info.context or {}).get("base", Path()) / value).resolve())


UserPath = Annotated[str, AfterValidator(_beside_the_spec)]
"""A file of the user: its path is relative to the spec's folder, and kept in full."""


def identity(value: Any) -> Any:
    """What determines the data, as plain JSON: the fields and the revisions of all parts."""
    if isinstance(value, SpecModel):
        fields = {name: identity(getattr(value, name)) for name in type(value).model_fields}
        fields |= value.identity_extra()
        revision = type(value).REVISION
        return fields if revision is None else fields | {"revision": revision}
    if isinstance(value, tuple | list):
        return [identity(item) for item in value]
    if isinstance(value, dict):
        return {key: identity(item) for key, item in value.items()}
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
        description='A number, or an expression in x, y, z such as "sin(pi*x)*y".',
    ),
]


PIOLA = ("RT", "BDM", "N1curl", "N2curl")
"""Families whose functions are vectors of the mesh's dimension by themselves."""


class SpaceSpec(SpecModel):
    """A finite-element space on the data set's mesh."""

    family: str = Field(
        description="UFL family: P (on quadrilaterals Q), DG, CR, MINI, RT, BDM or N1curl."
    )
    degree: Annotated[int, Field(ge=0, le=10)] = Field(description="Polynomial degree.")
    shape: tuple[int, ...] = Field((), description="Shape of a blocked space: [2] for vectors.")

    @property
    def key(self) -> tuple[str, int, tuple[int, ...]]:
        """Family, degree and shape."""
        return self.family, self.degree, self.shape

    def value_shape(self, dim: int) -> tuple[int, ...]:
        """Return the shape of a function's values on a mesh of dimension `dim`."""
        return (dim,) if self.family in PIOLA else self.shape

    def vector(self, dim: int) -> "SpaceSpec":
        """Return the space of vectors with components in this one."""
        return SpaceSpec(family=self.family, degree=self.degree, shape=(dim,))
