"""Keeping data sets sound: `check`, `repair`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline import dataset_folder
from pipeline.commands.options import Json, Root, Set, Target, Workers
from pipeline.commands.printing import print_json
from pipeline.exit_codes import ExitCode
from pipeline.launch import check_serial_stage
from pipeline.spec import Spec, data_key, load_spec
from storage import DamagedFile, DataFolder

__all__ = ["app"]

app = typer.Typer()

Full = Annotated[bool, typer.Option("--full", help="Draw and assemble every sample again.")]


@app.command()
def check(
    target: Target,
    root: Root = "data",
    set_: Set = None,
    full: Full = False,
    quick: Annotated[bool, typer.Option("--quick", help="Read no shard.")] = False,
    workers: Workers = 1,
    as_json: Json = False,
) -> int:
    """Look for damage; --full draws every input and computes every true residual again."""
    from pipeline import stages

    check_serial_stage("check")
    if full and quick:
        raise typer.BadParameter("--quick reads no shard, --full all: give one of them")
    spec, folder = _place(target, root, set_ or [])
    quiet = not sys.stderr.isatty()
    result = stages.check(spec, folder, full, quick=quick, workers=workers, quiet=quiet)
    _print_check(folder, result, as_json)
    return ExitCode.OK if result.sound else ExitCode.INCOMPLETE


@app.command()
def repair(
    target: Target,
    root: Root = "data",
    set_: Set = None,
    full: Full = False,
    ranks: Annotated[int, typer.Option(min=1, help="MPI ranks that solve.")] = 1,
    workers: Workers = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it, don't do it.")] = False,
    as_json: Json = False,
) -> int:
    """Rebuild what can be rebuilt, solve damaged shards again; they are kept in damaged/."""
    from pipeline.stages.repair import repair as repair_folder

    check_serial_stage("repair")
    _, folder = _place(target, root, set_ or [])
    quiet = not sys.stderr.isatty()
    result = repair_folder(
        folder, full=full, ranks=ranks, workers=workers, dry_run=dry_run, quiet=quiet
    )
    if as_json:
        print_json(result.as_dict())
    else:
        _print_repair(result, dry_run)
        _print_check(folder, result.check, False)
    return ExitCode.OK if result.sound else ExitCode.INCOMPLETE


def _print_repair(result: Any, dry_run: bool) -> None:
    """Print what was done, or would be."""
    for line in result.plan if dry_run else result.done:
        print(f"would {line}" if dry_run else line)
    if not (result.plan if dry_run else result.done):
        print("nothing to repair")
    if result.aside is not None:
        print(f"set aside in {result.aside}")
    for text in result.unrepaired:
        print(f"not repaired: {text}")


def _place(target: str, root: str, overrides: list[str]) -> tuple[Spec | None, DataFolder]:
    """The folder of a target, however damaged, and the spec if it was given."""
    path = Path(target)
    if path.is_dir() and not overrides:
        return None, DataFolder(path)
    try:
        return dataset_folder.resolve(target, root, overrides)
    except DamagedFile:
        if path.is_dir():
            return None, DataFolder(path)
    spec = load_spec(path, overrides)
    return spec, DataFolder(Path(root) / f"{spec.name}-{data_key(spec)[:10]}")


def _print_check(folder: DataFolder, result: Any, as_json: bool) -> None:
    """Print findings and the recomputed residuals."""
    if as_json:
        return print_json(result.as_dict())
    for finding in result.findings:
        print(f"{finding.severity}: {finding.code} {finding.location}: {finding.message}")
    if result.worst_residual is not None:
        print(
            f"true residual recomputed for {result.recomputed} samples: "
            f"worst {result.worst_residual:.3e}"
        )
    print(f"{folder.path}: {'sound' if result.sound else 'damaged'} ({result.level} check)")
