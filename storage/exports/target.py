"""Where an export goes: a file or folder that appears complete or not at all, with its origin."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import StorageError
from storage.files import commit_json, make_folder, temporary_path, translated

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = [
    "MARK",
    "check_space",
    "file_stem",
    "file_in",
    "files_below",
    "new_file",
    "new_folder",
    "provenance",
]

MARK = "export.json"
"""In a folder that is an export: says of what. Only such a folder is ever replaced."""


def file_stem(dataset: Dataset) -> str:
    """The data set's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", str(dataset.manifest.get("name") or "samples"))


def provenance(dataset: Dataset) -> dict[str, str]:
    """Return where the data come from, as texts: for attributes of exported files."""
    manifest = dataset.manifest
    keys = ("name", "data_key", "spaces_hash", "licence", "citation", "definition")
    found = {key: str(manifest[key]) for key in keys if manifest.get(key)}
    try:
        found["exported_by"] = f"rekrylov {version('rekrylov')}"
    except PackageNotFoundError:  # used from its source
        found["exported_by"] = "rekrylov"
    return found


@contextlib.contextmanager
def new_file(out: Path, force: bool) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `out` at the end, or vanishes on an error.

    Raises:
        StorageError: `out` exists and `force` is False, or is a folder; its folder is missing.
        StorageFull, ReadOnly: the disk is full; the place can't be written.
    """
    _check(out, force)
    if out.is_dir():
        raise StorageError(f"{out}: is a folder; this format is one file, name one")
    temporary = temporary_path(out)
    with _translated(out):
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, out)
        finally:
            temporary.unlink(missing_ok=True)
        _sync(out.parent)


@contextlib.contextmanager
def new_folder(out: Path, force: bool, about: dict[str, str]) -> Iterator[Path]:
    """Give a temporary folder to fill; it becomes `out` at the end, or vanishes on an error.

    `about` is written into it as `export.json`. With `force` an older folder is replaced if it
    holds such a file, and no other one.

    Raises:
        StorageError: `out` exists and mustn't be replaced, or its folder is missing.
        StorageFull, ReadOnly: the disk is full; the place can't be written.
    """
    _check(out, force)
    if out.exists() and not (out / MARK).is_file():
        raise StorageError(f"{out}: is no export (it has no {MARK}) and is left alone; remove it")
    temporary = temporary_path(out)
    with _translated(out):
        try:
            temporary.mkdir()
            yield temporary
            commit_json(temporary / MARK, about, replace=False, indent=2)
            for path in [*temporary.rglob("*"), temporary]:
                _sync(path)
            old = temporary_path(out)
            if out.exists():
                os.rename(out, old)
            os.rename(temporary, out)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _sync(out.parent)


def check_space(folder: Path, size: int) -> None:
    """Ask for `size` bytes in a folder and give them back.

    For writers that can't be trusted with a full disk, such as HDF5 and PyTorch.

    Raises:
        OSError: there are not so many (`ENOSPC`, `EDQUOT`).
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, max(1, size))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # can't be asked for here
                raise


def file_in(out: Path, name: str) -> Path:
    """Return the place of a file of one name: `out` if it is called alike, else in that folder.

    The folder is made if there is none.
    """
    place = out if out.suffix == Path(name).suffix and not out.is_dir() else out / name
    make_folder(place.parent)
    return place


def files_below(folder: Path) -> list[Path]:
    """All files of a folder, by name."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _check(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise StorageError(f"{out}: exists; name another place, or replace it with --force")
    if not out.parent.is_dir():
        raise StorageError(f"{out}: folder {out.parent} is missing; create it first")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _translated(out: Path) -> Iterator[None]:
    """As `files.translated`; HDF5 and PyTorch tell of a full disk in words alone."""
    with translated(out):
        try:
            yield
        except FileNotFoundError as error:  # not the folder, which was looked for
            raise StorageError(f"{out}: cannot be written ({error})") from error
        except (OSError, RuntimeError) as error:
            if "No space left" in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise
