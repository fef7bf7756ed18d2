"""The command line: `rekrylov COMMAND …`."""

import io
import os
import sys
from typing import Any

import typer

from pipeline.commands import (
    care,
    catalogue,
    exports,
    imports,
    merging,
    operators,
    packing,
    reference,
    serve,
    stages,
    systems,
    up,
)
from pipeline.exit_codes import end_with
from pipeline.interrupt import raising
from pipeline.launch import keep_python_signals

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Operator-learning data sets from similarity-sorted, Krylov-recycled FE solves.",
)
GROUPS = (
    stages,
    care,
    merging,
    packing,
    catalogue,
    exports,
    imports,
    operators,
    reference,
    systems,
    serve,
    up,
)
for group in GROUPS:
    app.add_typer(group.app)


def main(argv: list[str] | None = None) -> Any:
    """Run the command line and exit with the code of `docs/design.md`."""
    os.environ.update(keep_python_signals(os.environ))  # before PETSc can take SIGTERM away
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal or log that has no such letter
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
