"""Stages of a run: `run`, `sample`, `order`, `solve`, `finalise`, `train`, `status`."""

from typing import Annotated

import typer

from pipeline import dataset_folder
from pipeline.commands import printing as output
from pipeline.commands.options import Json, Retry, Root, Set, SpecPath, Target, Workers
from pipeline.exit_codes import ExitCode
from pipeline.launch import check_launcher, check_serial_stage
from pipeline.spec import load_spec

__all__ = ["app"]

app = typer.Typer()


@app.command()
def run(
    spec: SpecPath,
    root: Root = "data",
    ranks: Annotated[int, typer.Option(min=1, help="MPI ranks of the solve stage.")] = 1,
    set_: Set = None,
    retry_failed: Retry = False,
) -> int:
    """Do all stages: sample, order, solve, finalise, train."""
    from pipeline.run import run as run_all

    check_serial_stage("run")
    parsed = load_spec(spec, set_ or [])
    found = run_all(parsed, spec, root, ranks, set_ or [], retry_failed)
    output.print_run(found)
    return ExitCode.INCOMPLETE if found["failed"] or found["missing"] else ExitCode.OK


@app.command()
def sample(spec: SpecPath, root: Root = "data", set_: Set = None, workers: Workers = 1) -> int:
    """Make the data set's folder and draw new samples' features."""
    from pipeline import stages

    check_serial_stage("sample")
    print(stages.sample(load_spec(spec, set_ or []), root, workers=workers))
    return ExitCode.OK


@app.command()
def order(spec: SpecPath, root: Root = "data", set_: Set = None) -> int:
    """Sort new samples by similarity and cut them into batches."""
    from pipeline import stages

    check_serial_stage("order")
    stages.order(load_spec(spec, set_ or []), root)
    return ExitCode.OK


@app.command()
def solve(
    spec: SpecPath,
    root: Root = "data",
    set_: Set = None,
    retry_failed: Retry = False,
    part: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="Only the K-th of N parts of the data set, from 1/N."),
    ] = None,
) -> int:
    """Solve what is not solved yet; runs alone or under mpirun."""
    from pipeline import stages
    from pipeline.chains import Part
    from pipeline.collective import on_root
    from pipeline.stages.solve import world

    try:
        mine = None if part is None else Part.parse(part)
    except ValueError as error:
        raise typer.BadParameter(f"--part: {error}") from None
    comm = world()
    check_launcher(comm.size)
    parsed = on_root(comm, lambda: load_spec(spec, set_ or []))
    stages.solve(parsed, root, comm, retry_failed=retry_failed, part=mine)
    folder = dataset_folder.data_folder(parsed, root)
    status = on_root(comm, lambda: stages.status(parsed, folder, mine))
    if comm.rank == 0:
        output.print_status(status)
    return ExitCode.INCOMPLETE if status.failed or status.missing else ExitCode.OK


@app.command()
def finalise(target: Target, root: Root = "data", set_: Set = None, workers: Workers = 1) -> int:
    """Write the manifest: splits, statistics, provenance, pictures."""
    from pipeline import stages

    check_serial_stage("finalise")
    spec, folder = dataset_folder.resolve(target, root, set_ or [])
    found = stages.finalise(spec, folder, workers)
    if set_:  # once it is known to fit the data
        dataset_folder.save_run(folder, spec, dataset_folder.run_stamp())
    output.print_summary(found)
    return ExitCode.INCOMPLETE if found["failed"] else ExitCode.OK


@app.command()
def train(target: Target, root: Root = "data", set_: Set = None) -> int:
    """Fit and validate the spec's operator on the finalised data set."""
    from pipeline import stages
    from pipeline.spec_errors import SpecError

    check_serial_stage("train")
    spec, folder = dataset_folder.resolve(target, root, set_ or [])
    if spec.train is None:
        raise SpecError(["train: missing; say what to train, for example --set train.epochs=20"])
    output.print_report(stages.train(spec, folder))
    return ExitCode.OK


@app.command()
def status(target: Target, root: Root = "data", set_: Set = None, as_json: Json = False) -> int:
    """Count what is stored, failed and missing."""
    from pipeline import stages

    check_serial_stage("status")
    spec, folder = dataset_folder.resolve(target, root, set_ or [])
    found = stages.status(spec, folder)
    output.print_status(found, as_json)
    return ExitCode.OK
