"""Finding data sets and looking at them: `list`, `search`, `show`, `diff`, `delete` and more."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline import dataset_folder
from pipeline.commands import catalogue_printing as output
from pipeline.commands import catalogue_reports as reports
from pipeline.commands.options import Json, Root, Set
from pipeline.exit_codes import ExitCode
from pipeline.launch import check_serial_stage
from storage import DataFolder, Dataset, StorageError, open_dataset

__all__ = ["DataSet", "app", "find_data_set"]

app = typer.Typer()

DataSet = Annotated[
    str,
    typer.Argument(
        metavar="DATASET", help="Its folder, its name below the root (or its start), or its spec."
    ),
]
Sort = Annotated[str, typer.Option(help="A field to sort by, - in front for falling.")]
Limit = Annotated[int, typer.Option(min=0, help="Most rows to show; 0: all.")]


def find_data_set(target: str, root: str, set_: list[str] | None = None) -> DataFolder:
    """Return the folder of a data set, of whatever revision.

    Args:
        target: its folder, its name below the root or the start of it, or a spec file.
        root: where data sets are kept.
        set_: changes of the spec.

    Raises:
        StorageError: there is none.
        SpecError: the spec is bad.
    """
    from storage.catalogue import locate

    path = Path(target)
    if path.is_dir():
        return dataset_folder.existing(DataFolder(path))
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return dataset_folder.existing(dataset_folder.resolve(target, root, set_ or [])[1])
    return dataset_folder.existing(DataFolder(locate(root, target)))


@app.command("list")
def list_(
    root: Root = "data", sort: Sort = "-updated", limit: Limit = 50, as_json: Json = False
) -> int:
    """List the data sets below the root, the newest first."""
    check_serial_stage("list")
    return _found(root, "", sort, limit, False, as_json)


@app.command()
def search(
    query: Annotated[
        list[str], typer.Argument(help="Such as: family=darcy and samples>1000 permeability.")
    ],
    root: Root = "data",
    sort: Sort = "-updated",
    limit: Limit = 50,
    facets: Annotated[bool, typer.Option("--facets", help="Count them by facet.")] = False,
    as_json: Json = False,
) -> int:
    """Search the data sets below the root."""
    check_serial_stage("search")
    return _found(root, " ".join(query), sort, limit, facets, as_json)


def _found(root: str, query: str, sort: str, limit: int, facets: bool, as_json: bool) -> int:
    from storage.catalogue import Catalogue

    catalogue = Catalogue(root)
    catalogue.catch_up()
    if facets:
        output.print_facets(catalogue.facets(query), as_json)
        return ExitCode.OK
    rows = catalogue.find(query, sort=sort, limit=limit or None)
    output.print_list(rows, catalogue.count(query), as_json)
    return ExitCode.OK


@app.command()
def show(target: DataSet, root: Root = "data", set_: Set = None, as_json: Json = False) -> int:
    """Show a data set: problem, fields, counts, splits, where it comes from."""
    check_serial_stage("show")
    output.print_show(_finalised(target, root, set_), as_json)
    return ExitCode.OK


@app.command()
def stats(target: DataSet, root: Root = "data", set_: Set = None, as_json: Json = False) -> int:
    """Show statistics of fields, and how parameters, iterations and residuals are spread."""
    from storage.catalogue.figures import figures

    check_serial_stage("stats")
    dataset = open_dataset(find_data_set(target, root, set_).path)
    output.print_figures(dataset.path.name, figures(dataset), as_json)
    return ExitCode.OK


@app.command()
def lineage(target: DataSet, root: Root = "data", set_: Set = None, as_json: Json = False) -> int:
    """Show where a data set comes from: runs, versions, host, strategy, pilots, trainings."""
    from storage.catalogue.lineage import lineage as trace

    check_serial_stage("lineage")
    reports.print_lineage(trace(find_data_set(target, root, set_)), as_json)
    return ExitCode.OK


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A data set.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    root: Root = "data",
    as_json: Json = False,
) -> int:
    """Show how two data sets differ: spec, versions, fields, and common samples by value."""
    from storage.catalogue.diff import diff as compare

    check_serial_stage("diff")
    pair = [open_dataset(find_data_set(target, root).path) for target in (first, second)]
    reports.print_diff(compare(*pair), as_json)
    return ExitCode.OK


@app.command()
def preview(
    target: DataSet,
    root: Root = "data",
    set_: Set = None,
    ids: Annotated[str | None, typer.Option(help="Samples to draw, such as 3,5,10-12.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the PNG goes.")] = None,
) -> int:
    """Draw samples and print the path of the picture; by default the first five."""
    check_serial_stage("preview")
    dataset = open_dataset(find_data_set(target, root, set_).path)
    print(_picture(dataset, ids, out))
    return ExitCode.OK


def _picture(dataset: Dataset, ids: str | None, out: Path | None) -> Path:
    from storage.pictures.preview import samples_picture
    from storage.selection import parse_ids

    rows = list(range(min(5, len(dataset))))
    if ids is not None:
        asked = parse_ids(ids)
        try:
            chosen = dataset.select(asked).ids
        except KeyError as error:
            raise StorageError(str(error.args[0])) from None
        rows = [int(row) for row in dataset.ids.searchsorted(chosen)]
    if len(rows) > 20:
        raise StorageError(f"--ids {ids}: {len(rows)} samples; at most 20 fit into a picture")
    name = "samples" if ids is None else f"samples-{ids.replace(' ', '')}"
    path = out or dataset.path / "previews" / f"{name}.png"
    found = samples_picture(dataset, rows, path) if rows else None
    if found is None:
        raise StorageError(f"{dataset.path}: has no sample or no field that can be drawn")
    return found


@app.command()
def cite(
    target: DataSet,
    root: Root = "data",
    set_: Set = None,
    form: Annotated[str, typer.Option("--format", help="bibtex | apa | cff.")] = "bibtex",
) -> int:
    """Print how to cite a data set, and the methods it was made with."""
    from storage.citation import cite as written

    check_serial_stage("cite")
    dataset = _finalised(target, root, set_)
    print(written(dataset.manifest, form, trained=_trained(dataset)), end="")
    return ExitCode.OK


def _trained(dataset: Dataset) -> tuple[str, ...]:
    """Kinds of operators that were trained on a data set."""
    from storage.catalogue.lineage import trainings

    found = trainings(DataFolder(dataset.path), dataset.manifest)
    return tuple(dict.fromkeys(str(training.get("operator", "")) for training in found))


@app.command()
def delete(
    target: Annotated[
        str | None, typer.Argument(metavar="DATASET", help="Its folder or name.")
    ] = None,
    root: Root = "data",
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    empty_trash: Annotated[
        bool, typer.Option("--empty-trash", help="Remove for good what was deleted before.")
    ] = False,
) -> int:
    """Move a data set into the trash of its root, from where it can be taken back."""
    check_serial_stage("delete")
    if (target is None) != empty_trash:
        raise StorageError("delete: name a data set, or give --empty-trash")
    if target is None:
        return _empty(Path(root), yes)
    from storage.catalogue.trash import check_deletable, move_to_trash

    folder = find_data_set(target, root).path
    check_deletable(folder, Path(root))
    if _agreed(f"Move {folder} into {Path(root) / '.trash'}?", yes):
        output.print_deleted(folder, move_to_trash(folder, Path(root)))
    return ExitCode.OK


def _empty(root: Path, yes: bool) -> int:
    from storage.catalogue.trash import empty_trash, in_trash

    found = in_trash(root)
    output.print_trash(found)
    if found and _agreed(f"Remove these {len(found)} data sets for good?", yes):
        print(f"{len(empty_trash(root))} removed")
    return ExitCode.OK


def _agreed(question: str, yes: bool) -> bool:
    try:
        agreed = yes or typer.confirm(question)
    except typer.Abort:
        raise StorageError("delete: nobody answers; nothing was deleted. Give --yes") from None
    if not agreed:
        print("nothing was deleted")
    return bool(agreed)


@app.command()
def index(root: Root = "data", as_json: Json = False) -> int:
    """Rebuild the index of the catalogue from the folders; it is made by itself otherwise."""
    from storage.catalogue import Catalogue

    check_serial_stage("index")
    catalogue = Catalogue(root)
    changes = catalogue.rebuild()
    output.print_index(Path(root), catalogue, changes, as_json)
    return ExitCode.OK


def _finalised(target: str, root: str, set_: list[str] | None) -> Dataset:
    folder = find_data_set(target, root, set_)
    dataset = open_dataset(folder.path)
    if not dataset.has_manifest:
        raise StorageError(f"{folder.path}: not finalised yet; run `rekrylov finalise`")
    return dataset
