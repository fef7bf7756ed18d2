"""Joining the parts of a data set: `merge`."""

from typing import Annotated

import typer

from pipeline.commands import printing as output
from pipeline.exit_codes import ExitCode
from pipeline.launch import check_serial_stage

__all__ = ["app"]

app = typer.Typer()


@app.command()
def merge(
    sources: Annotated[list[str], typer.Argument(metavar="FOLDER…", help="The data sets.")],
    into: Annotated[str, typer.Option(help="The new data set's folder.")],
) -> int:
    """Join data sets of one data key, made on different machines."""
    from pipeline.stages.merge import merge as run

    check_serial_stage("merge")
    found = run(sources, into)
    output.print_summary(found)
    return ExitCode.INCOMPLETE if found["failed"] else ExitCode.OK
