"""The flow `campaign`: a data set for each point of a grid of specs."""

import json
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Annotated, Any

import typer
import yaml
from prefect import State, flow
from prefect.artifacts import create_table_artifact
from prefect.states import Completed, Failed

from flows.artifacts import key, table
from flows.embedded import embedded, value
from flows.generate import generate
from flows.lifetime import prepare_process
from flows.parameters import Hours, Overrides, Ranks, Root, SpecParameter, read_spec
from flows.scale import Scale, ScaleOption, check_ranks, read_scale
from pipeline.commands.options import Root as RootOption
from pipeline.commands.options import Set, SpecPath
from pipeline.exit_codes import ExitCode
from pipeline.interrupt import Interrupted
from pipeline.spec import Spec
from pipeline.spec_errors import SpecError

__all__ = ["campaign", "main", "points"]

_MOST = 10_000
Grid = dict[str, list[Any]]


def points(grid: Mapping[str, list[Any]]) -> Iterator[list[str]]:
    """Yield the overrides `dotted.key=value` of each point; the last key's values change fastest.

    Raises:
        SpecError: A key has no values, or there are too many points.
    """
    if empty := [name for name, values in grid.items() if not values]:
        raise SpecError([f"grid.{name}: has no values; give a list of them" for name in empty])
    choices = [[f"{name}={json.dumps(each)}" for each in values] for name, values in grid.items()]
    for number, point in enumerate(product(*choices)):
        if number == _MOST:
            raise SpecError([f"grid: has more than {_MOST} points; make several campaigns of it"])
        yield list(point)


@flow(name="campaign", persist_result=False)
def campaign(
    spec: SpecParameter,
    grid: Grid,
    root: Root = "data",
    ranks: Ranks = 1,
    overrides: Overrides = [],  # noqa: B006 - Prefect shows it in the form; it isn't changed
    hours: Hours | None = None,
    scale: Scale | None = None,
) -> State[list[dict[str, Any]]]:
    """Generate a data set for each point of a grid, one after another; a bad one stops no other.

    Points that differ in nothing that determines a sample (strategy, operator, number of samples)
    share a data set.

    Args:
        spec: The spec; or the path of one, or of a data set, from the working directory.
        grid: Dotted keys of the spec and the values that each takes.
        root: Where data sets are kept.
        ranks: MPI ranks of a solve.
        overrides: Texts `dotted.key=value` that replace values of the spec.
        hours: Time limit of the solve stage; the next run goes on from there.
        scale: A Dask cluster for the solve stage; none: this machine's ranks.

    Returns:
        A row a point: its values, the data set, counts, and the state it ended in.
    """
    prepare_process()
    chosen = [(point, read_spec(spec, [*overrides, *point])) for point in points(grid)]
    rows = [_row(point, made, root, ranks, hours, scale) for point, made in chosen]
    create_table_artifact(table(rows), key(chosen[0][1].name, "campaign"), "Points")
    bad = [row for row in rows if not row["stored"] or row["state"] not in _GOOD]
    if bad:
        text = f"{len(bad)} of {len(rows)} points failed"
        return Failed(name="SomePointsFailed", message=text, data=rows)
    return Completed(data=rows)


_GOOD = ("Completed", "SomeSamplesFailed")


def _row(
    point: list[str],
    spec: Spec,
    root: str,
    ranks: int,
    hours: float | None,
    scale: Scale | None,
) -> dict[str, Any]:
    run = generate.with_options(flow_run_name=(", ".join(point) or spec.name)[:200])
    state: Any = run(spec, root, ranks, [], hours, scale, return_state=True)
    if isinstance(state.data, Interrupted):
        raise state.data
    found = state.result() if state.is_completed() else {}
    values = dict(text.split("=", 1) for text in point)
    return values | {
        "state": state.name,
        "stored": found.get("stored", 0),
        "failed": found.get("failed", 0),
        "worst true residual": found.get("worst_true_residual"),
        "data set": found.get("folder"),
        "why": state.message if not found else None,
    }


@embedded("campaign")
def main(
    spec: SpecPath,
    grid: Annotated[
        list[str], typer.Option(metavar="KEY=[A, B, …]", help="A key and its values, in YAML.")
    ],
    root: RootOption = "data",
    ranks: Annotated[int, typer.Option(min=1, help="MPI ranks of the solve stage.")] = 1,
    set_: Set = None,
    scale: ScaleOption = None,
) -> int:
    """Make a data set for each point of a grid, on a temporary Prefect server."""
    from flows.server import temporary_server

    axes = _axes(grid)
    for point in points(axes):
        read_spec(spec, [*(set_ or []), *point])  # a bad spec needs no server
    cluster = read_scale(scale)
    check_ranks(cluster, ranks)
    with temporary_server():
        state: Any = campaign(spec, axes, root, ranks, set_ or [], None, cluster, return_state=True)
    rows = value(state)
    for row in rows:
        print(", ".join(f"{name}: {value}" for name, value in row.items() if value is not None))
    whole = all(row["state"] == "Completed" for row in rows)
    return ExitCode.OK if whole else ExitCode.INCOMPLETE


def _axes(texts: list[str]) -> dict[str, list[Any]]:
    axes = {}
    for text in texts:
        name, _, values = text.partition("=")
        try:
            axes[name] = yaml.safe_load(values)
        except yaml.YAMLError:
            axes[name] = None
        if not isinstance(axes[name], list):
            raise typer.BadParameter(f"--grid {text}: expected key=[a, b, …], values in YAML")
    return axes


if __name__ == "__main__":
    sys.exit(main())
