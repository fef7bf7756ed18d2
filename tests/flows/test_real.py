"""For real: a deployment that a worker runs, and an interrupted flow that is finished later."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.timeout(180)


def post(url: str, body: dict) -> list[dict]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_a_worker_runs_the_deployment(server, tiny, tmp_path):
    from storage import open_dataset

    server.prefect("work-pool", "create", "local-process", "--type", "process")
    server.prefect("deploy", "--all")
    deployed = post(f"{server.url}/deployments/filter", {})
    assert [d["name"] for d in deployed] == ["nightly"]
    assert deployed[0]["schedules"][0]["schedule"]["cron"] == "0 2 * * *"

    root = tmp_path / "data"
    parameters = {"spec": str(tiny), "root": str(root), "ranks": 2, "overrides": ["samples=5"]}
    run = post(
        f"{server.url}/deployments/{deployed[0]['id']}/create_flow_run",
        {"parameters": parameters, "state": {"type": "SCHEDULED"}},
    )
    said = server.prefect("worker", "start", "--pool", "local-process", "--run-once")

    run = post(f"{server.url}/flow_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})[0]
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Completed"), said
    mine = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    tasks = post(f"{server.url}/task_runs/filter", mine)
    assert {t["name"].split("-")[0] for t in tasks} == {
        *("sample", "order", "solve", "finalise", "train")
    }
    artifacts = {a["key"]: a for a in post(f"{server.url}/artifacts/filter", mine)}
    assert "5 of 5 samples stored" in artifacts["generate-summary"]["data"]
    numbers = {r["what"]: r["value"] for r in json.loads(artifacts["generate-numbers"]["data"])}
    assert numbers["samples"] == numbers["stored"] == "5" and numbers["failed"] == "0"
    assert float(numbers["worst true residual"]) <= 1e-8
    (folder,) = root.iterdir()
    assert len(open_dataset(folder)) == 5


def test_sigterm_leaves_no_rank_and_the_flow_is_finished_later(server, tiny, tmp_path, monkeypatch):
    from flows import generate
    from storage import open_dataset

    root, log = tmp_path / "data", tmp_path / "log"
    sets = ["samples=800", "mesh.resolution=32", "storage.shard_size=20"]
    arguments = [str(tiny), "--root", str(root), "--ranks", "2"]
    arguments += [word for text in sets for word in ("--set", text)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.generate", *arguments], stdout=output, stderr=output
        )
    _wait_for_a_shard(process, root, log)
    children = psutil.Process(process.pid).children(recursive=True)
    assert sum("pipeline.cli" in " ".join(_command(child)) for child in children) >= 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 4, log.read_text()
    assert psutil.wait_procs(children, timeout=3)[1] == []
    assert "the same command goes on" in log.read_text()
    assert "Traceback" not in log.read_text()

    monkeypatch.setattr(generate, "temporary_server", contextlib.nullcontext)
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert generate.main(arguments) == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    (folder,) = root.iterdir()
    assert len(open_dataset(folder)) == 800


def _wait_for_a_shard(process: subprocess.Popen, root: Path, log: Path) -> None:
    end = time.monotonic() + 120
    while not list(root.glob("*/shards/*.json")):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def test_the_environment_of_tests_is_quiet(server):
    assert os.environ["DO_NOT_TRACK"] == "1"
    assert server.env["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert not server.env["PREFECT_HOME"].startswith(str(Path.home()))
