"""The flow `generate`: sample → order → solve on MPI ranks → finalise → train.

What a stage makes is on disk, so a flow run that broke off is finished by the next one. Run it with
`python -m flows.generate SPEC`, or deployed (docs/flows.md).
"""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from prefect import State, flow
from prefect.states import Completed

from flows import tasks
from flows.artifacts import catalogue_page, publish, publish_report, solving
from flows.cores import cores
from flows.dask_solve import solve_on_dask
from flows.embedded import embedded
from flows.lifetime import prepare_process
from flows.parameters import Hours, Overrides, Ranks, Root, SpecParameter, read_spec
from flows.scale import Scale, ScaleOption, check_ranks, read_scale
from flows.solve import solve
from pipeline import stages
from pipeline.commands.options import Root as RootOption
from pipeline.commands.options import Set, SpecPath
from pipeline.dataset_folder import data_folder
from pipeline.exit_codes import ExitCode
from pipeline.spec import Spec, load_spec
from pipeline.stages.finalise import summary
from pipeline.stages.solve import check_groups

__all__ = ["ended", "generate", "main", "make"]


@flow(name="generate", persist_result=False)
def generate(
    spec: SpecParameter,
    root: Root = "data",
    ranks: Ranks = 1,
    overrides: Overrides = [],  # noqa: B006 - Prefect shows it in the form; it isn't changed
    hours: Hours | None = None,
    scale: Scale | None = None,
) -> State[dict[str, Any]]:
    """Make a data set from a spec, or finish one, and train on it.

    Args:
        spec: The spec; or the path of one, or of a data set, from the working directory.
        root: Where data sets are kept.
        ranks: MPI ranks of a solve.
        overrides: Texts `dotted.key=value` that replace values of the spec.
        hours: Time limit of the solve stage; the next run goes on from there.
        scale: A Dask cluster for the solve stage; none: this machine's ranks.

    Returns:
        The summary: counts, iterations, worst true residual, seconds per stage, paths.
    """
    prepare_process()
    return make(read_spec(spec, overrides), root, ranks, hours, scale)


def make(
    spec: Spec, root: str, ranks: int, hours: float | None, scale: Scale | None = None
) -> State[dict[str, Any]]:
    """Do the stages within a flow run, and show what they made."""
    check_groups(spec, ranks)
    check_ranks(scale, ranks)
    seconds: dict[str, float] = {}
    # Called directly, not submitted: in a worker thread neither signals nor MPI would work.
    file = _timed(seconds, "sample", tasks.sample, spec, root, ranks)
    _timed(seconds, "order", tasks.order, spec, root)
    folder = data_folder(spec, root)
    with cores(ranks if scale is None else scale.cores_here), solving(folder):
        if scale is None:
            _timed(seconds, "solve", solve, file, str(folder.path), ranks, None, hours)
        else:
            _timed(seconds, "solve", solve_on_dask, file, str(folder.path), ranks, scale, hours)
    _timed(seconds, "finalise", tasks.finalise, spec, root, catalogue_page(folder), ranks)
    report = None
    if spec.train is not None:
        with cores(1):
            report = _timed(seconds, "train", tasks.train, spec, str(folder.path))
        publish_report(folder, report)
    found = summary(folder) | stages.status(spec, folder).as_dict()
    found |= {"stage_seconds": seconds, "report": report}
    publish(found)
    return ended(found)


def ended(found: dict[str, Any]) -> State[dict[str, Any]]:
    """Return the state of a flow run that made a data set: its name tells of failed samples."""
    if not found["failed"]:
        return Completed(data=found)
    failed = f"{found['failed']} of {found['samples']} samples failed"
    return Completed(name="SomeSamplesFailed", message=failed, data=found)


def _timed(seconds: dict[str, float], name: str, stage: Any, *arguments: Any) -> Any:
    start = time.perf_counter()
    result = stage(*arguments)
    seconds[name] = time.perf_counter() - start
    return result


@embedded("generate")
def main(
    spec: SpecPath,
    root: RootOption = "data",
    ranks: Annotated[int, typer.Option(min=1, help="MPI ranks of the solve stage.")] = 1,
    set_: Set = None,
    scale: ScaleOption = None,
) -> int:
    """Make a data set, or finish one, and train on it, on a temporary Prefect server."""
    from flows.server import temporary_server

    load_spec(spec, set_ or [])  # a bad spec needs no server
    cluster = read_scale(scale)
    check_ranks(cluster, ranks)
    with temporary_server():
        found: Any = generate(spec, root, ranks, set_ or [], None, cluster)  # of a state: its data
    print(f"{found['stored']} of {found['samples']} samples stored: {Path(found['folder'])}")
    return ExitCode.INCOMPLETE if found["failed"] or found["missing"] else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
