"""The flow `generate`: sample → order → solve on MPI ranks → finalise → train.

A task for each stage of `pipeline.stages`; what it makes is on disk, so tasks hand on paths and a
flow run that broke off is finished by the next one. Run it with `python -m flows.generate SPEC`, or
deployed (docs/flows.md).
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

from prefect import State, Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.states import Completed
from prefect.tasks import exponential_backoff
from pydantic import Field

from flows.artifacts import publish
from flows.server import exit_within, temporary_server
from pipeline import stages
from pipeline.dataset_folder import data_folder
from pipeline.exit_codes import ExitCode, end_with, exit_code
from pipeline.interrupt import Interrupted
from pipeline.launch import check_serial_stage, keep_python_signals, launch
from pipeline.run import SolveFailed, solve_argv
from pipeline.spec import Spec, load_spec
from pipeline.stages.finalise import summary

__all__ = ["generate", "main"]


def _is_unexpected(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again may help: not with a bad spec, damaged data or an interruption."""
    return not isinstance(state.data, Exception) or _code(state.data) == ExitCode.UNEXPECTED


def _code(error: BaseException) -> int:
    return error.code if isinstance(error, SolveFailed) else int(exit_code(error))


# The stages look at what is on disk themselves: nothing is cached, and a repeat costs little.
_stage: Callable[..., Any] = task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=exponential_backoff(10),
    retry_condition_fn=_is_unexpected,
)


@_stage(name="sample")
def sample(spec: Spec, root: str) -> str:
    """Add the samples that the data set does not have yet; return its folder."""
    return str(stages.sample(spec, root))


@_stage(name="order")
def order(spec: Spec, root: str) -> str:
    """Sort new samples and cut them into batches; return the order file."""
    stages.order(spec, root)
    return str(data_folder(spec, root).order)


@_stage(name="solve")
def solve(spec: Spec, spec_path: str, root: str, ranks: int, overrides: tuple[str, ...]) -> str:
    """Solve what is missing on MPI ranks of their own; return the folder of the shards."""
    logger, folder = get_run_logger(), data_folder(spec, root)
    if stages.status(spec, folder).missing == 0:
        logger.info("all samples are solved already")
        return str(folder.shards)
    argv = solve_argv(spec_path, root, overrides)
    log = folder.runs / "solve.log"
    code = launch(argv, ranks, on_line=lambda line: logger.info("%s", line), log=log)
    if code == ExitCode.INTERRUPTED:
        raise Interrupted("the solve stage was stopped; the same command goes on from there")
    missing = stages.status(spec, folder).missing  # the records are the truth, not the code
    if missing and code in (ExitCode.OK, ExitCode.INCOMPLETE):
        raise SolveFailed(f"the ranks ended with {code}, but {missing} samples are missing", 1)
    if missing:
        raise SolveFailed(f"the ranks ended with exit code {code}; their output: {log}", code)
    return str(folder.shards)


@_stage(name="finalise")
def finalise(spec: Spec, root: str) -> str:
    """Write splits, statistics, provenance and pictures; return the manifest."""
    folder = data_folder(spec, root)
    stages.finalise(spec, folder)
    return str(folder.manifest)


@_stage(name="train")
def train(spec: Spec, root: str) -> str | None:
    """Fit the spec's operator; return the folder of its report, None if there is nothing to do."""
    report = stages.train(spec, data_folder(spec, root))
    return None if report is None else str(getattr(report, "folder", report))


@flow(name="generate", persist_result=False)
def generate(
    spec: str,
    root: str = "data",
    ranks: Annotated[int, Field(ge=1)] = 1,
    overrides: tuple[str, ...] = (),
) -> State[dict[str, Any]]:
    """Make a data set from a spec, or finish one, and train on it.

    Args:
        spec: Path of the spec.
        root: Where data sets are kept.
        ranks: MPI ranks of the solve stage.
        overrides: Texts `dotted.key=value` that replace values of the spec.

    Returns:
        The summary: counts, iterations, worst true residual, seconds per stage, paths.
    """
    # PETSc, loaded by a stage in this process, must not take SIGTERM away from Prefect.
    os.environ.update(keep_python_signals(os.environ))
    parsed = load_spec(spec, overrides)
    seconds: dict[str, float] = {}
    # Called directly, not submitted: in a worker thread neither signals nor MPI would work.
    _timed(seconds, sample, parsed, root)
    _timed(seconds, order, parsed, root)
    _timed(seconds, solve, parsed, spec, root, ranks, overrides)
    _timed(seconds, finalise, parsed, root)
    report = _timed(seconds, train, parsed, root)
    folder = data_folder(parsed, root)
    status = stages.status(parsed, folder).as_dict()
    found = summary(folder) | status | {"stage_seconds": seconds, "report": report}
    publish(found)
    failed = f"{found['failed']} of {found['samples']} samples failed"
    name = "SomeSamplesFailed" if found["failed"] else "Completed"
    return Completed(name=name, message=failed if found["failed"] else None, data=found)


def _timed(seconds: dict[str, float], stage: Task[..., Any], *arguments: Any) -> Any:
    start = time.perf_counter()
    result = stage(*arguments)
    seconds[stage.name] = time.perf_counter() - start
    return result


def main(argv: list[str] | None = None) -> int:
    """Run the flow on a temporary server; return the exit code of docs/design.md."""
    parser = argparse.ArgumentParser(prog="python -m flows.generate", description=__doc__)
    parser.add_argument("spec", metavar="SPEC", help="a spec, a YAML file")
    parser.add_argument("--root", default="data", help="where data sets are kept")
    parser.add_argument("--ranks", type=int, default=1, help="MPI ranks of the solve stage")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    asked = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _ctrl_c)
    try:
        check_serial_stage("run")
        load_spec(asked.spec, asked.overrides)  # a bad spec needs no server
        with temporary_server():
            result = generate(asked.spec, asked.root, asked.ranks, tuple(asked.overrides))
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, KeyboardInterrupt):
            error = Interrupted("interrupted; the same command goes on from there")
        end_with(error)
        return _code(error)
    found = cast(dict[str, Any], result)  # Prefect unpacks the state that the flow returns
    print(f"{found['stored']} of {found['samples']} samples stored: {Path(found['folder'])}")
    return ExitCode.INCOMPLETE if found["failed"] or found["missing"] else ExitCode.OK


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise Interrupted("stopped by SIGTERM; the same command goes on from there")


def _ctrl_c(_number: int, _frame: object) -> NoReturn:
    """Do as Python does; `launch` lets it, and Prefect records a crash, not an error of ours."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    ended = main()
    exit_within(10, ended)  # all is on disk; Prefect may wait for a server that is gone
    sys.exit(ended)
