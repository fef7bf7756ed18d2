"""The command line: `rekrylov COMMAND SPEC`."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline import cli_output as output
from pipeline import dataset_folder
from pipeline.exit_codes import ExitCode, end_with
from pipeline.interrupt import raising
from pipeline.launch import check_launcher, check_serial_stage, keep_python_signals
from pipeline.spec import Spec, load_spec
from pipeline.spec_reference import reference
from pipeline.systems_command import command as solve_systems
from storage import DataFolder

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Operator-learning data sets from similarity-sorted, Krylov-recycled FE solves.",
)

SpecPath = Annotated[str, typer.Argument(metavar="SPEC", help="A spec, a YAML file.")]
Target = Annotated[
    str, typer.Argument(metavar="SPEC|FOLDER", help="A spec file, or the folder of a data set.")
]
Root = Annotated[str, typer.Option(help="Where data sets are kept.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value, dotted.")
]
Retry = Annotated[
    bool, typer.Option("--retry-failed", help="Solve batches with failed samples again.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
def sample(spec: SpecPath, root: Root = "data", set_: Set = None) -> int:
    """Make the data set's folder and draw new samples' features."""
    from pipeline import stages

    check_serial_stage("sample")
    print(stages.sample(load_spec(spec, set_ or []), root))
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
    spec: SpecPath, root: Root = "data", set_: Set = None, retry_failed: Retry = False
) -> int:
    """Solve what is not solved yet; runs alone or under mpirun."""
    from pipeline import stages
    from pipeline.collective import on_root
    from pipeline.stages.solve import world

    comm = world()
    check_launcher(comm.size)
    parsed = on_root(comm, lambda: load_spec(spec, set_ or []))
    stages.solve(parsed, root, comm, retry_failed=retry_failed)
    folder = dataset_folder.data_folder(parsed, root)
    status = on_root(comm, lambda: stages.status(parsed, folder))
    if comm.rank == 0:
        output.print_status(status)
    return ExitCode.INCOMPLETE if status.failed or status.missing else ExitCode.OK


@app.command()
def finalise(target: Target, root: Root = "data", set_: Set = None) -> int:
    """Write the manifest: splits, statistics, provenance, pictures."""
    from pipeline import stages

    check_serial_stage("finalise")
    spec, folder = dataset_folder.resolve(target, root, set_ or [])
    found = stages.finalise(spec, folder)
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
def predict(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint of `train`, or its folder.")],
    given: Annotated[
        str,
        typer.Argument(
            metavar="INPUT", help="A data set, or a file of functions: .npz, .h5, .yaml."
        ),
    ],
    dataset: Annotated[
        str | None, typer.Option(help="Data set with mesh and spaces; default: the checkpoint's.")
    ] = None,
    ids: Annotated[str | None, typer.Option(help="Stored samples, such as 3,5,10-20.")] = None,
    split: Annotated[str | None, typer.Option(help="Stored samples of a split.")] = None,
    out: Annotated[
        list[Path] | None, typer.Option(help="A file to write: .npz, .h5, .vtkhdf or .png.")
    ] = None,
    against_solver: Annotated[
        bool, typer.Option("--against-solver", help="Time it against solves of equal error.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Predict solutions with a trained operator."""
    from pipeline.operators.errors import TrainingError
    from pipeline.stages.predict import predict as run_predict

    check_serial_stage("predict")
    if not out and not against_solver and not as_json and not Path(given).is_dir():
        raise TrainingError("nothing to do with the prediction; name a file with --out, or --json")
    if against_solver and not Path(given).is_dir():
        raise TrainingError(f"--against-solver: {given} is no data set, whose solves it compares")
    if against_solver and ids is None and split is None:
        split = "test"
    found = run_predict(checkpoint, given, dataset=dataset, ids=ids, split=split, out=out or [])
    if against_solver:
        from pipeline.stages.rival import against_solver as compare

        found["against_solver"] = compare(checkpoint, given, ids, split)
    output.print_prediction(found, as_json)
    return ExitCode.OK


@app.command()
def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint, or its folder.")],
    folder: Annotated[str, typer.Argument(help="A data set with the same mesh and spaces.")],
    split: Annotated[str, typer.Option(help="Of which samples; all: of all.")] = "test",
    where: Annotated[
        str | None, typer.Option(help='A condition on the samples: "mu > 0.1 and std(a) < 2".')
    ] = None,
    ids: Annotated[str | None, typer.Option(help="These samples alone: 3,5,10-20.")] = None,
    transfer: Annotated[
        str | None, typer.Option(metavar="HOME", help="It was trained on this data set's mesh.")
    ] = None,
    mesh_samples: Annotated[
        int, typer.Option(min=0, help="Solve so many on a finer mesh, to see the mesh's error.")
    ] = 4,
    out: Annotated[
        str | None, typer.Option(help="Where to write; default: beside the checkpoint.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Test a trained operator: errors with intervals, defects, worst samples, time."""
    from pipeline.stages.evaluate import evaluate as run_evaluation

    check_serial_stage("evaluate")
    where_to, found = run_evaluation(
        checkpoint,
        folder,
        split=None if split == "all" else split,
        where=where,
        ids=ids,
        transfer=transfer,
        mesh_samples=mesh_samples,
        out=out,
    )
    output.print_evaluation(where_to, found, as_json)
    return ExitCode.OK


@app.command()
def compare(target: Target, root: Root = "data", set_: Set = None, as_json: Json = False) -> int:
    """Train the operators of the spec's `compare`, and test them on equal terms."""
    from pipeline.spec_errors import SpecError
    from pipeline.stages.compare import compare as run_comparison

    check_serial_stage("compare")
    spec, folder = dataset_folder.resolve(target, root, set_ or [])
    if spec.compare is None:
        raise SpecError(
            ["compare: missing; name operators, --set 'compare.operators=[{kind: spon}]'"]
        )
    output.print_comparison(*run_comparison(spec, folder), as_json)
    return ExitCode.OK


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


@app.command()
def status(target: Target, root: Root = "data", set_: Set = None, as_json: Json = False) -> int:
    """Count what is stored, failed and missing."""
    from pipeline import stages

    check_serial_stage("status")
    spec, folder = dataset_folder.resolve(target, root, set_ or [])
    found = stages.status(spec, folder)
    output.print_status(found, as_json)
    return ExitCode.OK


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


@app.command()
def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="A table for people.")] = False,
) -> int:
    """Print the JSON schema of a spec, for editors."""
    print(reference() if markdown else json.dumps(Spec.model_json_schema(), indent=2))
    return ExitCode.OK


@app.command()
def families(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The catalogue of the docs.")
    ] = False,
) -> int:
    """List the problem families of the package."""
    from pipeline.family_reference import catalogue, summaries

    if markdown:
        print(catalogue(Path("examples")))
    else:
        output.print_families(summaries())
    return ExitCode.OK


app.command("solve-systems")(solve_systems)


def main(argv: list[str] | None = None) -> Any:
    """Run the command line and exit with the code of `docs/design.md`."""
    os.environ.update(keep_python_signals(os.environ))  # before PETSc can take SIGTERM away
    try:
        with raising():
            code = app(args=argv, prog_name="rekrylov", standalone_mode=False)
    except SystemExit:
        raise
    except BaseException as error:
        code = end_with(error)
    sys.exit(int(code or 0))


if __name__ == "__main__":
    main()
