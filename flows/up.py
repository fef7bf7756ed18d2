"""All of it on this machine: Prefect server, work pool, deployments, worker and web catalogue.

`rekrylov up` becomes `python -m flows.up`. Everything that is written is below one folder, the
home; the data sets are below the root.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from prefect.client.orchestration import get_client
from prefect.types._datetime import now

from flows.children import Child, PartFailed, end_marked
from flows.deployments import POOL, deploy, prepare_server
from flows.home import HOME, Home, sole_user
from flows.parts import Parts, make_parts
from flows.server import using_server, wait_until_healthy
from flows.unfinished import schedule_again
from pipeline.exit_codes import ExitCode, end_with
from pipeline.interrupt import Interrupted, raising

__all__ = ["main", "running"]

_START_SECONDS = 300.0
_TOO_SOON = 10.0
_STOP_SECONDS = 45.0  # a run has 30 to end

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@contextmanager
def running(home: Home) -> Iterator[Parts]:
    """Run all parts; at the end stop them in order: worker and runs, catalogue, server.

    Runs that are stopped are scheduled again, so that the next `up` goes on with them.

    Raises:
        StorageError: The home is in use, or a port is taken.
        PartFailed: A part did not start.
    """
    with ExitStack() as stack:
        stack.enter_context(sole_user(home))
        home.release_cores()
        parts = make_parts(home)
        stack.callback(parts.server.stop, 15)
        stack.callback(parts.catalogue.stop, 10)
        parts.server.start()
        parts.catalogue.start()
        wait_until_healthy(parts.server, home.api, _START_SECONDS)
        stack.enter_context(using_server(home.api, home.path))
        prepare_server()
        deploy(home)
        stack.callback(_stop_worker, parts, home)
        _collect_runs(home)
        parts.worker.start()
        home.remember()
        yield parts


def _stop_worker(parts: Parts, home: Home) -> None:
    """Stop the worker and its runs, and let the next one go on with them."""
    since = now("UTC")
    parts.worker.stop(_STOP_SECONDS)
    with suppress(Exception):  # the server may be gone; the next `up` looks as well
        _collect_runs(home, since)


def _collect_runs(home: Home, since: datetime | None = None) -> None:
    """Wait for the runs of a worker that is gone; they are for the next one.

    Args:
        home: Where it all is.
        since: When the worker was still there; runs that have crashed since go on, too.
    """
    end_marked(HOME, str(home.path), _STOP_SECONDS)
    with get_client(sync_client=True) as client:
        for name in schedule_again(client, POOL, since):
            print(f"run {name} was broken off; the next worker goes on with it", flush=True)


def follow(parts: Parts, home: Home) -> None:
    """Start parts again that ended, until a signal comes.

    Raises:
        PartFailed: A part ended at once.
    """
    seen = now("UTC")  # the worker
    while True:
        time.sleep(0.5)
        for part in parts:
            if part.ended():
                _again(part, parts, home, seen)
        seen = now("UTC")


def _again(part: Child, parts: Parts, home: Home, seen: datetime) -> None:
    """Start a part again: the server before all others, the worker when its runs are settled."""
    if part.age < _TOO_SOON:
        raise PartFailed(f"the {part.name} ended at once; it said:\n{part.said()}")
    print(f"the {part.name} ended; it is started again ({part.log})", flush=True)
    if part is parts.worker:
        _collect_runs(home, seen)
    part.start()
    if part is parts.server:
        wait_until_healthy(part, home.api, _START_SECONDS)


@app.command()
def up(
    root: Annotated[Path, typer.Option()],
    port: Annotated[int, typer.Option()],
    catalogue_port: Annotated[int, typer.Option()],
    limit: Annotated[int, typer.Option()],
    home: Annotated[Path, typer.Option()],
) -> int:
    """Do what `rekrylov up` says: it has checked and filled in all options."""
    place = Home.at(home, root, port, catalogue_port, limit)
    print(f"starting; logs in {place.path}", flush=True)
    with suppress(Interrupted), raising(), running(place) as parts:
        print(place.table(), flush=True)
        follow(parts, place)
    return ExitCode.OK


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    try:
        return int(app(args=argv, prog_name="rekrylov up", standalone_mode=False) or 0)
    except PartFailed as error:
        print(f"rekrylov: {error}", file=sys.stderr, flush=True)
        return ExitCode.UNEXPECTED
    except (KeyboardInterrupt, Exception) as error:
        return end_with(error)


if __name__ == "__main__":
    sys.exit(main())
