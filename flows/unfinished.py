"""Runs whose processes are gone: they are scheduled again, and go on from what is on disk."""

from datetime import datetime
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Scheduled, State

__all__ = ["schedule_again"]

_PAGE = 200


def schedule_again(
    client: SyncPrefectClient, pool: str, crashed_since: datetime | None = None
) -> list[str]:
    """Schedule the runs of a work pool that nothing works on any more; return their names.

    Only to be called while the pool has no live worker and no process of a run is left.

    Args:
        client: The server.
        pool: Name of the work pool.
        crashed_since: Runs that crashed since then were ended by us, and go on as well.
    """
    begun = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    found = _runs(client, pool, {"type": {"any_": begun}})
    if crashed_since is not None:
        crashed = _runs(client, pool, {"type": {"any_": [StateType.CRASHED]}})
        found += [run for run in crashed if run.state and run.state.timestamp >= crashed_since]
    for run in found:
        client.set_flow_run_state(run.id, _next(run), force=True)
    return [run.name for run in found]


def _next(run: FlowRun) -> State[Any]:
    if run.state is not None and run.state.is_cancelling():
        return Cancelled(message="Its process is gone.")
    return Scheduled(name="Resuming", message="Its process is gone; it goes on from there.")


def _runs(client: SyncPrefectClient, pool: str, state: dict[str, Any]) -> list[FlowRun]:
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate({"state": state}),
        work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [pool]}}),
        sort=FlowRunSort.START_TIME_DESC,
        limit=_PAGE,
    )
    return [run for run in runs if run.parent_task_run_id is None]
