"""What templates are given: addresses, equations, snippets, made of plain facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from storage.catalogue.facts import group, sequence
from storage.web.library import Entry

__all__ = ["here", "loader", "pictures", "problem", "quoted", "whole"]

_EQUATIONS = 12  # of a system that are shown


def quoted(text: str) -> str:
    """A name as a part of an address."""
    return quote(text, safe="")


def whole(text: str | None, low: int, high: int, default: int) -> int:
    """A number of a query between two ends; the default if it is none."""
    try:
        return min(max(int(str(text)[:20]), low), high)
    except ValueError:
        return default


def here(
    row: int, step: int | None, axis: int | None, at: int, asked: Any
) -> list[tuple[str, str]]:
    """The query of a sample as it is shown, without its row."""
    found = [] if step is None else [("step", str(step))]
    found += [] if axis is None else [("axis", str(axis)), ("at", str(at))]
    found += [("field", name) for name in asked.getlist("field")]
    return found + [("edges", "1")] * bool(asked.get("edges"))


def pictures(
    entry: Entry,
    facts: Mapping[str, Any],
    sample: Mapping[str, Any],
    step: int,
    axis: int | None,
    at: int,
    wanted: Iterable[str],
) -> list[dict[str, Any]]:
    """Field by field what is drawn: its addresses, and a text for those who don't see it."""
    base = f"/data/{quoted(entry.folder)}"
    cut = {} if axis is None else {"axis": axis, "at": at}
    found = []
    for field in facts["fields"]:
        if field["name"] not in wanted:
            continue
        row = {"row": sample["row"], "field": field["name"]}
        query = row | ({"step": step} if field["timed"] else {}) | cut | {"v": entry.version}
        own = facts["mesh"]["moving"] and field["name"] != "displacement"
        edges = ({"row": sample["row"]} if own else {}) | cut | {"v": entry.version}
        addresses = {
            theme: f"{base}/picture.png?{urlencode(query | {'theme': theme})}"
            for theme in ("light", "dark")
        }
        found.append(
            {
                "field": field,
                "addresses": addresses,
                "edges": f"{base}/edges.png?{urlencode(edges)}" if facts["dimension"] > 1 else "",
                "alt": _alt(field, sample, step, axis, at),
            }
        )
    return found


def _alt(
    field: Mapping[str, Any], sample: Mapping[str, Any], step: int, axis: int | None, at: int
) -> str:
    text = f"{field['role']} {field['name']} of sample {sample['id']}"
    if field["description"]:
        text += f", {field['description']}"
    if field["timed"] and sample["times"] and sample["times"][step] is not None:
        text += f", at time {sample['times'][step]:.4g}"
    if axis is not None:
        text += f", slice normal to {'xyz'[axis]} at {at} % of its length"
    return text


def problem(said: Mapping[str, Any]) -> dict[str, Any]:
    """Equations and symbols of `manifest.problem`, in the form that the page shows."""
    weak = [w for w in sequence(said.get("weak")) if isinstance(w, Mapping)]
    conditions = [c for c in sequence(said.get("boundary")) if isinstance(c, Mapping)]
    symbols, outputs = group(said.get("symbols")), group(said.get("outputs"))
    initial = _texts(said.get("initial"))
    return {
        "description": str(said.get("description", ""))[:500],
        "strong": _texts(said.get("strong")),
        "weak": [(_place(w), str(w.get("integrand", ""))) for w in weak[:_EQUATIONS]],
        "boundary": [line for c in conditions[:40] for line in _condition(c)],
        "initial": [
            (f"{name}_{'xyz'[i]}" if len(initial) > 1 and i < 3 else name, value)
            for name in list(outputs)[:1]
            for i, value in enumerate(initial)
        ],
        "symbols": [_symbol(*pair) for pair in [*_pairs(outputs), *_pairs(symbols)]],
    }


def _place(weak: Mapping[str, Any]) -> str:
    where = str(weak.get("where", ""))[:200]
    return {"domain": "in the domain", "boundary": "on the boundary"}.get(where, f"on {where}")


def _condition(condition: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Where, left and right side of each component of a condition."""
    field, values = str(condition.get("field", "")), _texts(condition.get("value"))
    where = str(condition.get("where", ""))[:200]
    trace = condition.get("trace")
    text = f"{where} (of both sides the {str(trace)[:20]} part alone)" if trace else where
    names = [field] if len(values) == 1 else [f"{field}_{axis}" for axis in "xyz"[: len(values)]]
    return [(text, name, value) for name, value in zip(names, values, strict=False)]


def _symbol(name: str, about: Mapping[str, Any]) -> dict[str, str]:
    law = about.get("law")
    return {
        "name": str(about.get("written", name))[:100],
        "meaning": str(about.get("meaning", ""))[:300],
        "units": "" if about.get("units") in (None, "1") else str(about["units"])[:60],
        "value": str(about.get("value", ""))[:300],
        "law": _law(law) if isinstance(law, Mapping) else "",
    }


def _law(law: Mapping[str, Any]) -> str:
    """A law in a line: `lognormal; mean 0; field: cosine, alpha 2, tau 3`."""
    parts = [str(law.get("law", ""))]
    for key, value in law.items():
        if key in ("law", "space") or value is None:
            continue
        if isinstance(value, Mapping):
            inner = [str(v) if k == "kind" else f"{k} {v}" for k, v in value.items()]
            value = ", ".join(inner)
        parts.append(f"{key}: {value}"[:200])
    return "; ".join(parts)[:600]


def _pairs(table: Any) -> list[tuple[str, Mapping[str, Any]]]:
    return [(str(k), v) for k, v in list(table.items())[:60] if isinstance(v, Mapping)]


def _texts(value: Any) -> list[str]:
    return [str(item) for item in sequence(value)[:_EQUATIONS]]


def loader(facts: Mapping[str, Any], path: Path) -> str:
    """Python that loads the data set."""
    lines = ["import rekrylov", "", f"ds = rekrylov.open_dataset({str(path)!r})"]
    train = "train" in facts["splits"] and facts["finalised"]
    lines.append('train = ds.split("train")' if train else "train = ds")
    lines.append("sample = train[0]  # a dict of NumPy arrays: id, fields, parameters")
    for variable, role in (("x", "input"), ("y", "output")):
        field = next((f for f in facts["fields"] if f["role"] == role), None)
        if field is not None:
            shape = "(32, steps, dofs)" if field["timed"] else "(32, dofs)"
            lines.append(f"{variable} = train.read({field['name']!r}, slice(0, 32))  # {shape}")
        if field is not None and role == "output":
            lines.append(f"u = train.function({field['name']!r}, 0)  # u(points), anywhere")
    lines.append("torch_samples = train.torch()  # for a DataLoader")
    return "\n".join(lines)
