"""Progress of long work: a bar on a terminal, plain lines elsewhere, marked lines for a parent."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["MARKED", "Task", "parse_mark", "progress"]

MARKED = "REKRYLOV_MARKED_PROGRESS"
"""Environment variable: set by a parent that reads the marked lines and draws the bar itself."""

_LINE_SECONDS = 2.0
_SHORTEST = 0.1  # a rate over less than this many seconds says nothing
_MARK = re.compile(r"@progress (\S+) (\d+) (\d+)$")


class Task(Protocol):
    """One piece of long work."""

    def __call__(self, done: int, note: str = "") -> None:
        """Say how much is done."""


@contextmanager
def progress(name: str, total: int, quiet: bool = False) -> Iterator[Task]:
    """Show the progress of `total` units of work called `name`."""
    if quiet or total == 0:
        yield lambda done, note="": None
    elif os.environ.get(MARKED):
        yield _Lines(name, total, marked=True)
    elif sys.stderr.isatty():
        with _bar(name, total) as task:
            yield task
    else:
        yield _Lines(name, total, marked=False)


def parse_mark(line: str) -> tuple[str, int, int] | None:
    """Return (name, done, total) of a marked line, None for any other line."""
    found = _MARK.match(line.strip())
    return (found[1], int(found[2]), int(found[3])) if found else None


class _Lines:
    """A line every two seconds, and one at the end."""

    def __init__(self, name: str, total: int, marked: bool) -> None:
        self._name, self._total, self._marked = name, total, marked
        self._start = time.monotonic()
        self._last = self._start
        self._interval = 0.2 if marked else _LINE_SECONDS

    def __call__(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if now - self._last < self._interval and done < self._total:
            return
        self._last = now
        if self._marked:
            text = f"@progress {self._name} {done} {self._total}"
        elif now - self._start < _SHORTEST:
            text = f"{self._name}: {done}/{self._total} {note}"
        else:
            rate = done / (now - self._start)
            left = (self._total - done) / rate if rate > 0 else float("inf")
            text = f"{self._name}: {done}/{self._total}, {rate:.1f}/s, {left:.0f} s left {note}"
        print(text.rstrip(), file=sys.stderr, flush=True)


@contextmanager
def _bar(name: str, total: int) -> Iterator[Task]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total, rate="", note="")
        start = time.monotonic()

        def update(done: int, note: str = "") -> None:
            rate = done / max(time.monotonic() - start, 1e-9)
            bar.update(task, completed=done, rate=f"{rate:.1f}/s", note=note)

        yield update
