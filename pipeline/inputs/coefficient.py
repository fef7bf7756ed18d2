"""The types of a family's inputs: a number, an expression, or a law."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationInfo, WrapValidator

from pipeline.inputs.chebyshev import Chebyshev
from pipeline.inputs.file import FileSamples
from pipeline.inputs.gaussian import Gaussian, LogNormal, TwoPhase
from pipeline.inputs.multiscale import Multiscale
from pipeline.inputs.scalars import Categorical, LogUniform, Normal, Uniform
from pipeline.models import Expression

__all__ = ["Coefficient", "ScalarCoefficient", "is_field_law", "is_law"]

FieldLaws = Gaussian | LogNormal | TwoPhase | Multiscale | Chebyshev | FileSamples
ScalarLaws = Uniform | Normal | LogUniform | Categorical
_AnyLaw = Annotated[FieldLaws | ScalarLaws, Field(discriminator="law")]
_AnyScalarLaw = Annotated[ScalarLaws, Field(discriminator="law")]


def is_law(value: Any) -> bool:
    """Say whether a validated coefficient is random: a law of a field or of numbers."""
    return isinstance(value, FieldLaws | ScalarLaws)


def is_field_law(value: Any) -> bool:
    """Say whether a validated coefficient is a law of a random field."""
    return isinstance(value, FieldLaws)


def _router(plain: Any, laws: Any, expected: str) -> WrapValidator:
    """Send a plain value or a group of keys to its own type.

    A plain union would try every member and report a mistake once for each.
    """
    adapters: dict[bool, TypeAdapter[Any]] = {}

    def route(value: Any, handler: Any, info: ValidationInfo) -> Any:
        if value is None or isinstance(value, list | tuple | bool):
            raise ValueError(f"expected {expected}, or a group of keys with `law`")
        if not adapters:
            adapters.update({True: TypeAdapter(plain), False: TypeAdapter(laws)})
        adapter = adapters[isinstance(value, str | int | float)]
        return adapter.validate_python(value, context=info.context)

    return WrapValidator(route)


Coefficient = Annotated[
    Expression | _AnyLaw, _router(Expression, _AnyLaw, "a number, an expression")
]
"""A number or an expression in x, y, z (str, in normal form), or any law: see `is_law`."""

_Number = Annotated[float, Field(allow_inf_nan=False)]
ScalarCoefficient = Annotated[_Number | _AnyScalarLaw, _router(_Number, _AnyScalarLaw, "a number")]
"""A number (float), or a law of random numbers."""
