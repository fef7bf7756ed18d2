"""The processes of `rekrylov up`: server, catalogue and worker."""

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from flows.children import Child
from flows.deployments import POOL
from flows.home import HOME, Home
from flows.server import server_child

__all__ = ["Parts", "make_parts"]

_SERVER = {
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",  # saves seconds; flows use none
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # SQLite, on a machine whose cores are all busy
    # In memory, as by default, cores that are held when the server ends would be held for ever.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
}
_WORKER = {
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "PREFECT_CLIENT_MAX_RETRIES": "10",  # or a server away for half a minute is given up
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Parts:
    """What runs."""

    server: Child
    catalogue: Child
    worker: Child

    def __iter__(self) -> Iterator[Child]:
        """Yield all parts, the server first."""
        return iter((self.server, self.catalogue, self.worker))


def make_parts(home: Home) -> Parts:
    """Return the parts, not yet started."""
    env, python = home.environment, [sys.executable, "-m"]
    serve = [*python, "pipeline.cli", "serve", "--root", str(home.root)]
    serve += ["--port", str(home.catalogue_port)]
    work = [*python, "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    work += ["--limit", str(home.limit), "--name", f"{platform.node()}-{os.getpid()}"]
    return Parts(
        server_child(home.path, env | _SERVER, home.port, []),
        Child("catalogue", serve, env, home.path / "catalogue.log"),
        Child("worker", work, env | _WORKER | {HOME: str(home.path)}, home.path / "worker.log"),
    )
