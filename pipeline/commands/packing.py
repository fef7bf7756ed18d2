"""A copy that loads faster: `pack`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.commands.options import Json
from pipeline.commands.printing import print_json
from pipeline.dataset_folder import existing
from pipeline.exit_codes import ExitCode
from pipeline.launch import check_serial_stage
from pipeline.progress import progress
from storage import DataFolder, open_dataset

__all__ = ["app"]

app = typer.Typer()


@app.command()
def pack(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A data set.")],
    fields: Annotated[
        str | None, typer.Option(metavar="A,U", help="Only these fields; default: all.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the packed copy.")] = False,
    as_json: Json = False,
) -> int:
    """Write the fields in single precision, one array each, for fast loading."""
    from storage.loading.packing import pack, remove_packed

    check_serial_stage("pack")
    path = existing(DataFolder(folder)).path
    if remove:
        found = remove_packed(path)
        _print({"folder": str(path), "removed": found}, as_json)
        return ExitCode.OK
    dataset = open_dataset(path, verify=True)
    names = None if fields is None else [name.strip() for name in fields.split(",")]
    with progress("pack", len(dataset)) as task:
        copy = pack(dataset, names, task)
    columns = {name: entry["bytes"] for name, entry in copy.columns.items()}
    _print({"folder": str(path), "samples": len(dataset), "bytes": columns}, as_json)
    return ExitCode.OK


def _print(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
    elif "removed" in found:
        print(f"{found['folder']}: packed copy {'removed' if found['removed'] else 'not found'}")
    else:
        total = sum(found["bytes"].values()) / 2**20
        names = ", ".join(name.split("/")[-1] for name in found["bytes"])
        print(f"{found['folder']}: {found['samples']} samples packed, {total:.1f} MiB ({names})")
