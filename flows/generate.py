"""The flow `generate`: sample → order → solve on MPI ranks → finalise → train.

What a stage makes is on disk, so a flow run that broke off is finished by the next one. Run it with
`python -m flows.generate SPEC`, or deployed (docs/flows.md).
"""

import os
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
from flows.embedded import embedded
from flows.parameters import Hours, Overrides, Ranks, Root, SpecParameter, read_spec
from flows.solve import solve
from pipeline import stages
from pipeline.commands.options import Root as RootOption
from pipeline.commands.options import Set, SpecPath
from pipeline.dataset_folder import data_folder
from pipeline.exit_codes import ExitCode
from pipeline.launch import keep_python_signals
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
) -> State[dict[str, Any]]:
    """Make a data set from a spec, or finish one, and train on it.

    Returns:
        The summary: counts, iterations, worst true residual, seconds per stage, paths.
    """
    # PETSc, loaded by a stage in this process, must not take SIGTERM away from Prefect.
    os.environ.update(keep_python_signals(os.environ))
    return make(read_spec(spec, overrides), root, ranks, hours)


def make(spec: Spec, root: str, ranks: int, hours: float | None) -> State[dict[str, Any]]:
    """Do the stages within a flow run, and show what they made."""
    check_groups(spec, ranks)
    seconds: dict[str, float] = {}
    # Called directly, not submitted: in a worker thread neither signals nor MPI would work.
    file = _timed(seconds, "sample", tasks.sample, spec, root)
    _timed(seconds, "order", tasks.order, spec, root)
    folder = data_folder(spec, root)
    with cores(ranks), solving(folder):
        _timed(seconds, "solve", solve, file, str(folder.path), ranks, None, hours)
    _timed(seconds, "finalise", tasks.finalise, spec, root, catalogue_page(folder))
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
) -> int:
    """Make a data set, or finish one, and train on it, on a temporary Prefect server."""
    from flows.server import temporary_server

    load_spec(spec, set_ or [])  # a bad spec needs no server
    with temporary_server():
        found: Any = generate(spec, root, ranks, set_ or [])  # Prefect unpacks the returned state
    print(f"{found['stored']} of {found['samples']} samples stored: {Path(found['folder'])}")
    return ExitCode.INCOMPLETE if found["failed"] or found["missing"] else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
