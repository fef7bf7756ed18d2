"""The query language of the catalogue: a text to a tree.

    family=darcy and samples>1000        not status=damaged or (size<10MB created>=2026-11)
    permeability "moving hole"           geometry~circle

A comparison is NAME OP VALUE with `=`, `!=`, `<`, `<=`, `>`, `>=` or `~` (contains); anything
else is a word to look for; what stands side by side is joined by `and`, which binds more than
`or`. Values with spaces or parentheses are quoted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from storage.errors import StorageError

__all__ = ["Comparison", "Joined", "Node", "Not", "QueryError", "Word", "parse"]

_LONGEST, _DEEPEST = 2000, 40
_NAME, _VALUE, _WORD = r"[A-Za-z_]\w*", r"[^\s()\"']+", r"[^\s()\"'<>=~!]+"


class QueryError(StorageError):
    """A query, sort or facet that can't be used; says where and what there is."""


@dataclass(frozen=True, slots=True)
class Word:
    """What begins so is in the full text.

    Attributes:
        text: one or more words, side by side.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field compared with a value.

    Attributes:
        name: of the field, as written.
        operator: `=`, `!=`, `<`, `<=`, `>`, `>=` or `~`.
        value: as written, without quotes.
        place: position in the text.
    """

    name: str
    operator: str
    value: str
    place: int


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite.

    Attributes:
        part: of what.
    """

    part: Node


@dataclass(frozen=True, slots=True)
class Joined:
    """All of the parts, or any of them.

    Attributes:
        word: `AND` or `OR`.
        parts: two or more.
    """

    word: str
    parts: tuple[Node, ...]


type Node = Word | Comparison | Not | Joined


def parse(text: str) -> Node | None:
    """Return the tree of a query, None for an empty one.

    Raises:
        QueryError: it isn't of the language.
    """
    text = "".join(c if c.isprintable() else " " for c in text).strip()
    if not text:
        return None
    if len(text) > _LONGEST:
        raise QueryError(f"search: has {len(text)} characters; at most {_LONGEST} are read")
    if _depth(text) > _DEEPEST:
        raise QueryError(
            f"search: has more than {_DEEPEST} parentheses or `not`s; write it shorter"
        )
    import pyparsing

    try:
        (tree,) = _grammar().parse_string(text, parse_all=True)
    except pyparsing.ParseBaseException as error:
        raise QueryError(_mistake(text, error.loc)) from None
    return tree


@cache
def _grammar() -> Any:
    import pyparsing as pp

    conjunction, disjunction, negation = (pp.CaselessKeyword(w) for w in ("and", "or", "not"))
    reserved = conjunction | disjunction | negation
    quoted = pp.QuotedString('"', esc_char="\\") | pp.QuotedString("'", esc_char="\\")
    operator = pp.one_of("<= >= != = < > ~")
    comparison = ~reserved + pp.Regex(_NAME) + operator - (quoted | pp.Regex(_VALUE))
    word = quoted | ~reserved + pp.Regex(_WORD)
    expression, term = pp.Forward(), pp.Forward()
    group = pp.Suppress("(") - expression - pp.Suppress(")")
    comparison.set_parse_action(
        lambda _, place, found: Comparison(found[0], found[1], found[2], place)
    )
    word.set_parse_action(lambda found: Word(found[0]))
    opposite = pp.Suppress(negation) - term
    opposite.set_parse_action(lambda found: Not(found[0]))
    term <<= opposite | group | comparison | word
    both = term + (pp.Suppress(conjunction) - term | term)[...]
    both.set_parse_action(lambda found: _joined("AND", found))
    either = both + (pp.Suppress(disjunction) - both)[...]
    either.set_parse_action(lambda found: _joined("OR", found))
    expression <<= either
    return expression


def _joined(word: str, parts: Any) -> Node:
    return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))


def _depth(text: str) -> int:
    """A bound of how deeply it is nested."""
    return text.count("(") + len(re.findall(r"\bnot\b", text, re.IGNORECASE))


def _mistake(text: str, place: int) -> str:
    place += len(text[place:]) - len(text[place:].lstrip())
    rest = text[place : place + 20]
    hint = "expected NAME=VALUE, a word, `not` or a parenthesis"
    if text.count('"') % 2 or text.count("'") % 2:
        hint = "a quote is open"
    elif text.count("(") != text.count(")"):
        hint = "a parenthesis is open, or closed too often"
    elif rest[:1] in tuple("<>=~!"):
        hint = "expected the name of a field in front"
    found = f"at {rest!r}" if rest else "at the end"
    return f"search: character {place + 1}, {found}: {hint}"
