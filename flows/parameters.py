"""What flows are given: typed, so that the server's page shows a form and refuses bad values.

The texts beside the fields of the form are those of the flows' docstrings.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from flows.form import AnyOf
from pipeline.dataset_folder import resolve
from pipeline.spec import Spec, parse_spec

__all__ = ["Hours", "Overrides", "Ranks", "Root", "SpecParameter", "read_spec", "read_target"]


def _parsed(value: Any) -> Any:
    """A spec of plain data becomes one; a path stays, since overrides belong before the checks."""
    return parse_spec(value) if isinstance(value, dict) else value


SpecParameter = Annotated[
    Spec | str, PlainValidator(_parsed, json_schema_input_type=Spec | str), AnyOf()
]
Root = str
Ranks = Annotated[int, Field(ge=1)]
Hours = Annotated[float, Field(gt=0)]
Overrides = list[str]


def read_spec(given: Spec | str, overrides: list[str]) -> Spec:
    """Return the spec that a flow was given, with values replaced.

    Raises:
        SpecError: It can't be read, or is bad.
    """
    return read_target(given, "", overrides)[0]


def read_target(given: Spec | str, root: str, overrides: list[str]) -> tuple[Spec, str]:
    """Return spec and root of what a flow was given; a data set's root is the folder above it.

    Raises:
        SpecError, StorageError: It can't be read, or is bad.
    """
    if not isinstance(given, str):
        return parse_spec(given.model_dump(mode="json"), overrides), root
    spec, folder = resolve(given, root, overrides)
    return spec, str(folder.path.parent) if Path(given).is_dir() else root
