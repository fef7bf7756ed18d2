"""The solve stage in a flow: an `mpiexec` a chain of batches, here or on a Dask cluster."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.context import TaskRunContext
from prefect.logging.loggers import LoggingAdapter

from flows.dask_worker import unwanted
from flows.tasks import RETRIES
from pipeline import stages
from pipeline.chains import Part, all_batches
from pipeline.exit_codes import ExitCode
from pipeline.interrupt import Interrupted
from pipeline.launch import launch
from pipeline.run import SolveFailed, solve_argv
from pipeline.spec import Spec, load_spec
from storage import DataFolder, read_records

__all__ = ["solve", "spec_hash"]

# Within a job of Slurm or PBS `mpiexec` would start ranks by their means, out of our reach.
_ON_THIS_MACHINE = {"HYDRA_LAUNCHER": "fork", "HYDRA_RMK": "user"}


def spec_hash(spec: Spec) -> str:
    """Return the SHA-256 (hex) of a whole spec, of what its data key leaves out, too."""
    text = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _key_of_done(_context: TaskRunContext, given: dict[str, Any]) -> str | None:
    """The key of work that is done: spec, part and what is on disk; None while there is some left.

    So a result that Prefect kept never stands for shards that have gone since.
    """
    spec, folder = load_spec(given["spec_file"]), DataFolder(Path(given["folder"]))
    if _missing(spec, folder, given["part"]):
        return None
    part = None if given["part"] is None else Part.parse(given["part"])
    batches = all_batches(folder) if part is None else part.of(all_batches(folder))
    mine = read_records(folder, batches={batch.key for batch in batches})
    records = [(r.segment, r.batch, r.sha256) for r in mine]
    there = hashlib.sha256(repr(records).encode()).hexdigest()
    return f"solve-{spec_hash(spec)}-{given['part'] or 'all'}-{there}"


@task(name="solve", cache_key_fn=_key_of_done, persist_result=True, **RETRIES)
def solve(
    spec_file: str, folder: str, ranks: int, part: str | None = None, hours: float | None = None
) -> str:
    """Solve what is missing on MPI ranks of their own; return the folder of the shards.

    Args:
        spec_file: The spec as `runs/` of the data set keeps it.
        folder: The data set.
        ranks: How many ranks `mpiexec` starts.
        part: "K/N", one of N chains of batches; None: all.
        hours: Time limit.

    Raises:
        Interrupted: It was stopped; the next run goes on from there.
        SolveFailed: Samples are missing: the ranks failed, or the time was up.
    """
    logger, place, start = get_run_logger(), DataFolder(Path(folder)), time.monotonic()
    spec = load_spec(spec_file)
    if _missing(spec, place, part) == 0:
        logger.info("part %s: all samples are solved already", part or "1/1")
        return str(place.shards)
    log = place.runs / f"solve{'' if part is None else '-' + part.replace('/', '-of-')}.log"
    code = launch(
        solve_argv(spec_file, place.path.parent, (), part=part),
        ranks,
        on_line=_lines(logger),
        log=log,
        wall_seconds=None if hours is None else 3600 * hours,
        env=_ON_THIS_MACHINE,
        unwanted=unwanted,
    )
    missing = _missing(spec, place, part)  # the records are the truth, not the code
    if not missing:
        return str(place.shards)
    if hours is not None and time.monotonic() - start >= 3600 * hours:
        raise SolveFailed(f"{missing} samples are missing after {hours:g} h, the time limit", 4)
    if code == ExitCode.INTERRUPTED:
        raise Interrupted("the solve stage was stopped; the same command goes on from there")
    if code in (ExitCode.OK, ExitCode.INCOMPLETE):
        raise SolveFailed(f"the ranks ended with {code}, but {missing} samples are missing", 1)
    raise SolveFailed(f"the ranks ended with exit code {code}; their output: {log}", code)


def _missing(spec: Spec, folder: DataFolder, part: str | None) -> int:
    return stages.status(spec, folder, None if part is None else Part.parse(part)).missing


def _lines(logger: LoggingAdapter | Any) -> Any:
    return lambda line: logger.info("%s", line)
