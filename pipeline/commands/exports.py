"""To other formats: `export`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.commands.catalogue import DataSet, find_data_set
from pipeline.commands.options import Json, Root, Set
from pipeline.commands.printing import print_json
from pipeline.exit_codes import ExitCode
from pipeline.launch import check_serial_stage
from pipeline.progress import progress
from storage import BadSelection, Dataset, open_dataset
from storage.selection import parse_ids

__all__ = ["app"]

app = typer.Typer()


@app.command()
def export(
    target: DataSet,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="See docs/exports.md.")],
    out: Annotated[Path, typer.Option(help="The file or folder to make.")],
    root: Root = "data",
    set_: Set = None,
    definition: Annotated[
        str | None, typer.Option(help="Fields and splits of a problem definition.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Samples of one split alone.")] = None,
    ids: Annotated[str | None, typer.Option(help="These samples alone: 3,5,10-20.")] = None,
    fields: Annotated[str | None, typer.Option(help="These fields alone: a,u.")] = None,
    resolution: Annotated[
        str | None, typer.Option(help="Points of the grid: 64, or 64x32; default: as stored.")
    ] = None,
    outside: Annotated[
        str, typer.Option(help="Value at points outside of the domain: 0 or nan.")
    ] = "0",
    zero_frame: Annotated[
        bool, typer.Option("--zero-frame", help="well: zeros as a frame before a steady solution.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an older export.")] = False,
    as_json: Json = False,
) -> int:
    """Write samples in another format: well, pdebench, neuraloperator, vtkhdf, npz, csv, …."""
    from storage.exports import FORMATS, ExportOptions
    from storage.exports.options import parse_resolution

    check_serial_stage("export")
    if to not in FORMATS:
        raise typer.BadParameter(f"--to {to}: expected one of {', '.join(FORMATS)}")
    if outside not in ("0", "nan"):
        raise typer.BadParameter(f"--outside {outside}: expected 0 or nan")
    whole = open_dataset(find_data_set(target, root, set_).path)
    dataset = _chosen(whole, definition, split, ids)
    with progress("export", len(dataset), quiet=as_json) as task:
        options = ExportOptions(
            fields=None if fields is None else tuple(name.strip() for name in fields.split(",")),
            resolution=None if resolution is None else parse_resolution(resolution),
            outside=float(outside),
            zero_frame=zero_frame,
            force=force,
            progress=task,
        )
        written = FORMATS[to](dataset, out, options)
    _print(to, dataset, out, written, as_json)
    return ExitCode.OK


def _chosen(
    dataset: Dataset, definition: str | None, split: str | None, ids: str | None
) -> Dataset:
    if definition is not None:
        dataset = dataset.define(definition)
    try:
        if split is not None:
            dataset = dataset.split(split)
        return dataset if ids is None else dataset.select(parse_ids(ids))
    except KeyError as error:
        raise BadSelection(str(error.args[0])) from error


def _print(to: str, dataset: Dataset, out: Path, written: list[Path], as_json: bool) -> None:
    size = sum(path.stat().st_size for path in written)
    if as_json:
        found: dict[str, Any] = {"format": to, "samples": len(dataset), "bytes": size}
        return print_json(found | {"files": [str(path) for path in written]})
    many = "1 file" if len(written) == 1 else f"{len(written)} files"
    print(f"{out}: {len(dataset)} samples as {to}, {many}, {size / 2**20:.1f} MiB")
