"""Keeping data sets sound: `check`."""

from typing import Annotated

import typer

from pipeline import dataset_folder
from pipeline.commands import printing as output
from pipeline.commands.options import Json, Root, Set, Target
from pipeline.exit_codes import ExitCode
from pipeline.launch import check_serial_stage

__all__ = ["app"]

app = typer.Typer()


@app.command()
def check(
    target: Target,
    root: Root = "data",
    set_: Set = None,
    full: Annotated[bool, typer.Option("--full", help="Assemble every system again.")] = False,
    as_json: Json = False,
) -> int:
    """Look for damage; --full recomputes every true residual."""
    from pipeline import stages

    check_serial_stage("check")
    spec, folder = dataset_folder.resolve(target, root, set_ or [])
    result = stages.check(spec, folder, full)
    output.print_check(folder, result, as_json)
    return ExitCode.OK if result.sound else ExitCode.INCOMPLETE
