"""Follow one `mpiexec` to its end: its lines, its exit code, and no process left behind.

What MPICH 5.0.2's `mpiexec` (Hydra) does, measured, and what is made of it:

* Its exit code is the bitwise OR of the ranks' codes (3 on one and 4 on another give 7), or of the
  numbers of the signals that ended them, its own SIGKILL of the rest included: SIGILL gives
  4 | 9 = 13, printed as "Broken pipe (signal 13)", and SIGABRT what SIGTERM gives. MPI_Abort(c)
  gives c. `exit_code` maps that back.
* SIGTERM and SIGINT to `mpiexec` reach each rank once, and `mpiexec` then waits for the ranks, for
  ever if they ignore it. SIGKILL to `mpiexec` ends all ranks within two seconds. SIGKILL to its
  proxy leaves ranks and `mpiexec` alive, so ranks are tied to the proxy. `killpg` reaches only
  `mpiexec`: proxy and ranks have sessions of their own, so they are found by a mark in their
  environment.
* PETSc takes over SIGTERM when it starts: a Python handler installed earlier is lost and the signal
  ends the job with code 59. `-no_signal_handler` in PETSC_OPTIONS prevents it.
"""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

import psutil

__all__ = ["RankRun", "die_with_parent", "exit_code", "keep_python_signals"]

_MARK = "REKRYLOV_LAUNCH"
_KEEP_SIGNALS = "-no_signal_handler"
_ENDED_BY_SIGNAL = re.compile(r"TERMINATED WITH THE EXIT STRING: .*\(signal \d+\)")
_LOST_SECONDS = 3.0

# A fresh interpreter that becomes the command (a preexec_fn could deadlock in a process with
# threads). The death signal outlives exec; argv[1] covers a parent that died before it was set.
_TIE = """import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if sys.argv[1] not in ("0", str(os.getppid())):
    sys.exit(137)
os.execv(sys.argv[2], sys.argv[2:])
"""


def die_with_parent(command: Sequence[str], parent: int = 0) -> list[str]:
    """Return a command that becomes `command` and gets SIGKILL when its parent dies (Linux).

    Args:
        command: The program, by its full path, and its arguments.
        parent: Pid of the process that starts it, if known; if that is gone, nothing is run.
    """
    return [sys.executable, "-I", "-S", "-c", _TIE, str(parent), *command]


