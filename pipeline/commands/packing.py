"""A copy that loads faster: `pack`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.commands.options import Json
from pipeline.dataset_folder import existing
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
) -> None:
    """Write the fields in single precision, one array each, for fast loading."""
    from storage.loading.packing import pack, remove_packed

    path = existing(DataFolder(folder)).path
    if remove:
        found = remove_packed(path)
        return _print({"folder": str(path), "removed": found}, as_json)
    dataset = open_dataset(path, verify=True)
    names = None if fields is None else [name.strip() for name in fields.split(",")]
    with progress("pack", len(dataset)) as task:
        copy = pack(dataset, names, task)
    columns = {name: entry["bytes"] for name, entry in copy.columns.items()}
    _print({"folder": str(path), "samples": len(dataset), "bytes": columns}, as_json)


def _print(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, indent=2))
    elif "removed" in found:
        print(f"{found['folder']}: packed copy {'removed' if found['removed'] else 'not found'}")
    else:
        total = sum(found["bytes"].values()) / 2**20
        names = ", ".join(name.split("/")[-1] for name in found["bytes"])
        print(f"{found['folder']}: {found['samples']} samples packed, {total:.1f} MiB ({names})")
