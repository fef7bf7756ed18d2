"""Which folders below a root are data sets, and whether one has changed since it was read."""

from __future__ import annotations

import os
import time
from collections.abc import Container, Iterator
from itertools import islice
from pathlib import Path

__all__ = ["data_sets", "is_data_set", "modified", "state"]

_WATCHED = ("", "/manifest.json", "/shards", "/runs", "/training", "/comparison")
_MOST = 1000  # runs of a kind that are looked at
_TICK = 50_000_000  # ns; file systems don't tell two changes within a few ms apart


def data_sets(root: Path, known: Container[str] = ()) -> Iterator[str]:
    """Names of the data sets below a root, in no order; none if there is no root.

    Hidden folders and symbolic links are left out: a link's target has a root of its own. Folders
    in `known` are taken for data sets unseen.
    """
    try:
        with os.scandir(root) as found:
            for item in found:
                is_folder = _is_name(item.name) and item.is_dir(follow_symlinks=False)
                if is_folder and (item.name in known or _has_data(item.path)):
                    yield item.name
    except (FileNotFoundError, NotADirectoryError):
        return


def is_data_set(path: Path) -> bool:
    """Whether a folder is a data set, as `data_sets` sees it."""
    path = Path(path)
    return _is_name(path.name) and not path.is_symlink() and _has_data(os.fspath(path))


def modified(root: Path) -> int:
    """When a folder was last added to the root, renamed or removed, in ns; 0 if just now."""
    try:
        found = os.stat(root).st_mtime_ns
    except OSError:
        return 0
    return found if found < time.time_ns() - _TICK else 0


def state(path: Path) -> str:
    """What changes with a data set: sizes and times of its folder and of the files it is known by.

    New files get their names by a rename, which changes their folder; so no record is looked at.
    Where something was changed just now the state is one that no later one equals.
    """
    root, parts, newest = os.fspath(path), [], 0
    reports = [
        f"/{kind}/{name}" for kind in ("training", "comparison") for name in _names(root, kind)
    ]
    for name in (*_WATCHED, *reports):
        try:
            found = os.stat(root + name)
        except OSError:
            parts.append("-")
            continue
        parts.append(f"{found.st_mtime_ns:x}.{found.st_size:x}.{found.st_ino:x}")
        newest = max(newest, found.st_mtime_ns)
    now = time.time_ns()
    if newest > now - _TICK:
        parts.append(f"+{now:x}")
    return " ".join(parts)


def _names(root: str, kind: str) -> list[str]:
    try:
        with os.scandir(f"{root}/{kind}") as found:
            return sorted(item.name for item in islice(found, _MOST))
    except OSError:
        return []


def _is_name(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return False
    return bool(name) and not name.startswith(".")


def _has_data(path: str) -> bool:
    return os.path.isdir(f"{path}/shards") or os.path.isfile(f"{path}/manifest.json")
