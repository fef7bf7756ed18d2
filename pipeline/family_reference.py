"""The catalogue of families for people, made from the classes and the example specs."""

from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from pipeline.families import FAMILIES
from pipeline.family import Family
from pipeline.spec import load_spec
from pipeline.spec_errors import tag_of
from pipeline.statement import statement

__all__ = ["catalogue", "summaries"]

_LONGEST = 600
"""Characters of a form that are shown; the manifest has all."""


def summaries() -> dict[str, str]:
    """Return family → the first line of what it says of itself."""
    return {str(tag_of(f)): (f.__doc__ or "").strip().splitlines()[0] for f in FAMILIES}


def catalogue(examples: Path) -> str:
    """Return a Markdown section for each family.

    Args:
        examples: Folder with `<family>.yaml`, from which the forms as text are made.
    """
    return "\n".join(_section(family, examples) for family in FAMILIES)


def _section(family: type[Family], examples: Path) -> str:
    tag = str(tag_of(family))
    example = examples / f"{tag.replace('_', '-')}.yaml"
    lines = [f"## `{tag}`", "", _unindented(family.__doc__ or ""), ""]
    lines += [f"![Samples of {tag}](pictures/{tag}.png)", ""]
    lines += ["| key | symbol | meaning | units | default |", "|---|---|---|---|---|"]
    lines += _quantities(family)
    lines += ["", *_settings(family), ""]
    said = statement(load_spec(example))
    lines += [f"`manifest.problem` of `{example.parent.name}/{example.name}` says", "```text"]
    lines += [f"strong    {_short(text)} = 0" for text in said["strong"]]
    for term in said["weak"]:
        if term["integrand"] != "0":
            lines.append(f"weak      ∫ {_short(term['integrand'])} over {term['where']}")
    for b in said["boundary"]:
        trace = f", {b['trace']} part" if "trace" in b else ""
        lines += [f"boundary  {text} = 0 on {b['where']}{trace}" for text in b["expression"]]
    lines += [f"initial   {text}" for text in said["initial"]]
    return "\n".join([*lines, "```", ""])


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text)} characters)"


def _quantities(family: type[Family]) -> list[str]:
    rows = []
    for key, field in family.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "symbol" in extra:
            default = field.default
            shown = "*required*" if default is PydanticUndefined else f"`{default}`"
            rows.append(
                f"| `{key}` | {extra['symbol']} | {extra['meaning']} | {extra['units']} | {shown} |"
            )
    return rows


def _settings(family: type[Family]) -> list[str]:
    """The keys that are no quantities, and how the problem is solved."""
    lines = []
    for key, field in family.model_fields.items():
        extra = field.json_schema_extra
        if key != "family" and not (isinstance(extra, dict) and "symbol" in extra):
            lines.append(f"- `{key}`: {field.description}")
    strategy: dict[str, Any] = family.STRATEGY
    how = " + ".join(str(strategy[k]) for k in ("ksp", "pc"))
    dims = ", ".join(f"{d}-D" for d in family.DIMENSIONS)
    kind = "linear" if family.LINEAR else "nonlinear, Newton's method"
    return [*lines, f"- {dims}; {kind}; the pilot also tries {how}."]


def _unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())
