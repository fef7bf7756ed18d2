"""The data sets of a root as the web pages see them: index, worker processes, and a cache."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.catalogue import Catalogue, Summary
from storage.catalogue.rows import Row, unread
from storage.errors import DamagedFile
from storage.web.limits import is_png, read_small
from storage.web.pool import Busy, Damaged, Missing, Pool

__all__ = ["Entry", "Library"]

_PAUSE = 5.0  # seconds between looks for changes; longer where looking takes long
_SHARE = 20  # at least so many times as long as looking took
_FIRST = 8.0  # seconds that a first request waits for the index
_BYTES = 96 << 20
_THUMBNAIL = 1 << 20
_NAME = re.compile(r"[^./\x00-\x1f][^/\x00-\x1f]{0,254}")
_STATED = (
    "manifest.json",
    "spaces.h5",
    "scalars.h5",
    "shards",
    "previews",
    "training",
    "comparison",
)
_log = logging.getLogger("rekrylov.web")


@dataclass(frozen=True)
class Entry:
    """A data set that is there.

    Attributes:
        summary: its row of the index.
        version: changes when one of its files does; part of the addresses of pictures.
    """

    summary: Summary
    version: str

    @property
    def folder(self) -> str:
        """Name of its folder below the root."""
        return self.summary.folder


class Library:
    """What is below a root. Nothing is written there: the index is kept in memory.

    Args:
        root: folder that holds the data sets.
        workers: processes that read and draw.
        timeout: seconds that reading or drawing one thing may take.
    """

    def __init__(self, root: Path, workers: int = 2, timeout: float = 20.0) -> None:
        self.root = Path(os.path.realpath(root))
        self.catalogue = Catalogue(self.root, readonly=True, read=self._row)
        self._reader = Pool(self.root, 1, timeout, draws=False)
        self._reader.begin()
        self._pool = Pool(self.root, workers, timeout)
        self._cache = _Cache(_BYTES)
        self._ready, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the worker processes."""
        self._ended.set()
        self._pool.close()
        self._reader.close()

    def wait(self) -> bool:
        """Wait a little for the first look at the root; False if it isn't over."""
        return self._ready.wait(_FIRST)

    def entry(self, folder: str) -> Entry:
        """Return the data set in a folder below the root; links are none to the index.

        Raises:
            Missing: there is none.
        """
        self.wait()
        found = self.catalogue.get(folder) if _NAME.fullmatch(folder) else None
        if found is None or found.folder != folder:
            raise Missing(f"there is no data set {folder[:200]!r}")
        return Entry(found, _version(self.root / folder))

    def version(self, folder: str) -> str:
        """Of a data set that is listed, see `Entry.version`."""
        return _version(self.root / folder)

    def thumbnail(self, entry: Entry) -> bytes:
        """Return the small picture of a data set: the stored one, else one that is drawn now.

        Raises:
            Missing, Damaged, Busy: see `storage.web.pool`.
        """
        try:
            path = self.root / entry.folder / "previews" / "thumbnail.png"
            data = read_small(self.root, path, _THUMBNAIL)
        except (FileNotFoundError, DamagedFile):
            data = b""
        return data if is_png(data) else self.ask(entry, "thumbnail")

    def ask(self, entry: Entry, task: str, *args: Any) -> Any:
        """Let a worker do a task of `storage.web.tasks`; what it gives is kept for a while.

        Raises:
            Missing, Damaged, Busy: see `storage.web.pool`.
        """
        key = (entry.folder, entry.version, task, *args)
        found = self._cache.get(key)
        if found is None:
            found = self._pool.call(task, entry.folder, entry.version, *args)
            self._cache.put(key, found)
        return found

    def _row(self, path: Path) -> Row:
        """Let a worker read a folder's row: a crafted file can't hurt the server then."""
        try:
            found: Row = self._reader.call("index_row", path.name, "")
        except (Damaged, Missing) as error:
            return unread(path, str(error))
        return found

    def _draw(self) -> None:
        """Start the workers that draw, once they don't hold up the list."""
        with suppress(Busy):  # it ends
            self._pool.begin()

    def _watch(self) -> None:
        """Bring the index up to date, again and again."""
        while not self._ended.is_set():
            start = time.monotonic()
            try:
                self.catalogue.refresh()
            except Exception:  # a root that isn't there now may be later
                if not self._ended.is_set():
                    _log.exception("%s: can't be looked through", self.root)
            if not self._ready.is_set():
                self._ready.set()
                self._draw()
            self._ended.wait(max(_PAUSE, _SHARE * (time.monotonic() - start)))


def _version(path: Path) -> str:
    """Of a data set's files, by their times and sizes."""
    told: list[tuple[Any, ...]] = []
    for name in _STATED:
        try:
            found = os.stat(path / name)
            told.append((name, found.st_mtime_ns, found.st_size, found.st_ino))
        except OSError:
            told.append((name,))
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


class _Cache:
    """The last used answers, up to a number of bytes."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Any, tuple[Any, int]] = OrderedDict()

    def get(self, key: Any) -> Any:
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: Any, value: Any) -> None:
        size = len(value) if isinstance(value, bytes) else len(repr(value))
        if size > self._most // 4:
            return
        with self._lock:
            self._size += size - self._kept.pop(key, (None, 0))[1]
            self._kept[key] = (value, size)
            while self._size > self._most:
                self._size -= self._kept.popitem(last=False)[1][1]
