"""Tables of the index.

`entry` holds what is mostly searched and sorted by, a narrow row a data set, so that all rows are
read quickly; `detail` the long texts; `words` the full text. Values of the facets repeat, so each
combination of them is a row of `kind`, one of those that say what was solved and one of those that
say how it went; counting data sets by these two counts all facets.
`root` keeps the root's own time stamp from when all of its names were listed.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import fields

from storage.catalogue.summary import Summary

__all__ = [
    "COLUMNS",
    "FACETS",
    "KINDS",
    "LONG",
    "check",
    "check_foreign",
    "create",
    "reading",
    "writing",
]

KINDS = {
    "problem": ("family", "dimension", "geometry", "space"),
    "outcome": ("strategy", "status", "size"),
}
"""Columns of `entry` that refer to `kind`, and the facets whose values each stands for."""
FACETS = tuple(name for names in KINDS.values() for name in names)
LONG = ("description", "citation", "versions", "error", "git_commit", "data_key")
_TYPES = {"str": "TEXT", "int": "INTEGER", "float | None": "REAL"}
COLUMNS: dict[str, str] = {field.name: _TYPES[str(field.type)] for field in fields(Summary)}
"""Fields of a summary and their types in SQLite; those of `LONG` are columns of `detail`."""

_APPLICATION, _VERSION = 0x52454B52, 2  # "REKR"; raise the version with any change of the tables


def create(connection: sqlite3.Connection) -> None:
    """Make the tables where there are none; raises DatabaseError for a foreign file."""
    if _is_ours(connection):
        return
    with writing(connection):
        if _is_ours(connection):  # another process was first
            return
        short = [name for name in COLUMNS if name != "folder" and name not in LONG]
        for statement in (
            "CREATE TABLE entry (id INTEGER PRIMARY KEY, folder TEXT NOT NULL UNIQUE, "
            "problem INTEGER NOT NULL, outcome INTEGER NOT NULL, state TEXT NOT NULL, "
            f"{_columns(short)})",
            f"CREATE TABLE detail (id INTEGER PRIMARY KEY, {_columns(LONG)})",
            "CREATE INDEX entry_problem ON entry (problem, outcome)",
            "CREATE INDEX entry_outcome ON entry (outcome, problem)",
            "CREATE INDEX entry_updated ON entry (updated, folder)",
            "CREATE TABLE kind (id INTEGER PRIMARY KEY, facets TEXT NOT NULL UNIQUE)",
            "CREATE TABLE root (listed INTEGER NOT NULL)",
            "INSERT INTO root VALUES (0)",
            "CREATE VIRTUAL TABLE words USING fts5 (text, prefix = '1 2 3')",
            f"PRAGMA application_id = {_APPLICATION}",
            f"PRAGMA user_version = {_VERSION}",
        ):
            connection.execute(statement)


def _columns(names: Sequence[str]) -> str:
    collation = {"TEXT": "TEXT COLLATE NOCASE"}
    return ", ".join(f"{name} {collation.get(kind := COLUMNS[name], kind)}" for name in names)


@contextlib.contextmanager
def reading(connection: sqlite3.Connection) -> Iterator[None]:
    """A read transaction: its statements see one state, whatever others write meanwhile."""
    with _transaction(connection, "BEGIN"):
        yield


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: all of it or nothing; other writers wait."""
    with _transaction(connection, "BEGIN IMMEDIATE"):
        yield


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def check(connection: sqlite3.Connection) -> None:
    """Raise DatabaseError if the index is damaged in itself."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found)
    connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")


def check_foreign(connection: sqlite3.Connection) -> None:
    """Raise DatabaseError unless tables and types of values are as `create` and `rows` make them.

    For an index that came with a root: it may have views and triggers, or text for numbers.
    """
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        create(fresh)
        listed = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
        if fresh.execute(listed).fetchall() != connection.execute(listed).fetchall():
            raise sqlite3.DatabaseError("has other tables")
    kinds = {"TEXT": "'text'", "INTEGER": "'integer'", "REAL": "'real', 'null'"}
    wrong = [f"typeof({name}) NOT IN ({kinds[kind]})" for name, kind in COLUMNS.items()]
    rows = f"SELECT 1 FROM entry JOIN detail USING (id) WHERE {' OR '.join(wrong)} LIMIT 1"
    if connection.execute(rows).fetchone():
        raise sqlite3.DatabaseError("has values of other types")


def _is_ours(connection: sqlite3.Connection) -> bool:
    """True for our tables, False for an empty database; raises DatabaseError for others."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (application, version) == (_APPLICATION, _VERSION):
        return True
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application or version or tables:
        raise sqlite3.DatabaseError("no index of this version")
    return False
