"""What runs in a Dask worker beside the solve stage: is it any use here, and is it still wanted."""

import os
import platform
import sys
import urllib.error
import urllib.request
from importlib import metadata

__all__ = ["complaint", "unwanted", "versions"]

_PACKAGES = ("rekrylov", "dolfinx-solver-real", "prefect", "distributed")
_SECONDS = 10.0


def versions() -> dict[str, str]:
    """Return the versions of all that has to be the same on both sides."""
    return {"python": platform.python_version()} | {n: metadata.version(n) for n in _PACKAGES}


def complaint(expected: dict[str, str], folder: str, api: str | None) -> str | None:
    """Return why this worker can't solve for a flow, in a line; None if it can.

    Args:
        expected: The versions of the flow.
        folder: The data set, which has to be on a file system that both see.
        api: The address of the flow's Prefect server.
    """
    where, found = platform.node(), versions()
    import flows.solve  # noqa: F401 - here, in a thread: a task's arrival would do it, in the loop

    if other := [f"{n} {found[n]}, not {v}" for n, v in expected.items() if found[n] != v]:
        return f"{where} has {', '.join(other)}: install the same there"
    if not os.access(folder, os.W_OK):
        return f"{where} can't write to {folder}: choose a root on a file system that it shares"
    if api is not None and not _answers(api):
        return (
            f"{where} can't reach the Prefect server at {api}: start one that it can reach, and "
            "set PREFECT_API_URL"
        )
    return None


def unwanted() -> str | None:
    """Return why the task in this thread is to end; None while it is wanted, or isn't Dask's.

    Nothing can interrupt a thread. Dask only notes that a task was cancelled, that the client has
    gone, or that the worker closes: so the task asks.
    """
    dask = sys.modules.get("distributed.worker")
    if dask is None:
        return None
    try:
        worker = dask.get_worker()
        task = worker.state.tasks.get(worker.get_current_task())
    except ValueError:  # not within a task
        return None
    if worker.status.name in ("closing", "closed", "failed"):
        return "the worker closes"
    if task is None or task.state not in ("executing", "long-running"):
        return "nobody wants the result any more"
    return None


def _answers(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api.rstrip('/')}/health", timeout=_SECONDS):
            return True
    except urllib.error.HTTPError:  # it wants a password, which the task has
        return True
    except (urllib.error.URLError, OSError, ValueError):
        return False
