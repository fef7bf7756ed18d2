"""Arguments and options that several commands share."""

from typing import Annotated

import typer

__all__ = ["Json", "Retry", "Root", "Set", "SpecPath", "Target", "Workers"]

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
Workers = Annotated[int, typer.Option(min=1, help="Processes that do it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
