"""The Dask clusters that the settings speak of, and whether their workers can solve."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL

from flows.dask_worker import complaint, versions
from flows.scale import Local, Queue, Scale, Scheduler, Slurm
from pipeline.launch import LauncherError

if TYPE_CHECKING:
    from distributed import Client
    from prefect_dask import DaskTaskRunner

__all__ = ["checked_client", "cluster_options", "cores_of_workers", "slots", "task_runner"]

_CONNECT_SECONDS = 15
_PRELOAD = "flows.solve"
"""Imported before a worker registers: the first task would do that in the worker's event loop,
which is then deaf for seconds; on a busy machine until the scheduler gives the worker up."""
_FAILURES = 10  # lost workers that Dask forgives a part, which may only have waited on them


def task_runner(scale: Scale, folder: Path) -> "DaskTaskRunner":
    """Return Prefect's task runner for the settings; a cluster starts with the first task.

    Raises:
        LauncherError: Dask isn't installed.
    """
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise LauncherError(
            f"scale: {error.name} isn't installed; type: {sys.executable} -m pip install "
            "'rekrylov[scale]'"
        ) from None
    if isinstance(scale, Scheduler):
        return DaskTaskRunner(address=scale.address, client_kwargs={"timeout": _CONNECT_SECONDS})
    if isinstance(scale, Local):
        return DaskTaskRunner(
            cluster_class="distributed.LocalCluster", cluster_kwargs=cluster_options(scale, folder)
        )
    kind = "SLURMCluster" if isinstance(scale, Slurm) else "PBSCluster"
    return DaskTaskRunner(
        cluster_class=f"dask_jobqueue.{kind}",
        cluster_kwargs=cluster_options(scale, folder),
        # Without `adapt` a job that ends at its time limit isn't replaced.
        adapt_kwargs={"minimum_jobs": scale.jobs, "maximum_jobs": scale.jobs},
    )


def cluster_options(scale: Local | Queue, folder: Path) -> dict[str, Any]:
    """Return the arguments of the cluster's class.

    A worker has as many threads as cores, and the resource `cores`: as many `mpiexec` run on it at
    once as their ranks fit into that. Dask's memory limit is for the worker's own process; ranks
    are none of it.
    """
    if isinstance(scale, Local):
        return {
            "n_workers": scale.workers,
            "threads_per_worker": scale.cores,
            "resources": {"cores": scale.cores},
            "memory_limit": 0,
            "preload": [_PRELOAD],
            "dashboard_address": "127.0.0.1:0",
            "worker_dashboard_address": None,
            "scheduler_kwargs": {"allowed_failures": _FAILURES},
        }
    return {
        "job_name": "rekrylov",
        "cores": scale.cores,
        "processes": 1,
        "memory": scale.memory,
        "walltime": scale.walltime,
        "queue": scale.queue,
        "account": scale.account,
        "job_extra_directives": scale.directives,
        "job_script_prologue": scale.prologue,
        "worker_extra_args": ["--resources", f"cores={scale.cores}", "--preload", _PRELOAD],
        "interface": scale.interface,
        "log_directory": str(folder / "runs" / "jobs"),
        "scheduler_options": {"dashboard_address": ":0", "allowed_failures": _FAILURES},
    }


def checked_client(scale: Scale, ranks: int, folder: Path) -> "Client":
    """Return the client of the running flow, once a worker, or each that is there, can solve.

    Raises:
        LauncherError: They can't, or there is no scheduler.
    """
    context = FlowRunContext.get()
    assert context is not None
    runner: Any = context.task_runner
    try:
        client: Client = runner.client  # starts the cluster
    except (OSError, ValueError) as error:
        raise LauncherError(_no_cluster(scale, error)) from None
    if isinstance(scale, Local):
        return client
    question = (complaint, versions(), str(folder.resolve()), PREFECT_API_URL.value())
    if isinstance(scale, Scheduler):
        _check_resources(scale, client, ranks)
        wanted: list[Any] = [
            {"workers": [address]} for address in client.scheduler_info()["workers"]
        ]
    else:  # waits for the first job
        wanted = [{"resources": {"cores": ranks}}]
    asked = [client.submit(*question, pure=False, **where) for where in wanted]
    for future in asked:
        if answer := future.exception() or future.result():
            raise LauncherError(f"scale: a worker can't be used: {answer}")
    return client


def slots(scale: Scale, client: "Client", ranks: int) -> int:
    """Return how many `mpiexec` of so many ranks can run at once."""
    if isinstance(scale, Scheduler):
        return sum(cores // ranks for cores in cores_of_workers(client))
    workers = scale.workers if isinstance(scale, Local) else scale.jobs
    return workers * (scale.cores // ranks)


def cores_of_workers(client: "Client") -> list[int]:
    """Return the resource `cores` of each worker, 0 of those without."""
    workers = client.scheduler_info().get("workers", {}).values()  # none of one that is lost
    return [int(worker["resources"].get("cores", 0)) for worker in workers]


def _check_resources(scale: Scheduler, client: "Client", ranks: int) -> None:
    found = cores_of_workers(client)
    if max(found, default=0) < ranks:
        raise LauncherError(
            f"scale.address: {scale.address} has {len(found)} workers, with {found or 'no'} cores; "
            f"{ranks} ranks need one with as many: start workers with "
            f'dask worker {scale.address} --nthreads {ranks} --resources "cores={ranks}"'
        )


def _no_cluster(scale: Scale, error: Exception) -> str:
    if isinstance(scale, Scheduler):
        return (
            f"scale.address: no Dask scheduler answers at {scale.address} ({error}); "
            "start one with `dask scheduler`, or give its address, as tcp://host:8786"
        )
    return f"scale: the {scale.kind} cluster can't be started: {error}"
