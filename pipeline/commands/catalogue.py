"""Finding data sets: `list`, `show`."""

from pathlib import Path

import typer

from pipeline import dataset_folder
from pipeline.commands import printing as output
from pipeline.commands.options import Json, Root, Set, Target
from pipeline.exit_codes import ExitCode
from pipeline.launch import check_serial_stage
from storage import DataFolder

__all__ = ["app"]

app = typer.Typer()


@app.command("list")
def list_(root: Root = "data", as_json: Json = False) -> int:
    """List the data sets below the root."""
    check_serial_stage("list")
    output.print_list(output.data_sets(Path(root)), as_json)
    return ExitCode.OK


@app.command()
def show(target: Target, root: Root = "data", set_: Set = None, as_json: Json = False) -> int:
    """Show a data set: problem, fields, counts, splits, where it comes from."""
    check_serial_stage("show")
    if Path(target).is_dir():  # of whatever revision
        folder = DataFolder(Path(target))
    else:
        _, folder = dataset_folder.resolve(target, root, set_ or [])
    output.print_show(folder, as_json)
    return ExitCode.OK
