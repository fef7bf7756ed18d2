"""Worker processes that read and draw, so that no data set can hurt the server.

Everything that opens an HDF5 file or draws happens in a process of its own: it may take so much
memory and so much time, can write no file, and if it dies, by a file that crashes HDF5 say,
the next request has a new one. It also keeps Matplotlib, which isn't thread-safe, in one thread.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import resource
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from storage.errors import StorageError

__all__ = ["Busy", "Damaged", "Missing", "Pool"]

_MEMORY = 3 << 30  # bytes beyond what a worker takes when it has started
_log = logging.getLogger("rekrylov.web")


class Damaged(Exception):
    """A data set can't be read or drawn; the text may be shown."""


class Missing(Exception):
    """There is no such sample, field or file in the data set."""


class Busy(Exception):
    """No worker was free for a while."""


class Pool:
    """A few worker processes, which `begin` starts, or else the first calls.

    Args:
        root: below which they read.
        size: number of processes.
        timeout: seconds that a task may take; the process is killed then.
        patience: seconds that a call waits for a free worker.
        draws: load beforehand what drawing needs; without, "index_row" is done at once.
    """

    def __init__(
        self,
        root: Path,
        size: int = 2,
        timeout: float = 20.0,
        patience: float = 15.0,
        draws: bool = True,
    ) -> None:
        self._root, self._timeout, self._patience = Path(root), timeout, patience
        self._draws = draws
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False
        for _ in range(size):
            self._idle.put(None)

    def begin(self) -> None:
        """Start the workers that aren't there yet."""
        idle: list[_Worker | None] = []
        try:
            with suppress(queue.Empty):
                while True:
                    idle.append(self._idle.get_nowait())
            idle = [worker or self._start() for worker in idle]
        finally:
            for worker in idle:
                self._idle.put(worker)

    def call(self, task: str, *args: Any) -> Any:
        """Run a task of `storage.web.tasks` in a worker.

        Raises:
            Missing, Damaged: what is asked for isn't there, or can't be read.
            Busy: all workers are at work.
        """
        try:
            worker = self._idle.get(timeout=self._patience)
        except queue.Empty:
            raise Busy("all workers are at work") from None
        try:
            if worker is None or not worker.process.is_alive():
                worker = self._start()
            kind, value = worker.run(task, args, self._timeout)
        except (EOFError, OSError, TimeoutError) as error:
            late = isinstance(error, TimeoutError)
            _log.warning("%s%r: %s", task, args[:2], "too slow" if late else "the worker died")
            if worker is not None:
                self._stop(worker)
            worker = None
            what = "takes too long to read" if late else "can't be read: the reader died of it"
            raise Damaged(f"it {what}") from error
        finally:
            self._idle.put(worker)
        if kind == "value":
            return value
        raise (Missing if kind == "missing" else Damaged)(value)

    def close(self) -> None:
        """End all workers."""
        self._closed = True
        with self._lock:
            workers = list(self._all)
        for worker in workers:
            self._stop(worker)

    def _start(self) -> _Worker:
        if self._closed:
            raise Busy("the server ends")
        worker = _Worker(self._root, self._draws)
        with self._lock:
            self._all.add(worker)
        return worker

    def _stop(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join(5.0)
        worker.pipe.close()
        with self._lock:
            self._all.discard(worker)


class _Worker:
    """A process and the pipe to it."""

    def __init__(self, root: Path, draws: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_serve, args=(other, str(root), draws), daemon=True, name="rekrylov-web"
        )
        self.process.start()
        other.close()
        self._ready = False

    def run(self, task: str, args: tuple[Any, ...], timeout: float) -> tuple[str, Any]:
        if not self._ready:  # its first word; importing takes a second or two
            self._receive(60.0)
            self._ready = True
        self.pipe.send((task, args))
        return self._receive(timeout)

    def _receive(self, timeout: float) -> Any:
        if not self.pipe.poll(timeout):
            raise TimeoutError
        return self.pipe.recv()


def _serve(pipe: Connection, root: str, draws: bool) -> None:
    """The loop of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends it
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from storage.web.opened import Opened

    if draws:
        _warm_up()
    _limit()
    opened = Opened(Path(root))
    pipe.send("ready")
    while True:
        try:
            task, args = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(_outcome(task, opened, args))


def _warm_up() -> None:
    """Load what the first pictures would wait for: Basix, Matplotlib's fonts."""
    import basix  # noqa: F401
    import numpy as np

    from storage.web.plots import histogram

    histogram(np.arange(3.0), "", "light")


def _outcome(name: str, opened: Any, args: tuple[Any, ...]) -> tuple[str, Any]:
    """What a task gives, or why not."""
    from storage.web.opened import NotThere

    folder, version, *rest = args
    try:
        if name == "index_row":  # of a folder as it is, which need not be a data set to open
            from storage.catalogue.rows import read

            return "value", read(opened.root / folder)
        from storage.web.tasks import TASKS

        return "value", TASKS[name](opened.get(folder, version), *rest)
    except (NotThere, FileNotFoundError) as error:
        return "missing", _shown(error, opened)
    except StorageError as error:
        return "damaged", _shown(error, opened)
    except MemoryError:
        return "damaged", "it needs more memory than a page may take"
    except Exception as error:  # crafted content fails in ways that nobody has listed
        logging.getLogger("rekrylov.web").exception("%s of %s", name, folder)
        return "damaged", f"its content is not understood ({type(error).__name__})"


def _shown(error: Exception, opened: Any) -> str:
    """The message without the path of the root, which is nobody's business."""
    return str(error).replace(f"{opened.root}{os.sep}", "")[:500]


def _limit() -> None:
    """Bound memory, and let it write to no file."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if os.path.exists("/proc") else 0
    limit = pages * resource.getpagesize() + _MEMORY
    for what, value in ((resource.RLIMIT_AS, limit), (resource.RLIMIT_FSIZE, 0)):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (value if hard < 0 else min(value, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
