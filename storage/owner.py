"""Who a process is, told apart from all others, and whether it still is there."""

from __future__ import annotations

import getpass
import os
import re
import socket
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["Owner"]

_LONGEST = 200  # characters of a text that another process wrote
_BOOT = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True)
class Owner:
    """A process of some machine.

    Attributes:
        host: Name of the machine.
        place: What tells machine, start of the machine and name space of processes from others:
            in the same place a pid is the same process.
        pid: Number of the process.
        started: When it started, in clock ticks since the machine did; 0 if that can't be known.
        user: Who runs it.
        command: What was typed.
        since: When it came, UTC. For people: no decision depends on it.
    """

    host: str
    place: str
    pid: int
    started: int
    user: str
    command: str
    since: str

    @classmethod
    def of_this_process(cls) -> Owner:
        """Describe the running process."""
        pid = os.getpid()
        status = _status(pid)
        return cls(
            host=socket.gethostname(),
            place=_place(),
            pid=pid,
            started=status[1] if status else 0,
            user=_user(),
            command=_printable(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])),
            since=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        )

    @classmethod
    def parse(cls, raw: Any) -> Owner:
        """Read what another process wrote about itself.

        Raises:
            ValueError: It is something else.
        """
        names = ("host", "place", "user", "command", "since")
        found = raw if isinstance(raw, dict) else {}
        texts = {n: _printable(found[n]) for n in names if isinstance(found.get(n), str)}
        if len(texts) < len(names):
            raise ValueError("no owner")
        pid, started = found.get("pid"), found.get("started")
        if type(pid) is not int or type(started) is not int or not 0 < pid < 2**31:
            raise ValueError("no process")
        return cls(pid=pid, started=started, **texts)

    def __str__(self) -> str:
        return (
            f"{self.host}, pid {self.pid}, user {self.user}, since {self.since}: `{self.command}`"
        )

    def is_gone(self) -> bool:
        """Whether it certainly has ended; False where that can't be seen from here."""
        if self.place != _place():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass  # another user's
        status = _status(self.pid)
        return status is not None and (status[0] in "ZX" or status[1] != self.started)

    def cpu_ticks(self) -> int:
        """Time that it has computed so far, 0 where that can't be seen from here."""
        status = _status(self.pid) if self.place == _place() else None
        return status[2] if status and status[1] == self.started else 0


def _place() -> str:
    """The machine since its start and the name space of processes, as text."""
    try:
        return f"{Path(_BOOT).read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux: pids are compared on hosts of one name, without start times
        return socket.gethostname()


def _status(pid: int) -> tuple[str, int, int] | None:
    """State, start and computing time of a process in clock ticks; None if they can't be read.

    These are the kernel's own counts: unlike psutil's they don't change with the wall clock.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19]), int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return str(os.getuid())


def _printable(text: str) -> str:
    """One short line without control characters, whoever wrote it."""
    line = re.sub(r"\s+", " ", text)
    return "".join(c if c.isprintable() else "?" for c in line)[:_LONGEST]
