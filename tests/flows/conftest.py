"""One real server for all tests, on a free loopback port, with everything in a temporary folder."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TINY = """
name: tiny
seed: 7
samples: 6
problem:
  family: darcy
  coefficient: {law: lognormal, field: {kind: cosine, alpha: 2.0, tau: 3.0, sigma: 1.0}}
  source: 1.0
  output_space: {family: P, degree: 1}
mesh: {domain: unit_square, resolution: 8}
"""


@dataclass(frozen=True)
class Server:
    """A running server: its API's address, and the environment for commands that use it."""

    url: str
    env: dict[str, str]

    def prefect(self, *arguments: str, timeout: float = 120) -> str:
        """Run a `prefect` command in the checkout and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=ROOT,
            env=self.env | {"PROJECT_ROOT": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The server; flows called in this process use it too."""
    home = tmp_path_factory.mktemp("prefect")
    os.environ |= {"PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"}
    from flows.server import quiet_environment, server_process, using_server

    env = quiet_environment(home)
    with server_process(home, env, 120, []) as url, using_server(url, home):
        yield Server(url, env | {"PREFECT_API_URL": url})


@pytest.fixture
def tiny(tmp_path):
    """The path of a spec with six samples."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path
