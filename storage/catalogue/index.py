"""The index of a root: an SQLite file that says what its folders say, and can be lost."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import batched
from pathlib import Path
from typing import Any

from storage.catalogue import rows, schema
from storage.catalogue.index_file import FILE, IndexFile
from storage.catalogue.query import compile_query, known_facets, order_by
from storage.catalogue.states import data_sets, is_data_set, modified, state
from storage.catalogue.summary import Summary
from storage.errors import StorageError

__all__ = ["Catalogue", "Changes", "locate", "note"]

_FEW = 2000  # data sets; looking at all of them takes up to 0.1 s
_CHUNK = 200  # rows a transaction: others wait for their turn a short time only


@dataclass(frozen=True, slots=True)
class Changes:
    """Names of the folders whose rows were added, changed or removed."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class Catalogue:
    """The data sets below a root, found quickly.

    The index is `<root>/.catalogue/index.sqlite`, shared by all processes. It is derived: a
    damaged, foreign or old file is replaced by one that is made from the folders. A root that
    can't be written, or isn't there, has an index in memory. May be used by several threads.

    Attributes:
        root: the folder that holds the data sets.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        readonly: bool = False,
        read: Callable[[Path], rows.Row] | None = None,
    ) -> None:
        """Open the index; no folder is read, `refresh` does that.

        Args:
            root: where the data sets are.
            readonly: write nothing below the root.
            read: reads a folder's row in place of `rows.read`; a server lets a process do it.
        """
        self.root = Path(root)
        self._read = read or (lambda path: rows.read(path))
        self._index = IndexFile(self.root, readonly, lambda: self._refresh(force=True))

    @property
    def readonly(self) -> bool:
        """Whether nothing is written below the root: the index is in memory."""
        return self._index.in_memory

    def refresh(self) -> Changes:
        """Bring the index up to date; folders that didn't change are not read.

        Returns:
            What was different.
        """
        return self._refresh(force=False)

    def catch_up(self) -> Changes:
        """Bring the index up to date as far as that takes no time.

        Of more data sets than a few thousand only new and removed ones are noticed, and looking
        for them is left out while the root's own time stamp stays: what the stages change they
        tell by `note`, and `refresh` notices the rest.
        """
        if self._index.run(rows.number) <= _FEW:
            return self.refresh()
        if modified(self.root) == self._index.run(rows.listed):
            return Changes()
        return self._refresh(force=False, known=True)

    def rebuild(self) -> Changes:
        """Make the index from the folders alone. A kill half-way leaves one that can be used."""
        self._index.run(schema.check)
        return self._refresh(force=True)

    def update(self, folder: str) -> None:
        """Bring the row of one folder up to date: add, change or remove it.

        Args:
            folder: its name below the root.
        """

        def change(connection: sqlite3.Connection) -> None:
            with schema.writing(connection):  # nobody writes what was read earlier than this
                if is_data_set(self.root / folder):
                    rows.put(connection, [self._read(self.root / folder)])
                else:
                    rows.remove(connection, [folder])

        self._index.run(change)

    def find(
        self,
        query: str = "",
        *,
        sort: str = "-updated",
        limit: int | None = 50,
        offset: int = 0,
        **facets: Any,
    ) -> list[Summary]:
        """Return data sets that a query and facets pick.

        Args:
            query: see `storage.catalogue.query`.
            sort: a field of `Summary`, `-` in front for falling.
            limit: most rows; None for all.
            offset: rows to leave out first.
            **facets: facet → a value, or several of which it has to be one.

        Raises:
            QueryError: the query, sort or a facet can't be used.
        """
        condition, order = compile_query(query), order_by(sort)
        wanted = known_facets(facets)
        page = [-1 if limit is None else max(0, limit), max(0, offset)]

        def read(connection: sqlite3.Connection) -> list[Summary]:
            with schema.reading(connection):
                picked = rows.with_facets(connection, condition, wanted)
                where = f"WHERE {picked.text} ORDER BY {order} LIMIT ? OFFSET ?"
                text = f"SELECT e.id FROM entry e {where}"
                ids = [i for (i,) in connection.execute(text, [*picked.values, *page])]
                return rows.rows(connection, ids)

        return self._index.run(read)

    def count(self, query: str = "", **facets: Any) -> int:
        """Return how many data sets a query and facets pick; raises as `find`."""
        condition, wanted = compile_query(query), known_facets(facets)

        def read(connection: sqlite3.Connection) -> int:
            with schema.reading(connection):
                return rows.count(connection, rows.with_facets(connection, condition, wanted))

        return self._index.run(read)

    def facets(self, query: str = "", **facets: Any) -> dict[str, list[tuple[str, int]]]:
        """Count the values of every facet among the data sets that are picked.

        What is chosen of a facet doesn't narrow its own counts, so that another value, or one
        more, can be chosen. Raises as `find`.

        Returns:
            facet → (value, how many), the most frequent first.
        """
        condition, wanted = compile_query(query), known_facets(facets)

        def read(connection: sqlite3.Connection) -> dict[str, list[tuple[str, int]]]:
            with schema.reading(connection):
                counts = rows.facet_counts(connection, condition, wanted)
            return {
                name: sorted(found.items(), key=lambda item: (-item[1], item[0]))
                for name, found in counts.items()
            }

        return self._index.run(read)

    def get(self, folder: str) -> Summary | None:
        """Return the row of one folder, None if the index has none."""
        return self._index.run(partial(rows.row, folder=folder))

    def _refresh(self, force: bool, known: bool = False) -> Changes:
        """Compare folders and rows; folders that have a row are trusted if `known`."""
        stamp = modified(self.root)
        listed = self._index.run(rows.states)
        added: list[str] = []
        changed: list[str] = []
        seen: set[str] = set()
        for chunk in batched(data_sets(self.root, listed if known else ()), _CHUNK):
            seen.update(chunk)
            new = [n for n in chunk if force or n not in listed]
            if not known and not force:
                new = [n for n in chunk if state(self.root / n) != listed.get(n)]
            read = [self._read(self.root / name) for name in new]
            self._index.run(partial(rows.in_turn, rows.put, read))
            for name in new:
                (changed if name in listed else added).append(name)
        gone = [name for name in listed if name not in seen and not is_data_set(self.root / name)]
        self._index.run(partial(rows.in_turn, rows.remove, gone))
        self._index.run(partial(rows.set_listed, stamp=stamp))
        return Changes(tuple(added), tuple(changed), tuple(gone))


def note(folder: str | os.PathLike[str]) -> None:
    """Tell the index of a folder's root, if there is one, that the folder changed.

    For the stages that change a data set: whatever goes wrong here, the next `refresh` notices
    the change by itself.
    """
    path = Path(folder).absolute()
    with contextlib.suppress(Exception):
        if (path.parent / FILE).exists():
            Catalogue(path.parent).update(path.name)


def locate(root: str | os.PathLike[str], name: str) -> Path:
    """Return the folder of a data set below the root.

    Args:
        root: where data sets are kept.
        name: of the folder, of the data set without the key, or a beginning that one folder has.

    Raises:
        StorageError: there is none, or several begin so.
    """
    names = sorted(data_sets(Path(root)))
    found = [n for n in names if name and n.startswith(name)]
    named = [n for n in found if re.fullmatch("(-[0-9a-f]{10})?", n.removeprefix(name))]
    if name in named or len(named) == 1:
        return Path(root) / (name if name in named else named[0])
    if len(found) == 1:
        return Path(root) / found[0]
    if found:
        more = ", …" if len(found) > 5 else ""
        raise StorageError(f"{name}: {len(found)} data sets begin so: {', '.join(found[:5])}{more}")
    raise StorageError(
        f"{name}: no data set of that name in {root}; `rekrylov list --root {root}` shows them"
    )
