"""Runs that solve the same batches take turns: `locks/<token>.json`, one file a run.

This saves work and nothing else. Shards and records are committed so that the first writer wins,
so runs that don't see each other's files (a file system that is slow to show them, a folder that
can't be written) solve some batches twice and do no harm.

Each run writes its own file and reads the others'; nothing has to be atomic. Who goes first is
Lamport's bakery algorithm (Communications of the ACM 17 (1974) 453): a run says that it arrives,
takes a number above all that it sees, and waits for those with overlapping batches that are still
arriving or have a lower number. Runs with disjoint batches don't wait for each other.

A run shows that it lives by touching its file (its time changes; it needs no space, and its name is
never away while others list the folder). One whose process has ended is noticed at once on the same
machine. On others, or if the process is stopped, it counts as dead when its file has not changed
for `seconds`, by the steady clock of the one that waits: no two clocks are compared.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType

from storage import files
from storage.claim import LONGEST, Claim, Key, pack_runs
from storage.errors import DamagedFile, StorageError
from storage.folder import DataFolder
from storage.owner import Owner

__all__ = ["SECONDS", "WorkLock"]

SECONDS = "REKRYLOV_LOCK_SECONDS"
"""Environment variable: after how many seconds without a beat a run counts as dead; default 60."""

_BEATS = 6
"""Beats within that time."""

_TRIES = 20
_NAME = re.compile(r"[0-9a-f]{32}\.json")


class WorkLock:
    """This run's claim on batches of a data set: taken on entry, given back on exit.

    On entry it may still be another run's turn: ask `must_wait` again and again until it isn't.

    Attributes:
        pause: Seconds to sleep between two questions.
    """

    def __init__(
        self,
        folder: DataFolder,
        batches: Collection[Key],
        say: Callable[[str], object] = print,
    ) -> None:
        """Prepare; nothing is written.

        Args:
            folder: The data set.
            batches: (segment, batch) of all that is going to be solved; with none there is no file.
            say: Told, in a line, who is waited for and whose work is taken over.

        Raises:
            StorageError: `REKRYLOV_LOCK_SECONDS` is no number of seconds.
        """
        seconds = _seconds()
        self.pause = min(1.0, seconds / _BEATS)
        self._folder, self._batches, self._say = folder, sorted(batches), say
        self._mine = Claim(
            uuid.uuid4().hex, Owner.of_this_process(), seconds, None, pack_runs(self._batches)
        )
        self._path = folder.locks / f"{self._mine.token}.json"
        self._watch = _Watch()
        self._told: set[str] = set()
        self._held = False
        self._ended = threading.Event()

    def __enter__(self) -> WorkLock:
        """Arrive, take a number, and begin to beat; without a place to write, do without."""
        self._clear()
        if self._batches:
            try:
                self._write()
                self._mine.number = 1 + max((c.number or 0 for c in self._others()), default=0)
                self._write()
                self._held = True
                threading.Thread(target=self._beat, name="lock", daemon=True).start()
            except OSError:
                self._remove(self._path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it back. A forked copy of this process doesn't."""
        self._ended.set()
        if self._held and os.getpid() == self._mine.owner.pid:
            self._held = False
            self._remove(self._path)

    @property
    def held(self) -> bool:
        """False if there is no file: it could not be written, or another run removed it."""
        return self._held

    def must_wait(self, batches: Collection[Key] | None = None) -> bool:
        """Whether a live run that goes first has some of the batches.

        Args:
            batches: Those that are still to be solved; by default all that were claimed.
        """
        if not self._held:
            return False
        wanted = self._batches if batches is None else sorted(batches)
        before = [claim for claim in self._others() if self._goes_first(claim, wanted)]
        waits = False
        for claim, verdict in self._watch.look(before):
            if verdict is None:
                waits = True
                self._tell(
                    claim,
                    f"waits for another run of the same samples ({claim.owner}); "
                    "nothing is lost if either is stopped",
                )
            else:
                self._remove(self._folder.locks / f"{claim.token}.json")
                self._tell(claim, f"takes over from another run ({claim.owner}), {verdict}")
        return waits

    def _tell(self, claim: Claim, text: str) -> None:
        """Say it once; one that arrives will have a number in a moment."""
        if claim.number is not None and text not in self._told:
            self._told.add(text)
            self._say(text)

    def _goes_first(self, claim: Claim, wanted: list[Key]) -> bool:
        mine = (self._mine.number or 0, self._mine.token)
        first = claim.number is None or (claim.number, claim.token) < mine
        return first and claim.overlaps(wanted)

    def _others(self) -> Iterator[Claim]:
        """The claims of other runs; what can't be read or isn't one is passed over."""
        try:
            names = os.listdir(self._folder.locks)
        except OSError:
            return
        for name in filter(_NAME.fullmatch, names):
            if name != self._path.name:
                with contextlib.suppress(OSError, DamagedFile, ValueError):
                    yield Claim.read(self._folder.locks / name)

    def _beat(self) -> None:
        """Touch the file again and again, until this run ends or another took it for dead."""
        while not self._ended.wait(self._mine.seconds / _BEATS):
            try:
                os.utime(self._path)
            except FileNotFoundError:
                self._held = False
                return
            except OSError:  # perhaps next time
                continue

    def _write(self) -> None:
        """Put this run's file in place. Nothing of it has to survive a power loss."""
        data = self._mine.as_json()
        for _ in range(_TRIES):
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._path.parent)
            temporary = files.temporary_path(self._path)
            try:
                temporary.write_bytes(data)
                os.replace(temporary, self._path)
                return
            except FileNotFoundError:  # the last one left, and took the folder along
                continue
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
        raise FileNotFoundError(self._path.parent)

    def _clear(self) -> None:
        """Remove what ended processes of this machine left."""
        with contextlib.suppress(OSError, StorageError):
            files.remove_leftovers(self._folder.locks)
        for claim in self._others():
            if claim.owner.is_gone() and not claim.overlaps(self._batches):
                self._remove(self._folder.locks / f"{claim.token}.json")

    def _remove(self, path: Path) -> None:
        """Remove a file, and the folder after the last one."""
        with contextlib.suppress(OSError):
            os.unlink(path)
        with contextlib.suppress(OSError):
            os.rmdir(path.parent)


class _Watch:
    """Which claims change, seen by this process's own steady clock."""

    def __init__(self) -> None:
        self._looked = time.monotonic()
        self._seen: dict[str, tuple[object, float]] = {}

    def look(self, claims: list[Claim]) -> Iterator[tuple[Claim, str | None]]:
        """Say of each claim why it counts as dead, None if it doesn't.

        On one machine a process lives as well while it computes: its beats stop as long as a
        single call of PETSc lasts. Time counts a beat at most from look to look, so that nobody
        dies because the one who looks was stopped.
        """
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        seen: dict[str, tuple[object, float]] = {}
        for claim in claims:
            pulse = (claim.beat, claim.number, claim.owner.cpu_ticks())
            before, still = self._seen.get(claim.token, (None, 0.0))
            still = still + min(passed, claim.seconds / _BEATS) if pulse == before else 0.0
            seen[claim.token] = pulse, still
            if claim.owner.is_gone():
                yield claim, "whose process has ended"
            elif still > claim.seconds:
                yield claim, f"which gave no sign of life for {claim.seconds:g} s"
            else:
                yield claim, None
        self._seen = seen


def _seconds() -> float:
    text = os.environ.get(SECONDS, "") or "60"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:
        raise StorageError(
            f"{SECONDS}: got {text!r}; expected seconds, above 0 and at most {LONGEST:g}"
        )
    return seconds
