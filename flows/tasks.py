"""Prefect tasks of the serial stages; `flows/solve.py` has that of the solve stage.

What a stage makes is on disk, so tasks hand on paths, and a task that finds its work done returns
at once: nothing of it is kept by Prefect.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from prefect import State, Task, task
from prefect.assets import Asset, AssetProperties, add_asset_metadata, materialize
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.tasks import exponential_backoff

from pipeline import stages
from pipeline.dataset_folder import data_folder, run_stamp, save_run
from pipeline.exit_codes import ExitCode, exit_code
from pipeline.spec import Spec
from storage import DataFolder

__all__ = ["RETRIES", "data_set_asset", "finalise", "order", "sample", "train"]


def _is_unexpected(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again may help: not with a bad spec, damaged data or an interruption."""
    found = state.data
    return not isinstance(found, Exception) or exit_code(found) == ExitCode.UNEXPECTED


RETRIES: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": exponential_backoff(10),
    "retry_jitter_factor": 0.3,
    "retry_condition_fn": _is_unexpected,
}
"""Options of every task: an unexpected failure is tried twice more, after 10 and 20 seconds."""

_stage: Callable[..., Any] = partial(task, cache_policy=NO_CACHE, persist_result=False, **RETRIES)


@_stage(name="sample")
def sample(spec: Spec, root: str, workers: int) -> str:
    """Add the samples that the data set does not have yet; return the file of the run's spec."""
    folder = DataFolder(stages.sample(spec, root, workers=workers))
    return str(save_run(folder, spec, run_stamp()))


@_stage(name="order")
def order(spec: Spec, root: str) -> str:
    """Sort new samples and cut them into batches; return the order file."""
    stages.order(spec, root)
    return str(data_folder(spec, root).order)


def data_set_asset(folder: DataFolder, description: str, url: str | None) -> list[Asset]:
    """Return the data set as a Prefect asset; none if its path can't be an asset's key."""
    path = str(folder.path.resolve())
    if quote(path) != path:
        return []
    about = AssetProperties(name=folder.path.name, description=description[:5000], url=url)
    return [Asset(key=f"file://{path}", properties=about)]


def finalise(spec: Spec, root: str, url: str | None, workers: int) -> str:
    """Write splits, statistics, provenance and pictures; return the manifest.

    With the data set as the asset that the task materialises.
    """
    folder = data_folder(spec, root)
    assets = data_set_asset(folder, f"{spec.samples} samples of {spec.problem.family}", url)

    def work(spec: Spec, root: str) -> str:
        found = stages.finalise(spec, folder, workers)
        for asset in assets:
            add_asset_metadata(asset, {k: found[k] for k in ("stored", "failed", "shards")})
        return str(folder.manifest)

    options = {"name": "finalise", "cache_policy": NO_CACHE, "persist_result": False, **RETRIES}
    made: Task[..., str] = (
        materialize(*assets, **options)(work) if assets else task(**options)(work)
    )
    return made(spec, root)


@_stage(name="train")
def train(spec: Spec, folder: str) -> str | None:
    """Fit the spec's operator; return the folder of its report, None if there is nothing to do."""
    report = stages.train(spec, DataFolder(Path(folder)))
    return None if report is None else str(getattr(report, "folder", report))
