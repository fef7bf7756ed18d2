"""The flow `train`: fit and validate an operator on a finished data set."""

import sys
from pathlib import Path
from typing import Any

from prefect import flow

from flows import tasks
from flows.artifacts import publish_report
from flows.cores import cores
from flows.embedded import embedded
from flows.lifetime import prepare_process
from flows.parameters import Overrides, Root, SpecParameter, read_target
from pipeline.commands.options import Root as RootOption
from pipeline.commands.options import Set, Target
from pipeline.dataset_folder import data_folder, resolve
from pipeline.exit_codes import ExitCode
from pipeline.spec_errors import SpecError

__all__ = ["main", "train"]


@flow(name="train", persist_result=False)
def train(
    spec: SpecParameter,
    root: Root = "data",
    overrides: Overrides = [],  # noqa: B006 - Prefect shows it in the form; it isn't changed
) -> str:
    """Train the operator of a spec, or of a data set's last one, as often as it is called.

    A run that was broken off goes on where it was; one that is complete is only shown again.

    Args:
        spec: The spec; or the path of one, or of a data set, from the working directory.
        root: Where data sets are kept.
        overrides: Texts `dotted.key=value` that replace values of the spec.

    Returns:
        The folder of the report.

    Raises:
        SpecError: The spec has no `train`.
        StorageError: The data set isn't there.
    """
    prepare_process()
    parsed, place = read_target(spec, root, overrides)
    if parsed.train is None:
        raise SpecError(["train: missing; say what to train, for example train.epochs=20"])
    folder = data_folder(parsed, place)
    with cores(1):
        report: str = tasks.train(parsed, str(folder.path))
    publish_report(folder, report)
    return report


@embedded("train")
def main(target: Target, root: RootOption = "data", set_: Set = None) -> int:
    """Train on a data set, on a temporary Prefect server."""
    from flows.server import temporary_server

    resolve(target, root, set_ or [])  # a bad spec needs no server
    with temporary_server():
        report: Any = train(target, root, set_ or [])
    print(f"report: {Path(report) / 'report.md'}")
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
