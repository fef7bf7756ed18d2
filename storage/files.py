"""Atomic, durable files: every write of the commit protocol goes through here.

A file appears under its name complete or not at all: written to a temporary name in the same
folder, synced, read again and compared, renamed (or linked, where the first writer must win),
and the folder synced. A power loss or a kill leaves at most a temporary file behind.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from storage.errors import DamagedFile, ReadOnly, StorageError, StorageFull

__all__ = [
    "LARGEST",
    "commit_bytes",
    "commit_json",
    "is_abandoned",
    "leftovers",
    "make_folder",
    "plain",
    "read_bytes",
    "parse_json",
    "read_json",
    "remove_file",
    "remove_leftovers",
    "sha256",
    "sha256_file",
    "sync_folder",
    "temporary_path",
    "translated",
]

_BLOCK = 1 << 18
LARGEST = 1 << 28
"""Bytes of a file of texts that is read: ten times what 10⁵ shards take."""
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def sha256(data: bytes | memoryview) -> str:
    """Return the SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of the file's bytes; raises DamagedFile if it can't be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DamagedFile(f"{path}: cannot be read ({error.strerror})") from error


def temporary_path(path: Path) -> Path:
    """Return a new name beside `path` that tells host and process, see `remove_leftovers`."""
    path = Path(path)
    return path.with_name(f"{path.name}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def commit_bytes(path: Path, data: bytes | memoryview, *, replace: bool) -> bool:
    """Make `path` hold `data`, atomically and durably.

    Args:
        path: the final name; its folder must exist.
        data: the whole content.
        replace: take the place of an existing file; otherwise the first writer wins.

    Returns:
        False if `replace` is False and `path` existed already (it is left as it is).

    Raises:
        StorageFull: no space or quota left; no temporary file is left behind.
        ReadOnly: the folder can't be written.
        StorageError: any other failure of the file system.
    """
    path = Path(path)
    temporary = temporary_path(path)
    with translated(path):
        try:
            _write_synced(temporary, memoryview(data))
            published = _publish(temporary, path, replace)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(path.parent)
    return published


def commit_json(path: Path, value: Any, *, replace: bool, indent: int | None = None) -> bool:
    """Write `value` as JSON (UTF-8, no NaN) like `commit_bytes`; NumPy values are converted."""
    return commit_bytes(path, (_dumps(value, indent) + "\n").encode(), replace=replace)


def read_bytes(path: str | os.PathLike[str], most: int = LARGEST) -> bytes:
    """Read a whole file; nobody waits for a FIFO, or reads a device that never ends.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        FileNotFoundError: there is none.
        DamagedFile: it is no plain file, has more bytes, or can't be read.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise DamagedFile(f"{path}: is no plain file; remove it")
            if found.st_size > most:
                raise DamagedFile(f"{path}: is not read, it has {found.st_size} bytes; remove it")
            return file.read(most)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedFile(f"{path}: cannot be read ({error.strerror})") from error


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def read_json(path: str | os.PathLike[str], most: int = LARGEST) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        FileNotFoundError: there is none.
        DamagedFile: it can't be read, is larger, isn't JSON, or is nested without end.
    """
    return parse_json(path, read_bytes(path, most))


def parse_json(path: str | os.PathLike[str], content: bytes | str) -> Any:
    """Parse the content of a JSON file; raises DamagedFile as `read_json` does."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path}: is not valid JSON ({error}); run `rekrylov check`") from error


def plain(value: Any) -> Any:
    """`value` as it comes back from JSON: NumPy converted, NaN and infinities null."""
    return json.loads(_dumps(value, None))


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, durably; an existing one is fine."""
    path = Path(path)
    if path.is_dir():
        return
    make_folder(path.parent)
    with translated(path):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
        sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file, durably; a missing one is fine."""
    with translated(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        sync_folder(Path(path).parent)


def leftovers(folder: Path) -> list[Path]:
    """Temporary files in `folder`, of live writers and of dead ones."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(Path(folder) / name for name in names if name.endswith(".tmp"))


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove temporary files of dead processes of this host; returns what was removed.

    Other writers may be at work in the same folder: their files stay, and so do those of
    other hosts, whose processes can't be seen from here.
    """
    removed = []
    for path in leftovers(folder):
        if is_abandoned(path) and not path.is_dir():  # a folder is for its maker to remove
            with translated(path), contextlib.suppress(FileNotFoundError):
                os.unlink(path)
                removed.append(path)
    return removed


def is_abandoned(path: Path) -> bool:
    """Whether a temporary file or folder is of a process of this host that is no more."""
    pattern = rf"\.{re.escape(_host())}\.(\d+)\.[0-9a-f]{{8}}\.tmp$"
    match = re.search(pattern, Path(path).name)
    return match is not None and not _alive(int(match[1]))


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "host"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    try:  # a killed process that nobody has waited for writes no more
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state not in "ZX"


def _write_synced(path: Path, data: memoryview) -> None:
    """Write a new file, sync it, and read it again to see that it holds `data`."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        done = 0
        while done < len(data):
            done += os.write(file, data[done:])
        os.fsync(file)
        if not _reads_back(file, data):
            raise StorageError(f"{path}: does not read back what was written; test the disk")
    finally:
        os.close(file)


def _reads_back(file: int, data: memoryview) -> bool:
    """Read the file and compare.

    This mostly reads the kernel's copy, and so catches short and wrong writes, not a disk that
    alters what it acknowledged: reading around the cache was measured to cost 0.1 ms a sample of
    128² on an idle disk and 1 ms on a busy one. `rekrylov check` finds such damage.
    """
    block = bytearray(_BLOCK)
    for start in range(0, len(data), _BLOCK):
        expected = bytes(data[start : start + _BLOCK])
        if os.preadv(file, [block], start) != len(expected):
            return False
        if (block if len(expected) == _BLOCK else block[: len(expected)]) != expected:
            return False
    return True


def _publish(temporary: Path, path: Path, replace: bool) -> bool:
    """Give the file its final name; False if another one has it and `replace` is False."""
    if replace:
        os.replace(temporary, path)
        return True
    try:
        os.link(temporary, path)
    except FileExistsError:
        os.unlink(temporary)
        return False
    except OSError as error:  # a file system without hard links: the check is not atomic there
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            os.unlink(temporary)
            return False
        os.replace(temporary, path)
        return True
    os.unlink(temporary)
    return True


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn an OSError into the member of the family that says what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise StorageError(f"{path}: its folder is missing; create the data set first") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"{path}: no space left ({error.strerror}); what was committed is safe: "
                "free some space and run the same command again"
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise ReadOnly(
                f"{path}: cannot be written ({error.strerror}); "
                "make the folder writable or choose another root"
            ) from error
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error


def _dumps(value: Any, indent: int | None) -> str:
    try:
        return json.dumps(value, indent=indent, default=_from_numpy, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _from_numpy(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")


def _finite(value: Any) -> Any:
    """Replace NaN and infinities, which JSON lacks, by null."""
    if isinstance(value, np.ndarray | np.generic | Path):
        return _finite(_from_numpy(value))
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
