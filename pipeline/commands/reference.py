"""What specs can say: `schema`, `families`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands import printing as output
from pipeline.exit_codes import ExitCode
from pipeline.spec import Spec
from pipeline.spec_reference import reference

__all__ = ["app"]

app = typer.Typer()


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
