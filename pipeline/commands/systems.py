"""The command `rekrylov solve-systems`: its arguments, and what it prints."""

import json
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from pipeline.commands.options import Json
from pipeline.commands.printing import print_pairs
from pipeline.exit_codes import ExitCode
from pipeline.launch import check_launcher
from pipeline.spec import StrategySpec
from pipeline.spec_errors import SpecError, mistakes

__all__ = ["app", "parse_strategy"]

app = typer.Typer()

_SHOWN = 20


@app.command("solve-systems")
def solve_systems(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder of the systems.")],
    output: Annotated[
        str | None, typer.Option(help="Where solutions go; default: DIR/solutions.")
    ] = None,
    rtol: Annotated[float, typer.Option(help="Largest true residual, relative.")] = 1e-8,
    strategy: Annotated[
        str,
        typer.Option(help="How to solve: auto, '{ksp: cg, pc: icc}' or ksp=cg,pc=icc."),
    ] = "auto",
    sort: Annotated[
        str, typer.Option(help="auto, or none for the order of the names, or as order.sort.")
    ] = "auto",
    as_json: Json = False,
) -> int:
    """Solve your own matrices and right-hand sides; runs alone or under mpirun."""
    from pipeline.collective import on_root
    from pipeline.solve_systems import solve_systems as solve_all
    from pipeline.stages.solve import world

    comm = world()
    check_launcher(comm.size)
    chosen = on_root(comm, lambda: parse_strategy(strategy))
    report = solve_all(folder, output, strategy=chosen, rtol=rtol, sort=sort, comm=comm)
    if comm.rank == 0:
        print(json.dumps(report, indent=1)) if as_json else _show(report)
    return ExitCode.INCOMPLETE if report["failed"] else ExitCode.OK


def parse_strategy(text: str) -> Any:
    """Return the `solvers.Strategy` of a text: YAML, JSON or key=value,…; or "auto".

    Raises:
        SpecError: It is no such text, or an impossible strategy.
    """
    from solvers import Strategy

    if text == "auto":
        return text
    raw = _mapping(text)
    try:
        given = StrategySpec.model_validate(raw)
        return Strategy(**{key: getattr(given, key) for key in given.model_fields_set})
    except ValidationError as error:
        lines = mistakes(error, StrategySpec)
    except (TypeError, ValueError) as error:
        lines = [str(error)]
    raise SpecError([f"--strategy {line}" for line in lines])


def _mapping(text: str) -> dict[str, Any]:
    try:
        if "=" in text and not text.lstrip().startswith("{"):
            pairs = (pair.partition("=") for pair in text.split(","))
            found = {key.strip(): yaml.safe_load(value) for key, _, value in pairs}
        else:
            found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError([f"--strategy {text}: not YAML ({' '.join(str(error).split())})"]) from None
    if not isinstance(found, dict):
        raise SpecError([f"--strategy {text}: expected '{{ksp: cg, pc: icc}}' or ksp=cg,pc=icc"])
    return found


def _show(report: dict[str, Any]) -> None:
    """Print the counts as a table, then a line for each system that failed."""
    counts = f"{report['solved']} solved, {report['kept']} kept, {report['failed']} failed"
    order = report["sort"]
    rows = [
        ("systems", f"{counts}, of {report['systems']}"),
        ("solutions", report["output"]),
        ("strategy", f"{_label(report['strategy'])}, rtol {report['rtol']:g}"),
        ("sorted by", f"{order['by']}{_shorter(order)}"),
        ("iterations", report["iterations"]),
        ("time", f"{report['seconds']:.2f} s, solving {report['solve_seconds']:.2f} s"),
    ]
    if report["worst_true_residual"] is not None:
        rows.append(("worst true residual", f"{report['worst_true_residual']:.2e}"))
    print_pairs(report["folder"], rows)
    errors = [f"{row['name']}: {row['error']}" for row in report["rows"] if row["error"]]
    for line in errors[:_SHOWN]:
        print(f"failed: {line}")
    if len(errors) > _SHOWN:
        print(f"… and {len(errors) - _SHOWN} more in {report['output']}/report.json")


def _label(strategy: Any) -> str:
    return strategy if isinstance(strategy, str) else f"{strategy['ksp']} + {strategy['pc']}"


def _shorter(order: dict[str, Any]) -> str:
    before = order.get("length_unsorted", 0.0)
    return f", path {order['length'] / before:.2f} of the unsorted" if before else ""
