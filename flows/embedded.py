"""Flows from the command line: `python -m flows.<name> …`, on a temporary Prefect server."""

import signal
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

import typer
from prefect import State

from flows.server import exit_within
from pipeline.exit_codes import end_with
from pipeline.interrupt import Interrupted
from pipeline.launch import check_serial_stage

__all__ = ["embedded", "value"]


def embedded(name: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make a command of a function: arguments from its signature, exit codes of docs/design.md."""

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(help=function.__doc__)(_interruptible(function))

        def main(argv: list[str] | None = None) -> int:
            _take_signals()
            try:
                check_serial_stage("run")
                code = app(args=argv, prog_name=f"python -m flows.{name}", standalone_mode=False)
            except Exception as error:
                code = end_with(error)
            ended = int(code or 0)
            if argv is None:
                exit_within(10, ended)  # all is on disk; Prefect may wait for a server that is gone
            return ended

        return main

    return decorate


def _interruptible(function: Callable[..., int]) -> Callable[..., int]:
    """Typer has an exit code of its own for Ctrl-C; ours is another."""

    @wraps(function)
    def called(*arguments: Any, **options: Any) -> int:
        try:
            return function(*arguments, **options)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; the same command goes on from there") from None

    return called


def value(state: State[Any]) -> Any:
    """Return what a flow returned, of a failed state as well; raises what it raised."""
    record = state.data
    return record.result if hasattr(record, "result") else state.result()


def _take_signals() -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _ctrl_c)


def _interrupt(_number: int, _frame: Any) -> NoReturn:
    raise Interrupted("stopped by SIGTERM; the same command goes on from there")


def _ctrl_c(_number: int, _frame: Any) -> NoReturn:
    """Do as Python does; `launch` lets it, and Prefect records a crash, not an error of ours."""
    raise KeyboardInterrupt
