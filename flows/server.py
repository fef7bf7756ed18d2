"""A temporary Prefect server on the loopback interface, gone with the process that started it."""

import os
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.context import refresh_global_settings_context
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows.children import Child, PartFailed

__all__ = [
    "api_address",
    "exit_within",
    "free_port",
    "quiet_environment",
    "server_child",
    "server_process",
    "temporary_server",
    "using_server",
    "wait_until_healthy",
]

_DRAIN_SECONDS = 5.0


@contextmanager
def temporary_server(start_seconds: float = 120.0) -> Iterator[str]:
    """Run the flows within on a server of their own, with nothing kept; yield its API's address.

    Raises:
        PartFailed: The server did not start.
    """
    with tempfile.TemporaryDirectory(prefix="rekrylov-prefect-") as home:
        environment = quiet_environment(Path(home))
        environment["PREFECT_SERVER_REGISTER_BLOCKS_ON_START"] = "false"  # saves a second or two
        options = ["--no-services"]  # no scheduler: nothing is scheduled here
        with (
            server_process(Path(home), environment, start_seconds, options) as url,
            using_server(url, Path(home)),
        ):
            yield url


@contextmanager
def using_server(url: str, home: Path) -> Iterator[None]:
    """Let flows called within this process use a server, and send it all before the end.

    What is unsent when the server goes would keep this process from exiting: Prefect waits for it.
    The environment is set as well, for threads: those that don't get a copy of this context would
    start a server of their own.
    """
    before = {name: os.environ.get(name) for name in ("PREFECT_API_URL", "PREFECT_HOME")}
    os.environ |= {"PREFECT_API_URL": url, "PREFECT_HOME": str(home)}
    refresh_global_settings_context()
    with temporary_settings({PREFECT_API_URL: url, PREFECT_HOME: str(home)}):
        try:
            yield
        finally:
            for worker in (APILogWorker, EventsWorker):
                worker.drain_all(timeout=_DRAIN_SECONDS)
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
            refresh_global_settings_context()


def exit_within(seconds: float, code: int) -> None:
    """End this process with `code` if it hasn't ended by itself in time."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


def quiet_environment(home: Path) -> dict[str, str]:
    """Return this process's environment for a Prefect that keeps all it writes below `home`."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    return inherited | {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",  # it asks amplitude.com even with analytics off
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def server_process(
    home: Path, environment: dict[str, str], start_seconds: float, options: list[str]
) -> Iterator[str]:
    """Run `prefect server start` on a free port; its output goes to `home/server.log`."""
    port = free_port()
    quiet = environment | {"PREFECT_SERVER_UI_ENABLED": "false"}
    server = server_child(home, quiet, port, options).start()
    try:
        wait_until_healthy(server, api_address(port), start_seconds)
        yield api_address(port)
    finally:
        server.stop(10)


def api_address(port: int) -> str:
    """Return the address of the API of a server on this machine."""
    return f"http://127.0.0.1:{port}/api"


def server_child(home: Path, environment: dict[str, str], port: int, options: list[str]) -> Child:
    """Return the server as a child process, not yet started."""
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    command += ["--port", str(port), *options]
    environment = environment | {"PREFECT_API_URL": api_address(port)}
    return Child("server", command, environment, home / "server.log")


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_healthy(server: Child, url: str, seconds: float) -> None:
    """Wait until the server answers.

    Raises:
        PartFailed: It ended, or didn't answer in time.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end and not server.ended():
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    said = server.said()
    raise PartFailed(f"the Prefect server did not start within {seconds:g} s; it said:\n{said}")
