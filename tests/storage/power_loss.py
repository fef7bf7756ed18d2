"""A recorder of file-system calls, and the states a power loss may leave behind.

The model is pessimistic: file contents are lost unless the file was synced, and an entry of a
folder (create, link, rename, unlink, mkdir) is applied or not, independently of the others,
unless the folder was synced.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Recorder:
    """Stands in for the module `os` in `storage.files`, does what it does, and writes it down."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self._paths: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        file = os.open(path, flags, mode)
        self._paths[file] = str(path)
        if flags & os.O_CREAT:
            self.events.append(("create", str(path)))
        return file

    def write(self, file: int, data: Any) -> int:
        done = os.write(file, data)
        self.events.append(("write", self._paths[file], bytes(data[:done])))
        return done

    def fsync(self, file: int) -> None:
        os.fsync(file)
        path = self._paths[file]
        self.events.append(("sync folder" if os.path.isdir(path) else "sync", path))

    def link(self, source: Any, target: Any) -> None:
        os.link(source, target)
        self.events.append(("link", str(source), str(target)))

    def replace(self, source: Any, target: Any) -> None:
        os.replace(source, target)
        self.events.append(("replace", str(source), str(target)))

    def unlink(self, path: Any) -> None:
        os.unlink(path)
        self.events.append(("unlink", str(path)))

    def mkdir(self, path: Any) -> None:
        os.mkdir(path)
        self.events.append(("mkdir", str(path)))


@dataclass
class Inode:
    """A file's content: as written, and as of the last sync."""

    written: bytes = b""
    synced: bytes | None = None


FOLDER = Inode()
Entries = dict[str, Inode | None]


@dataclass
class Disk:
    """The disk after some events: durable entries and the changes that may still be lost."""

    durable: Entries = field(default_factory=dict)
    pending: list[Entries] = field(default_factory=list)
    now: Entries = field(default_factory=dict)

    def apply(self, event: tuple[Any, ...]) -> None:
        kind, path = event[0], event[1]
        if kind == "create":
            self._change({path: Inode()})
        elif kind == "mkdir":
            self._change({path: FOLDER})
        elif kind == "write":
            self._inode(path).written += event[2]
        elif kind == "sync":
            self._inode(path).synced = self._inode(path).written
        elif kind == "link":
            self._change({event[2]: self._inode(path)})
        elif kind == "replace":
            self._change({event[2]: self._inode(path), path: None})
        elif kind == "unlink":
            self._change({path: None})
        elif kind == "sync folder":
            self._settle(path)

    def states(self) -> Iterator[Entries]:
        """Every subset of what is pending, applied; of the last four changes if there are more."""
        old, last = self.pending[:-4], self.pending[-4:]
        for chosen in itertools.product([False, True], repeat=len(last)):
            state = dict(self.durable)
            for change in [*old, *itertools.compress(last, chosen)]:
                state.update(change)
            yield state

    def _inode(self, path: str) -> Inode:
        inode = self.now[path]
        assert inode is not None
        return inode

    def _change(self, change: Entries) -> None:
        self.now.update(change)
        self.pending.append(change)

    def _settle(self, folder: str) -> None:
        inside = [c for c in self.pending if os.path.dirname(next(iter(c))) == folder]
        for change in inside:
            self.durable.update(change)
        self.pending = [change for change in self.pending if change not in inside]


def lay_out(state: Entries, root: str, target: Path, garbage: bool) -> None:
    """Write a state below `target`; contents that weren't synced are empty or garbage."""
    target.mkdir(parents=True)
    for path, inode in sorted(state.items()):
        place = target / os.path.relpath(path, root)
        if inode is None or not place.parent.is_dir():
            continue  # removed, or its folder is lost
        if inode is FOLDER:
            place.mkdir(exist_ok=True)
        elif inode.synced is not None:
            place.write_bytes(inode.synced)
        else:
            half = inode.written[: len(inode.written) // 2]
            place.write_bytes(half + b"\0" * 7 if garbage else b"")
