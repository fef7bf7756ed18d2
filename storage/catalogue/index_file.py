"""The file of the index, shared by processes and threads: opened, replaced if bad, or in memory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from storage.catalogue import schema
from storage.errors import StorageError

__all__ = ["FILE", "IndexFile"]

FILE = Path(".catalogue") / "index.sqlite"
_WAIT = 30.0  # seconds for other writers
_LARGEST = 1 << 30  # bytes of a file that is taken into memory: 10⁵ rows have a fifth of it
_BAD = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")


class IndexFile:
    """The index of a root.

    Attributes:
        in_memory: whether nothing is written below the root.
    """

    def __init__(self, root: Path, readonly: bool, fill: Callable[[], object]) -> None:
        """Open the index, or make one.

        Args:
            root: where the data sets are.
            readonly: write nothing below the root.
            fill: called when a bad file was replaced by an empty one.
        """
        self.path = root / FILE
        self._fill = fill
        self._local = threading.local()
        self._lock = threading.RLock()
        self._memory: sqlite3.Connection | None = None
        self._ready = False
        if readonly or not _can_write(self.path):
            self._to_memory()
        else:
            self.run(lambda connection: None)
        self._ready = True

    @property
    def in_memory(self) -> bool:
        """Whether nothing is written below the root."""
        return self._memory is not None

    def run[T](self, action: Callable[[sqlite3.Connection], T], attempts: int = 3) -> T:
        """Do something with the index.

        A bad file is replaced, and the action repeated on the new one; where the file can't be
        written (any more) the index goes on in memory.

        Args:
            action: is given the connection; may be called several times.
            attempts: how often a bad file may be replaced.

        Raises:
            StorageError: other writers took longer than half a minute.
        """
        if self._memory is not None:
            with self._lock:
                return action(self._memory)
        try:
            return action(self._connection())
        except (sqlite3.DatabaseError, OSError) as error:
            if _is_busy(error):
                raise StorageError(
                    f"{self.path}: other processes have been writing for {_WAIT:.0f} s; try again"
                ) from error
            if isinstance(error, sqlite3.DatabaseError) and _is_bad(error) and attempts:
                self._replace()
            elif isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError):
                raise
            else:
                self._to_memory()
        return self.run(action, attempts - 1)

    def _replace(self) -> None:
        """Put an empty index in the place of a bad one, and fill it."""
        bad = _identity(self.path)
        self._local.connection = None
        _remove(self.path, bad)
        if self._ready and not getattr(self._local, "filling", False):
            self._local.filling = True
            try:
                self._fill()
            finally:
                self._local.filling = False

    def _to_memory(self) -> None:
        with self._lock:
            self._memory = _memory(self.path)

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection to the file that has the index's name now."""
        connection, now = getattr(self._local, "connection", None), self._whose()
        if connection is None or self._local.whose != now:
            self._local.connection = connection = _open(self.path)
            self._local.whose = self._whose()
        return connection

    def _whose(self) -> tuple[object, int]:
        """File and process: a connection must not be used with another of either."""
        return _identity(self.path), os.getpid()


def _open(path: Path) -> sqlite3.Connection:
    """Open the index file with its tables; raises DatabaseError if it is damaged or foreign."""
    path.parent.mkdir(exist_ok=True)
    if path.exists() and not path.stat().st_size and Path(f"{path}-wal").exists():
        raise sqlite3.DatabaseError("is empty")  # SQLite would wait for it for ever
    connection = _connect(os.fspath(path))
    try:
        schema.create(connection)
        _use_wal(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Let readers go on while one process writes; another one that is at it will do so too."""
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if not _is_busy(error):
            raise


def _connect(where: str, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        where, timeout=_WAIT, isolation_level=None, check_same_thread=False, uri=uri
    )
    connection.execute("PRAGMA synchronous=NORMAL")  # it can be rebuilt
    connection.execute("PRAGMA cache_size=-65536")  # KiB: all short rows of 10⁵ data sets
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def _memory(file: Path) -> sqlite3.Connection:
    """An index in memory; it starts with what a file says, if one can be read."""
    for options in ("mode=ro", "immutable=1"):  # without the lock files of a root that is read-only
        if not file.is_file() or file.stat().st_size > _LARGEST:
            break
        memory = _connect(":memory:")
        uri = f"{file.absolute().as_uri()}?{options}"
        try:
            with contextlib.closing(_connect(uri, uri=True)) as source:
                source.backup(memory)
            schema.create(memory)
            schema.check_foreign(memory)
            schema.check(memory)
            return memory
        except sqlite3.Error:
            memory.close()
    memory = _connect(":memory:")
    schema.create(memory)
    return memory


def _can_write(path: Path) -> bool:
    """Whether the file can be written or made; a root isn't made for it."""
    places = [place for place in (path, path.parent, path.parent.parent) if place.exists()]
    return path.parent.parent.is_dir() and all(os.access(p, os.W_OK) for p in places)


def _remove(path: Path, bad: tuple[int, int] | None) -> None:
    """Remove a bad file, unless another process has put a new one in its place meanwhile."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        if bad is not None and _identity(path) == bad:
            for suffix in ("-wal", "-shm", ""):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{path}{suffix}")
    finally:
        os.close(folder)


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_busy(error: BaseException) -> bool:
    name = getattr(error, "sqlite_errorname", "") or ""
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _is_bad(error: sqlite3.DatabaseError) -> bool:
    """Whether the content is damaged, foreign or not complete."""
    name = getattr(error, "sqlite_errorname", "") or ""
    lost = isinstance(error, sqlite3.OperationalError) and "no such" in str(error)
    return name.startswith(_BAD) or lost or type(error) is sqlite3.DatabaseError
