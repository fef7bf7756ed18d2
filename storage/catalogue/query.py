"""Queries, sorts and facets as SQL with parameters: values never become part of its text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.catalogue.grammar import Comparison, Joined, Node, Not, QueryError, Word, parse
from storage.catalogue.schema import COLUMNS, FACETS, LONG

__all__ = ["FACETS", "Condition", "QueryError", "compile_query", "known_facets", "order_by"]

type Sql = tuple[str, list[Any]]

_DATES = ("created", "updated")
_BYTES = {"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SECONDS = {"": 1, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400}
_UNITS: dict[str, Mapping[str, float]] = {"bytes": _BYTES, "seconds": _SECONDS}
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]*)", re.ASCII)
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[T ](\d\d?):(\d\d)(?::(\d\d))?Z?)?)?)?", re.ASCII
)
_NAMES = {"iterations": "mean_iterations", "residual": "worst_residual", "license": "licence"}
"""Other names of columns. A size with a comparison is one in bytes, see `_column`."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on rows `e` of `entry`.

    Attributes:
        text: in SQL.
        values: its parameters.
        words_only: whether it asks for words alone, so that no row has to be read.
    """

    text: str
    values: list[Any]
    words_only: bool


def compile_query(text: str) -> Condition:
    """Return a query as a condition; all rows for an empty one.

    Raises:
        QueryError: it isn't of the language, or names something that there isn't.
    """
    tree = parse(text)
    if tree is None:
        return Condition("1", [], True)
    return Condition(*_compiled(tree), _words_only(tree))


def order_by(sort: str) -> str:
    """Return the text after ORDER BY; `-updated` is falling. What is not known comes last."""
    name = _known(sort.removeprefix("-"), f"sort {sort!r}")
    direction = "DESC" if sort.startswith("-") else "ASC"
    unknown = f"{_of(name)} IS NULL, " if COLUMNS[name] == "REAL" else ""
    return f"{unknown}{_of(name)} {direction}, e.folder {direction}"


def known_facets(wanted: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return facet → values that are wanted, in lower case; empty ones are left out.

    Raises:
        QueryError: there is no such facet.
    """
    found: dict[str, set[str]] = {}
    for name, value in wanted.items():
        if name not in FACETS:
            raise QueryError(f"facet {name!r}: expected one of {', '.join(FACETS)}")
        values = value if isinstance(value, list | tuple | set | frozenset) else [value]
        if chosen := {str(item).lower() for item in values if item is not None and item != ""}:
            found[name] = chosen
    return found


def _compiled(tree: Node) -> Sql:
    match tree:
        case Word(text):
            return _word(text)
        case Comparison():
            return _comparison(tree)
        case Not(part):
            text, values = _compiled(part)
            return f"(NOT {text})", values
        case Joined(word, parts):
            compiled = [_compiled(part) for part in parts]
            text = f" {word} ".join(text for text, _ in compiled)
            return f"({text})", [value for _, values in compiled for value in values]


def _words_only(tree: Node) -> bool:
    match tree:
        case Comparison():
            return False
        case Not(part):
            return _words_only(part)
        case Joined(_, parts):
            return all(map(_words_only, parts))
    return True


def _word(value: str) -> Sql:
    """Words that begin so, side by side in this order; FTS5 reads what is in quotes as text.

    The plus keeps SQLite from looking each of the rows up: there may be very many.
    """
    words = re.findall(r"\w+", value)
    if not words:
        return "(0)", []
    phrase = '"' + " ".join(words) + '" *'
    return "(+e.id IN (SELECT rowid FROM words WHERE words MATCH ?))", [phrase]


def _comparison(tree: Comparison) -> Sql:
    operator, value = tree.operator, tree.value
    where = f"search: character {tree.place + 1}, {tree.name}{operator}{value}"
    name = _known(tree.name, where)
    if name == "size" and re.match(r"[\d.]", value) and " to " not in value:
        name = "bytes"
    column = _of(name)
    if operator == "~":
        pattern = re.sub(r"([\\%_])", r"\\\1", value)
        return f"(ifnull({column}, '') LIKE ? ESCAPE '\\')", [f"%{pattern}%"]
    if name in _DATES:
        return _dated(column, operator, *_span(value, where))
    known = value if COLUMNS[name] == "TEXT" else _number(name, value, where)
    if operator in ("=", "!="):
        return f"({column} {'IS' if operator == '=' else 'IS NOT'} ?)", [known]
    return f"ifnull({column} {operator} ?, 0)", [known]  # true or false, so that `not` is right


def _dated(column: str, operator: str, start: str, end: str) -> Sql:
    """A year, month, day or minute is the time from its start until its end."""
    if operator in ("=", "!="):
        inside = f"({column} >= ? AND {column} < ?)"
        return (inside if operator == "=" else f"(NOT {inside})"), [start, end]
    bound = end if operator in (">", "<=") else start
    sign = ">=" if operator in (">", ">=") else "<"
    return f"({column} != '' AND {column} {sign} ?)", [bound]


def _span(value: str, where: str) -> tuple[str, str]:
    match = _DATE.fullmatch(value.strip())
    parts = [int(part) for part in match.groups() if part] if match else []
    try:
        year, month, day, hour, minute, second = [*parts, *[1, 1, 1, 0, 0, 0][len(parts) :]]
        start = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        end = _after(start, len(parts))
    except (ValueError, OverflowError, KeyError):
        raise QueryError(
            f"{where}: {value!r} is no date; write 2026, 2026-11, 2026-11-29 or "
            '"2026-11-29 16:30" (UTC)'
        ) from None
    form = "%Y-%m-%dT%H:%M:%SZ"
    return start.strftime(form), end.strftime(form)


def _after(start: datetime, parts: int) -> datetime:
    """The end of the year, month, day, minute or second that begins with `start`."""
    if parts == 1:
        return start.replace(year=start.year + 1)
    if parts == 2:
        return (start + timedelta(days=31)).replace(day=1)
    units = {3: timedelta(days=1), 5: timedelta(minutes=1), 6: timedelta(seconds=1)}
    return start + units[parts]


def _number(name: str, value: str, where: str) -> float:
    units = _UNITS.get(name, {"": 1})
    match = _NUMBER.fullmatch(value.strip())
    scale = {unit.lower(): factor for unit, factor in units.items()}
    if match is None or match[2].lower() not in scale:
        shown = ", ".join(unit for unit in units if unit)
        text = f"; its unit may be {shown}" if shown else ""
        raise QueryError(f"{where}: {value!r} is no number{text}")
    return float(match[1]) * scale[match[2].lower()]


def _known(name: str, where: str) -> str:
    """The field that is meant."""
    small = name.lower()
    small = _NAMES.get(small, small)
    if small in COLUMNS:
        return small
    near = difflib.get_close_matches(small, [*COLUMNS, *_NAMES], 1, 0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise QueryError(f"{where}: there is no {name!r}; {hint}there are {', '.join(COLUMNS)}")


def _of(name: str) -> str:
    """The column in SQL; long texts are in a table of their own."""
    if name in LONG:
        return f"(SELECT d.{name} FROM detail d WHERE d.id = e.id)"
    return f"e.{name}"
