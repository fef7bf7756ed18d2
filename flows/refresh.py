"""The flow `refresh`: a data set that grows by some samples a run, for schedules."""

import sys
from typing import Annotated, Any

import typer
from prefect import State, flow, get_run_logger, task
from prefect.cache_policies import RUN_ID
from pydantic import Field

from flows.embedded import embedded
from flows.generate import ended, generate
from flows.lifetime import prepare_process
from flows.parameters import Hours, Overrides, Ranks, Root, SpecParameter, read_target
from flows.scale import Scale, ScaleOption, check_ranks, read_scale
from pipeline.commands.options import Root as RootOption
from pipeline.commands.options import Set, Target
from pipeline.dataset_folder import data_folder, resolve
from pipeline.exit_codes import ExitCode
from pipeline.spec import Spec
from storage import read_order

__all__ = ["main", "refresh", "target"]

_MOST = 10**6


@task(name="target", cache_policy=RUN_ID, persist_result=True)
def target(spec: Spec, root: str, add: int, most: int) -> int:
    """Return how many samples the data set is to have: kept, so that a retry adds no more."""
    known = [int(segment.ids.max()) for segment in read_order(data_folder(spec, root).order)]
    there = max(known) + 1 - spec.first if known else 0
    wanted = spec.samples if there < spec.samples else there + add
    return max(there, min(wanted, most))


@flow(name="refresh", persist_result=False)
def refresh(
    spec: SpecParameter,
    root: Root = "data",
    add: Annotated[int, Field(ge=1)] = 100,
    most: Annotated[int, Field(ge=1)] = _MOST,
    ranks: Ranks = 1,
    overrides: Overrides = [],  # noqa: B006 - Prefect shows it in the form; it isn't changed
    hours: Hours | None = None,
    scale: Scale | None = None,
) -> State[dict[str, Any]]:
    """Finish what an earlier run left, and add samples; the first run makes what the spec says.

    Args:
        spec: The spec; or the path of one, or of a data set, from the working directory.
        root: Where data sets are kept.
        add: New samples a run.
        most: Samples at which it stops growing.
        ranks: MPI ranks of a solve.
        overrides: Texts `dotted.key=value` that replace values of the spec.
        hours: Time limit of the solve stage; the next run goes on from there.
        scale: A Dask cluster for the solve stage; none: this machine's ranks.

    Returns:
        The summary, as of `generate`.
    """
    prepare_process()
    parsed, place = read_target(spec, root, overrides)
    samples = target(parsed, place, add, most)
    get_run_logger().info("%s is to have %d samples", parsed.name, samples)
    grown = parsed.model_copy(update={"samples": samples})
    found: Any = generate(grown, place, ranks, [], hours, scale)  # of a state: its data
    return ended(found)


@embedded("refresh")
def main(
    target: Target,
    root: RootOption = "data",
    add: Annotated[int, typer.Option(min=1, help="New samples.")] = 100,
    most: Annotated[int, typer.Option(min=1, help="Samples at which it stops growing.")] = _MOST,
    ranks: Annotated[int, typer.Option(min=1, help="MPI ranks of the solve stage.")] = 1,
    set_: Set = None,
    scale: ScaleOption = None,
) -> int:
    """Add samples to a data set, on a temporary Prefect server."""
    from flows.server import temporary_server

    resolve(target, root, set_ or [])  # a bad spec needs no server
    cluster = read_scale(scale)
    check_ranks(cluster, ranks)
    with temporary_server():
        found: Any = refresh(target, root, add, most, ranks, set_ or [], None, cluster)
    print(f"{found['stored']} of {found['samples']} samples stored: {found['folder']}")
    return ExitCode.INCOMPLETE if found["failed"] or found["missing"] else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
