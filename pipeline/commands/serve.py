"""The catalogue in a browser: `serve`."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.options import Root
from pipeline.exit_codes import ExitCode
from pipeline.launch import check_serial_stage

__all__ = ["app"]

app = typer.Typer()


@app.command()
def serve(
    root: Root = "data",
    host: Annotated[
        str, typer.Option(help="Address to listen at; other than loopback, a token is demanded.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: a free one.")] = 8765,
) -> int:
    """Show the data sets below the root in a browser."""
    from storage import StorageError

    check_serial_stage("serve")
    try:
        from storage.web.app import serve as run
    except ImportError as error:
        raise StorageError(
            f"the web catalogue needs {error.name}; install the extra: rekrylov[web]"
        ) from error

    run(Path(root), host, port, lambda address: print(address, flush=True))
    return ExitCode.OK