def keep_python_signals(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with PETSc told to leave signals alone."""
    options = environment.get("PETSC_OPTIONS", "").split()
    options += [] if _KEEP_SIGNALS in options else [_KEEP_SIGNALS]
    return {**environment, "PETSC_OPTIONS": " ".join(options)}


def exit_code(raw: int, by_signal: bool, stopped: bool) -> int:
    """Return the exit code of the design for what `mpiexec` returned.

    Args:
        raw: The OR of the ranks' codes; negative if `mpiexec` itself was killed.
        by_signal: `mpiexec` reported that a rank was ended by a signal.
        stopped: We asked the ranks to end.

    Returns:
        4 for a stopped run unless its ranks finished all the same (0, 3) or failed in their own
        way (1, 2). Else 0, 2, 3, 4 as they are; 4 for 3 | 4 (not finished); 2 for 2 | 4; 1 for the
        rest. 1 | 2 can't be told from 3: the ranks of a stage agree on their code.
    """
    if stopped:
        return raw if raw in (0, 1, 2, 3) and not by_signal else 4
    if by_signal:
        return 1
    return {0: 0, 2: 2, 3: 3, 4: 4, 6: 2, 7: 4}.get(raw, 1)


class RankRun:
    """One `mpiexec`: started and waited for by `follow`; `kill` may be called at any time."""

    def __init__(
        self,
        on_line: Callable[[str], object] | None,
        log: TextIO | None,
        unwanted: Callable[[], str | None] | None = None,
    ) -> None:
        self._on_line, self._log, self._unwanted = on_line, log, unwanted
        self._mark = uuid.uuid4().hex
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._open = True  # lines may still come
        self._signals: list[int] = []
        self._by_signal = False
        self._kill_at: float | None = None
        self._looked_at = time.monotonic()
        self._seen_at: float | None = None  # when mpiexec last had a live child

    def follow(
        self,
        mpiexec: Sequence[str],
        environment: Mapping[str, str],
        wall_seconds: float | None,
        grace_seconds: float,
    ) -> int:
        """Run it to its end, pass its lines on, stop it when asked to; return the exit code."""
        end = float("inf") if wall_seconds is None else time.monotonic() + wall_seconds
        with _noted(self._signals):
            try:
                process = self._start(mpiexec, environment)
                self._watch(process, end, grace_seconds)
            except BaseException as error:
                self._on_line = None  # it may be what failed
                if self._process is not None and self._kill_at is None:
                    self._stop(type(error).__name__, grace_seconds)
                    self._watch(self._process, float("inf"), grace_seconds)
                raise
        return exit_code(process.wait(), self._by_signal, self._kill_at is not None)

    def kill(self) -> None:
        """Kill what is left of the run, wherever it hangs in the process tree."""
        if self._process is None:
            return
        for _ in range(3):
            left = _marked(self._mark)
            for each in left:
                with suppress(psutil.Error):
                    each.kill()
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            if not psutil.wait_procs(left, timeout=2)[1]:
                return

    def _start(self, mpiexec: Sequence[str], env: Mapping[str, str]) -> "subprocess.Popen[str]":
        self._process = subprocess.Popen(
            die_with_parent(mpiexec, os.getpid()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**env, _MARK: self._mark},
            start_new_session=True,
        )
        threading.Thread(target=_read, args=(self._process, self._lines), daemon=True).start()
        return self._process

    def _watch(self, process: "subprocess.Popen[str]", end: float, grace_seconds: float) -> None:
        while self._open or process.poll() is None:
            self._deliver()
            now = time.monotonic()
            if self._kill_at is None and now >= end:
                self._stop("wall limit reached", grace_seconds)
            elif self._kill_at is None and self._signals:
                self._stop(signal.Signals(self._signals[0]).name, grace_seconds)
            elif self._kill_at is None and self._unwanted and (why := self._unwanted()):
                self._stop(why, grace_seconds)
            elif self._kill_at is not None and (now >= self._kill_at or len(self._signals) > 1):
                self.kill()
            if self._is_lost(process, now):
                self.kill()
                self._open = False

    def _stop(self, why: str, grace_seconds: float) -> None:
        self._kill_at = time.monotonic() + grace_seconds
        if self._process is not None:
            self._process.terminate()
        self._say(f"{why}: the ranks end after the current sample, or in {grace_seconds:g} s")

    def _is_lost(self, process: "subprocess.Popen[str]", now: float) -> bool:
        """Whether `mpiexec`, or every child of it, is gone but the end doesn't come."""
        if now < self._looked_at + 1:
            return False
        self._looked_at = now
        with suppress(psutil.Error):
            children = psutil.Process(process.pid).children()
            if any(child.status() != psutil.STATUS_ZOMBIE for child in children):
                self._seen_at = now
        if self._seen_at is None and process.poll() is not None:
            self._seen_at = now
        return self._seen_at is not None and now > self._seen_at + _LOST_SECONDS

    def _deliver(self) -> None:
        """Pass on the lines there are, or wait a moment for one."""
        with suppress(queue.Empty):
            line = self._lines.get(timeout=0.1)
            while line is not None:
                self._say(line.rstrip("\r\n"))
                line = self._lines.get_nowait()
            self._open = False

    def _say(self, line: str) -> None:
        self._by_signal |= _ENDED_BY_SIGNAL.search(line) is not None
        if self._log is not None:
            try:
                self._log.write(line + "\n")
            except OSError as error:
                self._log = None
                self._say(f"the log can't be written ({error.strerror}); going on without it")
        if self._on_line is not None:
            self._on_line(line)


def _read(process: "subprocess.Popen[str]", lines: "queue.SimpleQueue[str | None]") -> None:
    """Put each line into the queue, and None at the end."""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            lines.put(line)
    finally:
        lines.put(None)


@contextmanager
def _noted(received: list[int]) -> Any:
    """Within, on the main thread, SIGTERM and SIGINT are noted instead of acted on.

    A handler of the caller's own stays (Prefect looks whether its one is in place), and is armed
    again, since PETSc may have taken its place behind Python's back. So do ignored signals.
    """
    previous: dict[signal.Signals, Any] = {}

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            default = handler in (signal.SIG_DFL, signal.default_int_handler, None)
            previous[number] = signal.SIG_DFL if handler is None else handler
            signal.signal(number, note if default else handler)
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def _marked(mark: str) -> list[psutil.Process]:
    """The live processes whose environment carries the mark."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(_MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
