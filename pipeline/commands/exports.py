"""To and from other formats: `export`, `import`."""

import typer

__all__ = ["app"]

app = typer.Typer()
