"""The flow `audit`: are the data sets of a catalogue what they say they are?"""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed
from pydantic import Field

from flows.artifacts import table
from flows.cores import cores
from flows.embedded import embedded, value
from flows.lifetime import prepare_process
from flows.parameters import Root
from pipeline import stages
from pipeline.commands.options import Root as RootOption
from pipeline.exit_codes import ExitCode
from storage import DataFolder, StorageError
from storage.catalogue import Catalogue

__all__ = ["audit", "main"]

_MOST = 500  # rows of a table
Level = Literal["quick", "normal", "full"]


@task(name="check", cache_policy=NO_CACHE, persist_result=False)
def check(folder: str, level: Level, workers: int) -> dict[str, Any]:
    """Check one data set; returns its verdict and findings as plain data."""
    place = DataFolder(Path(folder))
    full, quick = level == "full", level == "quick"
    result = stages.check(None, place, full, quick=quick, workers=workers)
    found = result.as_dict()
    for each in result.findings:
        log = get_run_logger().error if each.severity == "error" else get_run_logger().info
        log("%s %s: %s", each.code, each.location, each.message)
    return {"folder": folder} | found


@flow(name="audit", persist_result=False)
def audit(
    root: Root = "data",
    level: Level = "normal",
    workers: Annotated[int, Field(ge=1)] = 1,
) -> State[list[dict[str, Any]]]:
    """Check every data set below a root and report damage; the run fails if there is any.

    The index of the catalogue is brought up to date before.

    Args:
        root: Where data sets are kept.
        level: quick: reads no shard; full: draws and assembles every sample again.
        workers: Processes that read shards.

    Returns:
        A verdict a data set, the damaged ones first.

    Raises:
        StorageError: There is no such root.
    """
    prepare_process()
    if not Path(root).is_dir():
        raise StorageError(f"{root}: is no folder; say where the data sets are")
    catalogue = Catalogue(root)
    catalogue.refresh()
    names = sorted(each.folder for each in catalogue.find(limit=None))
    with cores(workers):
        verdicts = [_verdict(str(Path(root) / name), level, workers) for name in names]
    verdicts.sort(key=lambda verdict: verdict["sound"])
    damaged = [verdict for verdict in verdicts if not verdict["sound"]]
    _publish(root, verdicts, damaged)
    if damaged:
        text = f"{len(damaged)} of {len(verdicts)} data sets are damaged"
        return Failed(name="DamageFound", message=text, data=verdicts)
    return Completed(data=verdicts)


def _verdict(folder: str, level: Level, workers: int) -> dict[str, Any]:
    """The verdict on a data set; one that can't be checked is damaged, and stops no other."""
    state: Any = check(folder, level, workers, return_state=True)
    if state.is_completed():
        return dict(state.result())
    finding = {
        "severity": "error",
        "code": "check.failed",
        "location": "",
        "message": state.message,
    }
    return {"folder": folder, "sound": False, "findings": [finding], "shards": 0}


def _publish(root: str, verdicts: list[dict[str, Any]], damaged: list[dict[str, Any]]) -> None:
    rows = [
        {
            "data set": Path(verdict["folder"]).name,
            "verdict": "sound" if verdict["sound"] else "DAMAGED",
            "errors": sum(f["severity"] == "error" for f in verdict["findings"]),
            "warnings": sum(f["severity"] == "warning" for f in verdict["findings"]),
            "shards read": verdict["shards"],
        }
        for verdict in verdicts
    ]
    create_table_artifact(table(rows[:_MOST]), "audit-data-sets", f"Data sets below {root}")
    create_markdown_artifact(_report(root, verdicts, damaged), "audit-report", "What is damaged")


def _report(root: str, verdicts: list[dict[str, Any]], damaged: list[dict[str, Any]]) -> str:
    lines = [f"# {len(damaged)} of {len(verdicts)} data sets below `{root}` are damaged"]
    for verdict in damaged[:_MOST]:
        lines += ["", f"## {Path(verdict['folder']).name}", ""]
        errors = [f for f in verdict["findings"] if f["severity"] == "error"]
        lines += [f"- `{f['code']}` {f['location']}: {f['message']}" for f in errors[:20]]
        lines += [f"- and {len(errors) - 20} more"] if len(errors) > 20 else []
        lines += ["", f"Repair it: `rekrylov repair {verdict['folder']}`"]
    return "\n".join(lines)


@embedded("audit")
def main(
    root: RootOption = "data",
    level: Annotated[Level, typer.Option(help="How deep it looks.")] = "normal",
    workers: Annotated[int, typer.Option(min=1, help="Processes that read shards.")] = 1,
) -> int:
    """Check every data set below a root, on a temporary Prefect server."""
    from flows.server import temporary_server

    if not Path(root).is_dir():  # needs no server to be told
        raise StorageError(f"{root}: is no folder; say where the data sets are with --root")
    with temporary_server():
        state: Any = audit(root, level, workers, return_state=True)
    verdicts = value(state)
    for verdict in verdicts:
        print(f"{'sound  ' if verdict['sound'] else 'DAMAGED'} {verdict['folder']}")
    sound = all(verdict["sound"] for verdict in verdicts)
    return ExitCode.OK if sound else ExitCode.INCOMPLETE


if __name__ == "__main__":
    sys.exit(main())
