"""Deleting data sets: into `<root>/.trash`, from where they can be taken back."""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from storage import files
from storage.catalogue.index import note
from storage.catalogue.states import is_data_set
from storage.catalogue.summary import summarise
from storage.claim import Claim
from storage.errors import ReadOnly, StorageError
from storage.folder import DataFolder

__all__ = ["TRASH", "check_deletable", "empty_trash", "in_trash", "move_to_trash", "writing"]

TRASH = ".trash"
_LIVELY = 120.0  # seconds after a batch in which the next one is expected
_NAME = re.compile(r"\d{8}T\d{6}(\.\d+)?-.+")


def check_deletable(folder: Path, root: Path) -> Path:
    """Return the path of a data set that may be deleted.

    Raises:
        StorageError: it is no data set right below the root, or a run is writing it.
    """
    path = Path(folder).absolute()
    path = path.parent.resolve() / path.name
    if path.parent != Path(root).resolve():
        raise StorageError(f"{folder}: is not right below the root {root}; name its --root")
    if not is_data_set(path):
        raise StorageError(f"{folder}: is no data set; only data sets are deleted")
    if reason := writing(path):
        raise StorageError(f"{folder}: {reason}; wait for the run to end, or stop it")
    return path


def move_to_trash(folder: Path, root: Path) -> Path:
    """Move a data set to `<root>/.trash/<time>-<name>`; returns where it is now.

    Raises:
        StorageError: it is no data set below the root, or a run is writing it.
        ReadOnly: the root can't be written.
    """
    path = check_deletable(folder, root)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    target = Path(root) / TRASH / f"{stamp}-{path.name}"
    try:
        if target.parent.is_symlink():
            raise StorageError(f"{target.parent}: is a link; remove it, and it is made as a folder")
        files.make_folder(target.parent)
        os.rename(path, target)
    except OSError as error:
        raise ReadOnly(
            f"{folder}: cannot be moved to {target.parent} ({error.strerror})"
        ) from error
    note(path)
    return target


def in_trash(root: Path) -> list[Path]:
    """Return the data sets in the trash, the oldest first."""
    place = Path(root) / TRASH
    if place.is_symlink() or not place.is_dir():
        return []
    return sorted(
        path
        for path in place.iterdir()
        if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    )


def empty_trash(root: Path) -> list[Path]:
    """Remove for good what is in the trash; returns what was removed.

    Raises:
        ReadOnly: something can't be removed.
    """
    removed = []
    for path in in_trash(root):
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise ReadOnly(f"{path}: cannot be removed ({error.strerror})") from error
        removed.append(path)
    return removed


def writing(folder: Path) -> str | None:
    """Return why a run seems to write a data set just now, None if none does.

    A run of another host, or one that is between two batches, shows by young files only.
    """
    data = DataFolder(folder)
    for path in data.locks.glob("*.json"):
        with suppress(OSError, StorageError, ValueError):
            owner = Claim.read(path).owner
            if not owner.is_gone() and _age(path) < _LIVELY:
                return f"a run is solving it ({owner})"
    for place in (data.path, data.shards, data.runs, data.training):
        for path in files.leftovers(place):
            if not files.is_abandoned(path) and _age(path) < _LIVELY:
                return f"a process is writing {path.name}"
    age = _age(data.shards)
    if age < _LIVELY and summarise(data).status in ("incomplete", "unfinished"):
        return f"it isn't finished, and a batch was written {age:.0f} s ago"
    return None


def _age(path: Path) -> float:
    """Seconds between now and a change of a file or folder; infinite if there is none.

    A change of the future is that of a clock that was set back since.
    """
    try:
        return abs(time.time() - path.stat().st_mtime)
    except OSError:
        return math.inf
