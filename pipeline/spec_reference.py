"""The spec reference for people, made from the models, so that it can't be stale."""

import json
import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from pipeline.spec import Spec
from pipeline.spec_errors import models_within, tag_of

__all__ = ["reference"]

_KEYS = ("family", "domain", "law", "kind")
"""The keys that say which member of a union is meant."""


def reference() -> str:
    """Return a Markdown table for the spec and for each of its parts."""
    parts: dict[str, type[BaseModel]] = {}
    _collect(Spec, "the spec", parts)
    return "\n".join(_section(name, model) for name, model in parts.items())


def _collect(model: type[BaseModel], path: str, parts: dict[str, type[BaseModel]]) -> None:
    parts[path] = model
    for name, field in model.model_fields.items():
        for each in models_within(field.annotation):
            if each not in parts.values():
                prefix = "" if path == "the spec" else path + "."
                _collect(each, _tagged(each) or f"{prefix}{name}", parts)


def _tagged(model: type[BaseModel]) -> str | None:
    """What a spec says to choose a member of a union, `law: lognormal`."""
    for name, field in model.model_fields.items():
        if name in _KEYS and len(typing.get_args(field.annotation)) == 1:
            return f"{name}: {tag_of(model)}"
    return None


def _section(name: str, model: type[BaseModel]) -> str:
    about = (model.__doc__ or "").strip()
    rows = [_row(key, field) for key, field in model.model_fields.items()]
    title = "the spec" if name == "the spec" else f"`{name}`"
    head = f"## {title[0].upper() + title[1:]}\n\n{_unindented(about)}\n"
    return "\n".join([head, "| key | default | meaning |", "|---|---|---|", *rows, ""])


def _unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())


def _row(key: str, field: FieldInfo) -> str:
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{key}` | {_default(field)} | {meaning}{_allowed(field)} |"


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "*required*"
    if isinstance(value, BaseModel):
        return "see below"
    return f"`{json.dumps(to_jsonable_python(value))}`"


def _allowed(field: FieldInfo) -> str:
    """The choices of a literal, and the bounds of a number."""
    parts = []
    if typing.get_origin(field.annotation) is typing.Literal:
        choices = typing.get_args(field.annotation)
        parts.append("one of " + ", ".join(f"`{choice}`" for choice in choices))
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    for item in field.metadata:
        parts += [f"{sign} {getattr(item, k):g}" for k, sign in signs.items() if hasattr(item, k)]
    return f" ({'; '.join(parts)})" if parts else ""
