"""One real server for all tests, and one real `rekrylov up`, each in a temporary folder."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from system import TINY, System, until

ROOT = Path(__file__).parents[2]


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


@pytest.fixture(scope="session")
def up(tmp_path_factory):
    """A `rekrylov up` away from the checkout; stopped by a signal at the end."""
    system = System(tmp_path_factory.mktemp("up"))
    try:
        yield system
        system.stop()
    finally:
        system.process.kill()


@pytest.fixture(scope="session")
def scheduled(up):
    """A run of a data set of six samples that a schedule has started, and its end."""
    path = f"/deployments/{up.deployment('generate/on-demand')['id']}/schedules"
    schedule = {"active": True, "schedule": {"interval": 15}, "slug": "soon"}
    (made,) = up.ask(path, [schedule | {"parameters": {"spec": yaml.safe_load(TINY)}}])

    def fired():
        begun = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
        begun |= {"tags": {"all_": ["auto-scheduled"]}}
        return up.ask("/flow_runs/filter", {"flow_runs": begun})

    (run, *_) = until(fired, "the schedule fires")
    up.ask(f"{path}/{made['id']}", method="DELETE")
    up.wait(run["id"], "COMPLETED")
    return run
