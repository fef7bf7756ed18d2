"""Where `rekrylov up` keeps its things, and at which addresses; one `up` at a time."""

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flows.artifacts import CATALOGUE
from flows.children import end_marked
from flows.server import api_address, free_port, quiet_environment
from storage import StorageError

__all__ = ["HOME", "Home", "sole_user"]

HOME = "REKRYLOV_UP"
"""Environment variable of a worker, its runs and their ranks: the home of their `up`."""

_LEFT_SECONDS = 30.0


@dataclass(frozen=True)
class Home:
    """What one `up` was told: absolute paths, ports that are not 0, runs at once."""

    path: Path
    root: Path
    port: int
    catalogue_port: int
    limit: int

    @classmethod
    def at(cls, path: Path, root: Path, port: int, catalogue_port: int, limit: int) -> "Home":
        """Make the folders; a port 0 becomes a free one."""
        for each in (path, root):
            each.mkdir(parents=True, exist_ok=True)
        port, catalogue_port = port or free_port(), catalogue_port or free_port()
        return cls(path.resolve(), root.resolve(), port, catalogue_port, limit)

    @property
    def api(self) -> str:
        """Address of the server's API."""
        return api_address(self.port)

    @property
    def catalogue(self) -> str:
        """Address of the web catalogue."""
        return f"http://127.0.0.1:{self.catalogue_port}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment of all parts."""
        found = quiet_environment(self.path) | {"PREFECT_API_URL": self.api}
        return found | {CATALOGUE: self.catalogue}

    def release_cores(self) -> None:
        """Forget who held cores: those processes are gone, and their time isn't up yet."""
        shutil.rmtree(self.path / "concurrency_leases", ignore_errors=True)

    def remember(self) -> None:
        """Write down, for other programs, where to find it."""
        found = {"server": self.api, "catalogue": self.catalogue, "root": str(self.root)}
        text = json.dumps(found | {"pid": os.getpid()}, indent=1)
        (self.path / "up.json").write_text(text, encoding="utf-8")

    def table(self) -> str:
        """Return the addresses, and what may be typed."""
        rows = {
            "server": f"http://127.0.0.1:{self.port}",
            "catalogue": f"{self.catalogue}/",
            "data sets": str(self.root),
            "logs": f"{self.path}/*.log",
            "for `prefect`": f"export PREFECT_HOME={self.path} PREFECT_API_URL={self.api}",
            "a run": "prefect deployment run generate/on-demand -p spec=SPEC.yaml",
            "stop": "Ctrl-C, or kill " + str(os.getpid()),
        }
        return "\n".join(f"  {name:<14} {value}" for name, value in rows.items())


@contextmanager
def sole_user(home: Home) -> Iterator[None]:
    """Hold the home and find the ports free; wait for what a killed `up` left.

    Raises:
        StorageError: Another `up` uses the home, or somebody listens at a port.
    """
    with (home.path / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(
                f"{home.path}: `rekrylov up` runs there already{_who(home)}; stop it first, or "
                "give another --home and other ports"
            ) from error
        end_marked(HOME, str(home.path), _LEFT_SECONDS)
        _check_ports(home)
        yield


def _who(home: Home) -> str:
    with suppress(OSError, ValueError, KeyError):
        found = json.loads((home.path / "up.json").read_text(encoding="utf-8"))
        return f" (process {found['pid']}, {found['server']})"
    return ""


def _check_ports(home: Home) -> None:
    for option, port in (("--port", home.port), ("--catalogue-port", home.catalogue_port)):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            raise StorageError(
                f"127.0.0.1:{port}: somebody listens there already; give another {option}"
            ) from error
    if home.port == home.catalogue_port:
        raise StorageError(f"--port and --catalogue-port are both {home.port}; they must differ")
