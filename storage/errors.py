"""What can be wrong with a data set on disk, as one family of exceptions.

Every message is one line: what came, what was expected, what to do.
"""

from __future__ import annotations

__all__ = [
    "BadSelection",
    "DamagedFile",
    "DamagedShard",
    "FormatMismatch",
    "ReadOnly",
    "RevisionMismatch",
    "StorageError",
    "StorageFull",
]


class StorageError(Exception):
    """Something about a data set on disk; the base of the family."""


class BadSelection(StorageError):
    """A condition on samples, a list of ids or the name of a definition that can't be used."""


class FormatMismatch(StorageError):
    """The file has another format version than this package reads and writes."""


class RevisionMismatch(StorageError):
    """The file belongs to another data set: another data key, revision or spaces hash."""


class DamagedFile(StorageError):
    """A file is missing, truncated, altered or malformed; the message names it."""


class DamagedShard(DamagedFile):
    """A shard or its record is missing, truncated, altered or malformed."""


class StorageFull(StorageError):
    """No space or quota left (ENOSPC, EDQUOT); what was committed is safe."""


class ReadOnly(StorageError):
    """The place can't be written (EROFS, EACCES, EPERM)."""
