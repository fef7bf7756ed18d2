"""The form that the server's page makes of a flow's parameters."""

from typing import Any

from pydantic import GetJsonSchemaHandler

__all__ = ["AnyOf"]


class AnyOf:
    """Part of an annotation: alternatives become `anyOf`; of `oneOf` the form shows nothing.

    Families, meshes and laws are such. Prefect asks pydantic for the schema of a flow by itself;
    so the definitions that pydantic has collected so far are changed in place.
    """

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> Any:
        """Return the schema, and change it and those that it refers to."""
        schema = handler(core)
        _change(schema)
        collected: Any = handler
        _change(collected.generate_json_schema.definitions)
        return schema


def _change(part: Any) -> None:
    if isinstance(part, dict):
        if "oneOf" in part:
            part.pop("discriminator", None)
            part["anyOf"] = part.pop("oneOf")
        if "const" in part:
            part.setdefault("default", part["const"])  # the form doesn't fill it in by itself
    for each in part.values() if isinstance(part, dict) else part:
        if isinstance(each, dict | list):
            _change(each)
    if isinstance(part, dict) and isinstance(part.get("anyOf"), list):
        part["anyOf"] = [flat for each in part["anyOf"] for flat in _flat(each)]


def _flat(choice: dict[str, Any]) -> list[dict[str, Any]]:
    """A choice as choices that the form has a name for: of one type, and not choices again."""
    if set(choice) == {"anyOf"}:
        return list(choice["anyOf"])
    if isinstance(choice.get("type"), list):
        return [choice | {"type": kind} for kind in choice["type"]]
    return [choice]
