"""The solve stage on a Dask cluster: parts of the data set, an `mpiexec` each."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.dask_cluster import checked_client, cores_of_workers, slots, task_runner
from flows.parameters import Hours, Ranks
from flows.scale import Queue, Scale
from flows.solve import solve
from flows.tasks import RETRIES
from pipeline.chains import Part, all_batches, missing_batches, split_chains
from pipeline.exit_codes import ExitCode, exit_code
from pipeline.run import SolveFailed
from pipeline.spec import Spec, data_key, load_spec
from storage import DataFolder

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["parts_left", "solve_on_dask"]

ROUNDS = 3
"""How often parts are handed out without a new shard; what a lost worker took along is, again."""

_A_SLOT = 4  # parts for each mpiexec that runs at once: the last ones end at about the same time
_LOOK_SECONDS = 0.2
_TELL_SECONDS = 60.0
_HOPELESS = (ExitCode.BAD_INPUT, ExitCode.INCOMPLETE)

# Nothing of it is kept by Prefect: a worker would write that on its own machine.
_solve_part = task(
    name="solve",
    task_run_name="solve-{part}",
    cache_policy=NO_CACHE,
    persist_result=False,
    **RETRIES,
)(solve.fn)


def solve_on_dask(
    spec_file: str, folder: str, ranks: int, scale: Scale, hours: float | None = None
) -> None:
    """Solve what is missing on the workers of a Dask cluster; a flow of its own within the run.

    Args:
        spec_file: The spec as `runs/` of the data set keeps it.
        folder: The data set.
        ranks: How many ranks an `mpiexec` starts; a worker needs as many cores.
        scale: The cluster.
        hours: Time limit of it all.

    Raises:
        LauncherError: The cluster can't be used.
        SolveFailed: Samples are missing: ranks failed, workers died too often, or the time was up.
    """
    runner: Any = task_runner(scale, Path(folder))
    within = solve_parts.with_options(task_runner=runner)
    within(spec_file, folder, ranks, scale, hours)


@flow(name="solve-on-dask", persist_result=False)
def solve_parts(
    spec_file: str, folder: str, ranks: Ranks, scale: Scale, hours: Hours | None = None
) -> None:
    """Hand out the parts with missing batches, and again those that workers took along."""
    end = float("inf") if hours is None else time.monotonic() + 3600 * hours
    spec, place, logger = load_spec(spec_file), DataFolder(Path(folder)), get_run_logger()
    client = checked_client(scale, ranks, place.path)
    batches = len(all_batches(place))
    count = scale.parts or min(batches, _A_SLOT * max(1, slots(scale, client, ranks)))
    failed: dict[str, Exception] = {}
    vain, shards = 0, -1
    while parts := parts_left(spec, place, count):
        there = len(place.committed())
        vain, shards = (vain + 1 if there == shards else 0), there
        if vain == ROUNDS:
            why = failed.get(parts[0], "its workers were lost")
            raise SolveFailed(f"{len(parts)} of {count} parts aren't solved; {parts[0]}: {why}", 1)
        _check_connected(client)
        logger.info("%d of %d parts have batches to solve", len(parts), count)
        failed = _follow(_submit(spec_file, folder, ranks, parts), client, scale, ranks, end)


def parts_left(spec: Spec, folder: DataFolder, count: int) -> list[str]:
    """Return the parts "K/N" of `count` in which batches are missing."""
    missing = {batch.key for batch in missing_batches(folder, spec.ids, data_key(spec))}
    chains = split_chains(all_batches(folder), count)
    return [
        str(Part(number, count))
        for number, chain in enumerate(chains, 1)
        if any(batch.key in missing for batch in chain)
    ]


def _submit(spec_file: str, folder: str, ranks: int, parts: list[str]) -> dict[str, Any]:
    import dask

    with dask.annotate(resources={"cores": ranks}):
        return {part: _solve_part.submit(spec_file, folder, ranks, part) for part in parts}


def _follow(
    futures: dict[str, Any],
    client: "Client",
    scale: Scale,
    ranks: int,
    end: float,
) -> dict[str, Exception]:
    """Wait for the parts, in this thread: a signal ends it. Return what went wrong in which."""
    left, failed, told = dict(futures), {}, time.monotonic()
    while left:
        time.sleep(_LOOK_SECONDS)
        for part in [part for part, future in left.items() if future.wrapped_future.done()]:
            if (error := _error(left.pop(part))) is not None:
                failed[part] = error
            if error is not None and exit_code(error) in _HOPELESS:
                raise error
        if time.monotonic() > end:  # leaving cancels what is left, and ends its ranks
            raise SolveFailed(f"{len(left)} parts aren't solved at the time limit", 4)
        _check_connected(client)
        if time.monotonic() > told + _TELL_SECONDS:
            told = time.monotonic()
            _tell(client, scale, ranks, len(left))
    return failed


def _error(future: Any) -> Exception | None:
    """What a part that has ended ended with."""
    try:
        found = future.result(raise_on_failure=False)
    except Exception as error:  # its workers died too often, or the scheduler is gone
        return error
    return found if isinstance(found, Exception) else None


def _check_connected(client: "Client") -> None:
    """Wait while Dask tries to reach its scheduler again; if it gives up, so does the stage.

    Raises:
        SolveFailed: It gave up.
    """
    while client.status == "connecting":
        time.sleep(_LOOK_SECONDS)
    if client.status != "running":
        raise SolveFailed("the Dask scheduler is gone; the same command goes on from there", 1)


def _tell(client: "Client", scale: Scale, ranks: int, left: int) -> None:
    """Say that nobody is there to work."""
    if max(cores_of_workers(client), default=0) < ranks:
        waits = "jobs wait in the queue" if isinstance(scale, Queue) else "no worker is left"
        get_run_logger().warning("%s; %d parts wait for one with %d cores", waits, left, ranks)
