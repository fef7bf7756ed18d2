"""For real, embedded: an interrupted flow that is finished later."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.timeout(180)


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

    monkeypatch.setattr("flows.server.temporary_server", contextlib.nullcontext)
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
