"""Long-lived child processes: each writes to a log of its own and dies with its parent."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from pipeline.launch import die_with_parent

__all__ = ["Child", "PartFailed", "end_marked", "marked"]


class PartFailed(RuntimeError):
    """A process that others rely on did not start; the message has its last words."""


class Child:
    """A command that runs in the background, in a session of its own.

    A Ctrl-C of the terminal doesn't reach it: its parent ends it, in the right order.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.name, self.log = name, log
        self._command, self._environment = command, environment
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    def start(self) -> "Child":
        """Start it, or start it again."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                die_with_parent(self._command, os.getpid()),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
            )
        self._started = time.monotonic()
        return self

    @property
    def pid(self) -> int:
        """The process's id; 0 before the start."""
        return 0 if self._process is None else self._process.pid

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    def ended(self) -> bool:
        """Whether it doesn't run."""
        return self._process is None or self._process.poll() is not None

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        return 0 if self._process is None else self._process.wait()

    def stop(self, seconds: float) -> None:
        """End it: SIGTERM, and SIGKILL after some seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def said(self, lines: int = 15) -> str:
        """Return the last lines of its log."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


def marked(name: str, value: str) -> list[psutil.Process]:
    """Return the live processes, but this one, with a variable in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            there = process.pid != os.getpid() and process.environ().get(name) == value
            if there and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_marked(name: str, value: str, seconds: float) -> None:
    """Wait until such processes have ended by themselves; kill those that don't in time."""
    end = time.monotonic() + seconds
    while left := marked(name, value):
        if time.monotonic() >= end:
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
        psutil.wait_procs(left, timeout=0.3)
