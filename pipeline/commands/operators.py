"""Trained operators: `predict`, `evaluate`, `compare`."""

from pathlib import Path
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
