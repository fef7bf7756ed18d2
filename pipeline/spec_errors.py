"""One readable line per mistake in a spec."""

import types
import typing
from typing import Any

from pydantic import BaseModel, ValidationError

__all__ = ["SpecError", "mistakes", "models_within", "tag_of"]


class SpecError(ValueError):
    """A spec that can't be used; `mistakes` has one line each. Exit code 2."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.mistakes = lines

    def __reduce__(self) -> tuple[Any, ...]:
        return SpecError, (self.mistakes,)


def mistakes(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """Return "path: what is wrong; got …; allowed: …" for each mistake."""
    return [_line(dict(item), root) for item in error.errors(include_url=False)]


def _line(item: dict[str, Any], root: type[BaseModel]) -> str:
    path, model = _locate(item["loc"], root)
    kind, context = item["type"], item.get("ctx", {})
    where = ".".join(path) or "spec"
    if kind == "extra_forbidden":
        return f"{where}: unknown key {path[-1]!r}; allowed here: {', '.join(model.model_fields)}"
    if kind == "missing":
        return f"{where}: missing; {_describe(model, path[-1])}"
    if kind == "union_tag_invalid":
        key = context["discriminator"].strip("'()")
        return f"{where}.{key}: got {context['tag']!r}; " + (f"allowed: {context['expected_tags']}")
    if kind == "union_tag_not_found":
        return f"{where}: missing key {context['discriminator']}, which says what kind it is"
    if kind in ("model_type", "model_attributes_type"):
        inner = models_within(model.model_fields[path[-1]].annotation) if path else [root]
        keys = ", ".join(inner[0].model_fields) if inner else "keys with values"
        return f"{where}: got {item['input']!r}; expected a group of keys: {keys}"
    message = item["msg"].removeprefix("Value error, ")
    if kind == "value_error" and isinstance(item["input"], dict | BaseModel):
        return f"{where}: {message}"
    return f"{where}: {message}; got {item['input']!r}"


def _describe(model: type[BaseModel], name: str) -> str:
    field = model.model_fields.get(name)
    return field.description if field is not None and field.description else "a value is needed"


def _locate(loc: tuple[Any, ...], root: type[BaseModel]) -> tuple[list[str], type[BaseModel]]:
    """The path without the union tags that pydantic puts in, and the model that holds its end."""
    path: list[str] = []
    model, candidates = root, [root]
    for part in loc:
        named = [m for m in candidates if part in m.model_fields]
        tagged = [m for m in candidates if tag_of(m) == part]
        if named:
            model = named[0]
            candidates = models_within(model.model_fields[part].annotation)
            path.append(str(part))
        elif tagged and path:
            model, candidates = tagged[0], tagged
        else:
            if candidates:
                model = candidates[0]
            path.append(str(part))
    return path, model


def tag_of(model: type[BaseModel]) -> str | None:
    """Return the first literal value of a model: what a discriminated union calls it."""
    for field in model.model_fields.values():
        if typing.get_origin(field.annotation) is typing.Literal:
            return typing.get_args(field.annotation)[0]
    return None


_WRAPPERS = (typing.Union, types.UnionType, typing.Annotated, dict, list, tuple)


def models_within(annotation: Any) -> list[type[BaseModel]]:
    """The models within an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in _WRAPPERS:
        return [m for arg in typing.get_args(annotation) for m in models_within(arg)]
    return []
