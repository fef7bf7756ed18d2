"""Rows of the index: writing, removing and reading them."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from storage.catalogue.query import Condition
from storage.catalogue.schema import COLUMNS, FACETS, KINDS, LONG, writing
from storage.catalogue.states import state
from storage.catalogue.summary import Entry, Summary, read_entry
from storage.folder import DataFolder

__all__ = [
    "Row",
    "count",
    "facet_counts",
    "in_turn",
    "listed",
    "number",
    "put",
    "read",
    "remove",
    "row",
    "rows",
    "set_listed",
    "states",
    "unread",
    "with_facets",
]

_SHORT = [name for name in COLUMNS if name not in LONG]
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM entry JOIN detail USING (id)"


@dataclass(frozen=True, slots=True)
class Row:
    """A folder's row.

    Attributes:
        state: of the folder before it was read, so that no later change is missed.
        entry: what it says.
    """

    state: str
    entry: Entry


def read(path: Path) -> Row:
    """Read a folder's row."""
    return Row(state(path), read_entry(DataFolder(path)))


def unread(path: Path, why: str) -> Row:
    """Return the row of a folder that can't be read at all."""
    name = path.name
    return Row(state(path), Entry(Summary(folder=name, name=name, error=why), name))


def put(connection: sqlite3.Connection, new: Sequence[Row]) -> None:
    """Write rows; those that folders had go."""
    remove(connection, [row.entry.summary.folder for row in new])
    names = ", ".join([*_SHORT, *KINDS, "state"])
    short = (
        f"INSERT INTO entry ({names}) VALUES ({', '.join('?' * (len(_SHORT) + len(KINDS) + 1))})"
    )
    long = f"INSERT INTO detail (id, {', '.join(LONG)}) VALUES (?{', ?' * len(LONG)})"
    for row in new:
        value = asdict(row.entry.summary)
        kinds = [
            _kind(connection, [str(value[name]) for name in names]) for names in KINDS.values()
        ]
        values = [*(value[name] for name in _SHORT), *kinds, row.state]
        place = connection.execute(short, values).lastrowid
        connection.execute(long, [place, *(value[name] for name in LONG)])
        connection.execute(
            "INSERT INTO words (rowid, text) VALUES (?, ?)", [place, row.entry.words]
        )


def remove(connection: sqlite3.Connection, folders: Sequence[str]) -> None:
    """Remove the rows of folders, where they have one."""
    for folder in folders:
        found = connection.execute("SELECT id FROM entry WHERE folder = ?", [known(folder)])
        for (place,) in found.fetchall():
            connection.execute("DELETE FROM entry WHERE id = ?", [place])
            connection.execute("DELETE FROM detail WHERE id = ?", [place])
            connection.execute("DELETE FROM words WHERE rowid = ?", [place])


def in_turn[T](
    change: Callable[[sqlite3.Connection, T], None], what: T, connection: sqlite3.Connection
) -> None:
    """Do a change in a transaction of its own, if there is anything to change."""
    if what:
        with writing(connection):
            change(connection, what)


def number(connection: sqlite3.Connection) -> int:
    """Return how many rows there are."""
    return int(connection.execute("SELECT count(*) FROM entry").fetchone()[0])


def listed(connection: sqlite3.Connection) -> int:
    """Return the root's time stamp when its names were listed; -1 if it wasn't settled."""
    return int(connection.execute("SELECT listed FROM root").fetchone()[0]) or -1


def set_listed(connection: sqlite3.Connection, stamp: int) -> None:
    """Keep the time stamp of the root from before its names were listed."""
    if stamp != connection.execute("SELECT listed FROM root").fetchone()[0]:
        connection.execute("UPDATE root SET listed = ?", [stamp])


def states(connection: sqlite3.Connection) -> dict[str, str]:
    """Return folder → its state when it was read."""
    return dict(connection.execute("SELECT folder, state FROM entry").fetchall())


def rows(connection: sqlite3.Connection, ids: Sequence[int]) -> list[Summary]:
    """Return rows by id, in that order."""
    found = (connection.execute(f"{_SELECT} WHERE id = ?", [i]).fetchone() for i in ids)
    return [Summary(*row) for row in found if row is not None]


def row(connection: sqlite3.Connection, folder: str) -> Summary | None:
    """Return the row of a folder, None if there is none."""
    found = connection.execute(f"{_SELECT} WHERE folder = ?", [known(folder)]).fetchone()
    return None if found is None else Summary(*found)


def count(connection: sqlite3.Connection, condition: Condition) -> int:
    """Return how many rows a condition picks."""
    statement = f"SELECT count(*) FROM entry e WHERE {condition.text}"
    return int(connection.execute(statement, condition.values).fetchone()[0])


def facet_counts(
    connection: sqlite3.Connection, condition: Condition, wanted: Mapping[str, set[str]]
) -> dict[str, Counter[str]]:
    """Return facet → its values and how many rows have each, of those that are picked.

    What is wanted of a facet narrows the counts of all others, not its own.
    """
    values, counts = dict(_kinds(connection)), {name: Counter[str]() for name in FACETS}
    for column, names in KINDS.items():
        others = {name: chosen for name, chosen in wanted.items() if name not in names}
        picked = with_facets(connection, condition, others)
        how = f"INDEXED BY entry_{column}" if condition.words_only else "NOT INDEXED"
        rows = f"entry e {how} WHERE {picked.text} GROUP BY e.{column}"
        for kind, n in connection.execute(
            f"SELECT e.{column}, count(*) FROM {rows}", picked.values
        ):
            of = dict(zip(names, values[kind], strict=True))
            for name in names:
                if _fits(of, {k: v for k, v in wanted.items() if k in names and k != name}):
                    counts[name][of[name]] += n
    return counts


def with_facets(
    connection: sqlite3.Connection, condition: Condition, wanted: Mapping[str, set[str]]
) -> Condition:
    """Return a condition that demands values of facets too."""
    text, values = condition.text, condition.values
    for column, names in KINDS.items():
        chosen = {name: wanted[name] for name in names if name in wanted}
        if not chosen:
            continue
        kinds = [
            kind
            for kind, of in _kinds(connection)
            if len(of) == len(names) and _fits(dict(zip(names, of, strict=True)), chosen)
        ]
        text += f" AND e.{column} IN (SELECT value FROM json_each(?))"
        values = [*values, json.dumps(kinds)]
    return Condition(text, values, condition.words_only)


def _kind(connection: sqlite3.Connection, values: list[str]) -> int:
    """Number of a combination of facets' values."""
    text = json.dumps(values)
    connection.execute("INSERT OR IGNORE INTO kind (facets) VALUES (?)", [text])
    found = connection.execute("SELECT id FROM kind WHERE facets = ?", [text]).fetchone()
    return int(found[0])


def _kinds(connection: sqlite3.Connection) -> list[tuple[int, list[str]]]:
    found = connection.execute("SELECT id, facets FROM kind")
    return [(kind, json.loads(facets)) for kind, facets in found]


def _fits(values: Mapping[str, str], wanted: Mapping[str, set[str]]) -> bool:
    return all(values[name].lower() in chosen for name, chosen in wanted.items())


def known(folder: str) -> str:
    """A folder's name as SQLite can have it."""
    return folder.encode("utf-8", "replace").decode()
