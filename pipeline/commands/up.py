"""Everything on this machine: `up`."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.options import Root
from pipeline.launch import check_serial_stage

__all__ = ["app"]

app = typer.Typer()

_NEEDED = {"prefect": "flows", "jinja2": "web", "uvicorn": "web"}
"""Modules, and the extra that has each."""


@app.command()
def up(
    root: Root = "data",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the server; 0: any.")] = 4200,
    catalogue_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the web catalogue; 0: any.")
    ] = 8765,
    limit: Annotated[int, typer.Option(min=1, help="Runs at once.")] = 2,
    home: Annotated[Path, typer.Option(help="Folder of the server's data and of logs.")] = Path(
        ".prefect"
    ),
) -> None:
    """Run Prefect server, deployments, worker and catalogue on this machine, until Ctrl-C."""
    from storage import StorageError

    check_serial_stage("up")
    for module, extra in _NEEDED.items():
        if find_spec(module) is None:
            raise StorageError(f"`up` needs {module}; install the extra: rekrylov[{extra}]")
    options = {"--root": root, "--port": port, "--catalogue-port": catalogue_port}
    options |= {"--limit": limit, "--home": home}
    words = [word for name, value in options.items() for word in (name, str(value))]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "flows.up", *words])
