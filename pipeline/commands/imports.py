"""From other formats: `import`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.commands.options import Json, Root
from pipeline.commands.printing import print_json
from pipeline.exit_codes import ExitCode
from pipeline.launch import check_serial_stage

__all__ = ["app"]

app = typer.Typer()


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="Arrays (N, …) in HDF5, NPZ or a dictionary of torch.save.")
    ],
    name: Annotated[str, typer.Option(help="Name of the data set.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY[=FIELD,…]", help="An array of inputs, and names of its fields."),
    ] = None,
    outputs: Annotated[
        list[str] | None, typer.Option(metavar="KEY[=FIELD,…]", help="The same of outputs.")
    ] = None,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[KEY=]LETTERS",
            help="What the axes are: n samples, c channels, t time, x, y, z; such as ncxy.",
        ),
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(help="Places of the first and last points, 0,1,0,1; default: the unit box."),
    ] = None,
    root: Root = "data",
    licence: Annotated[str, typer.Option(help="Licence of the data.")] = "unknown",
    citation: Annotated[str, typer.Option(help="How to cite them.")] = "",
    split_seed: Annotated[int, typer.Option(min=0, help="Seed of the splits.")] = 0,
    as_json: Json = False,
) -> int:
    """Make a data set of others' samples on a regular grid, to train on and to look at."""
    from pipeline.stages.import_samples import import_samples

    check_serial_stage("import")
    spec, found = import_samples(
        file,
        name,
        root,
        inputs=inputs or [],
        outputs=outputs or [],
        axes=axes or [],
        domain=None if domain is None else _numbers(domain),
        licence=licence,
        citation=citation,
        split_seed=split_seed,
    )
    _print(spec, found, as_json)
    return ExitCode.OK


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"--domain {text}: expected low and high of each axis, such as 0,1,0,1"
        ) from None


def _print(spec: Any, found: dict[str, Any], as_json: bool) -> None:
    origin = spec.imported
    if as_json:
        return print_json(found | {"imported": origin.model_dump(mode="json")})
    box = " × ".join(
        f"{n} on [{a:g}, {b:g}]"
        for n, a, b in zip(origin.points, origin.low, origin.high, strict=True)
    )
    steps = "" if origin.times is None else f", {len(origin.times)} time steps"
    arrays = ", ".join(f"{key} ({axes})" for key, axes in origin.arrays.items())
    print(f"{found['folder']}: {found['stored']} samples from {origin.file} ({origin.format})")
    given = ", ".join([*origin.inputs, *origin.parameters])
    print(f"{given} → {', '.join(origin.outputs)}{steps}; arrays {arrays}")
    print(f"points {box}; {found['bytes'] / 2**20:.1f} MiB in {found['shards']} shards")
