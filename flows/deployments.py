"""What a server has to know before a worker comes: work pool, this machine's cores, deployments."""

import subprocess
import sys
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate, WorkPoolCreate
from prefect.workers.process import ProcessWorker

from flows.children import PartFailed
from flows.cores import limit, limit_name
from flows.home import Home

__all__ = ["DEPLOYMENTS", "POOL", "deploy", "prepare_server"]

DEPLOYMENTS = Path(__file__).with_name("prefect.yaml")
POOL = "local-process"
"""The work pool of the deployments."""


def prepare_server() -> None:
    """Make the work pool if it isn't there, and let runs have all cores: nobody holds any."""
    limit()
    template = ProcessWorker.get_default_base_job_template()
    pool = WorkPoolCreate(name=POOL, type="process", base_job_template=template)
    with get_client(sync_client=True) as client:
        client.update_global_concurrency_limit(
            limit_name(), GlobalConcurrencyLimitUpdate(active_slots=0)
        )
        if POOL not in {each.name for each in client.read_work_pools()}:
            client.create_work_pool(pool)


def deploy(home: Home) -> None:
    """Create or update all deployments; paths are seen from the current folder.

    Raises:
        PartFailed: Prefect refused them.
    """
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(
        [*command, "--prefect-file", str(DEPLOYMENTS)],
        env=home.environment | {"PROJECT_ROOT": str(Path.cwd()), "DATA_ROOT": str(home.root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    (home.path / "deploy.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        raise PartFailed(f"prefect deploy ended with {done.returncode}:\n{done.stdout[-2000:]}")
