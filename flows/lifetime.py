"""What a flow's process does first, so that it ends well: with a signal, and with its worker."""

import os
import signal
import threading
import time

from pipeline.launch import keep_python_signals

__all__ = ["prepare_process"]

_STARTED_BY_PREFECT = "PREFECT__FLOW_RUN_ID"
_LOOK_SECONDS = 1.0
_REPORT_SECONDS = 20.0  # ranks have 10 to end; the rest is for the last words to the server

_watched = threading.Event()


def prepare_process() -> None:
    """Keep SIGTERM with Python, and end when the worker that started this process has died.

    Prefect leaves the runs of a killed worker alone: they would go on, with their ranks, while
    nobody could cancel them. They end as by SIGTERM, so that the server gets to know.
    """
    # PETSc, loaded by a stage in this process, must not take SIGTERM away from Prefect.
    os.environ.update(keep_python_signals(os.environ))
    if _STARTED_BY_PREFECT in os.environ and not _watched.is_set():
        _watched.set()
        threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()


def _follow(worker: int) -> None:
    while os.getppid() == worker:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_REPORT_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)  # the server is gone as well; ranks die with mpiexec
