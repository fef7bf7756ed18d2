"""`rekrylov up` for real: schedule, worker, ranks, and what happens when parts are killed."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import yaml
from system import TINY, System, until

pytestmark = pytest.mark.timeout(900)  # a busy machine; an idle one needs a minute in all

SLOW = TINY.replace("tiny", "slow").replace("samples: 6", "samples: 1200")
SLOW = SLOW.replace("resolution: 8", "resolution: 48") + "storage: {shard_size: 10}\n"


def slow(place, name: str, samples: int = 1200) -> str:
    """A spec that takes ten seconds or so to solve; its path from the place."""
    text = SLOW.replace("slow", name).replace("samples: 1200", f"samples: {samples}")
    (place / f"{name}.yaml").write_text(text)
    return f"{name}.yaml"


def stored(system: System, name: str) -> int:
    from storage import open_dataset

    (folder,) = system.root.glob(f"{name}-*")
    dataset = open_dataset(folder)
    assert len(set(dataset.ids.tolist())) == len(dataset)
    return len(dataset)


def test_a_schedule_fires_and_leaves_a_data_set_and_artifacts(up, scheduled):
    assert "auto-scheduled" in scheduled["tags"]
    assert stored(up, "tiny") == 6
    found = up.artifacts(scheduled["id"])
    assert found["progress"]["data"] == 100.0
    assert "6 of 6 samples stored" in found["summary"]["data"]
    assert f"]({up.catalogue}/data/tiny-" in found["summary"]["data"]
    numbers = {row["what"]: row["value"] for row in json.loads(found["numbers"]["data"])}
    assert numbers["stored"] == "6" and numbers["failed"] == "0"
    assert float(numbers["worst true residual"]) <= 1e-8
    shards = json.loads(found["shards"]["data"])
    assert sum(int(row["samples"]) for row in shards) == 6


def test_the_deployments_are_there_with_their_schedules(up):
    found = {d["name"]: d for d in up.ask("/deployments/filter", {})}
    assert [s["schedule"]["cron"] for s in found["nightly"]["schedules"]] == ["0 2 * * *"]
    assert [s["schedule"]["cron"] for s in found["weekly"]["schedules"]] == ["0 4 * * 0"]
    for name in ("generate", "train", "campaign"):
        assert up.deployment(f"{name}/on-demand")["parameters"]["root"] == str(up.root)


def test_bad_parameters_are_refused_before_a_run(up):
    path = f"/deployments/{up.deployment('generate/on-demand')['id']}/create_flow_run"
    status, text = up.ask(path, {"parameters": {"spec": {"name": "x", "samples": 0}}})
    assert status == 409 and "spec" in text
    status, text = up.ask(path, {"parameters": {"spec": "tiny.yaml", "ranks": 0}})
    assert status == 409 and "ranks" in text
    assert not list(up.root.glob("x-*"))


def test_a_spec_that_contradicts_itself_fails_the_run_and_writes_nothing(up):
    spec = yaml.safe_load(TINY) | {"name": "bad"}
    spec["problem"]["output_space"]["family"] = "RT"
    run = up.start("generate/on-demand", spec=spec)
    up.wait(run, "FAILED")
    assert "output_space: got RT1" in up.ask(f"/flow_runs/{run}")["state"]["message"]
    assert not list(up.root.glob("bad-*"))


def test_a_cancelled_run_leaves_no_rank_and_the_next_goes_on(up):
    run = up.start("generate/on-demand", spec=slow(up.place, "cancelled"))
    up.grow("cancelled", run)
    up.ask(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    until(lambda: not up.ranks(), "the ranks end", 60)
    up.wait(run, "CANCELLED")
    before = up.shards("cancelled")
    assert 0 < before < 120
    up.wait(up.start("generate/on-demand", spec="cancelled.yaml", ranks=1), "COMPLETED")
    assert stored(up, "cancelled") == 1200


def test_a_killed_worker_and_a_killed_server_don_t_stop_a_run(up):
    run = up.start("refresh/nightly", spec=slow(up.place, "killed"), add=1)
    up.grow("killed", run)
    up.part("worker").kill()
    until(lambda: not up.ranks(), "the ranks end", 60)
    up.grow("killed", run)  # a new worker goes on with the same run
    up.part("server").kill()
    up.wait(run, "COMPLETED")
    assert stored(up, "killed") == 1200, "trying again adds no more"
    said = up.said.read_text()
    assert "the worker ended" in said and "goes on with it" in said and "the server ended" in said


def test_runs_at_once_share_the_cores(up):
    cores = len(os.sched_getaffinity(0))
    runs = []
    for name in ("one", "two"):
        spec = slow(up.place, name, 200)
        runs.append(up.start("generate/on-demand", spec=spec, ranks=cores))
    most = 0

    def over():
        nonlocal most
        most = max(most, len(up.ranks()))
        return {up.state(run) for run in runs} == {"COMPLETED"}

    until(over, up.log())
    assert most == cores
    assert stored(up, "one") == stored(up, "two") == 200


def refused(*options: str, cwd) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "up", *options],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


def test_a_second_up_and_a_taken_port_are_refused_in_one_line(up, tmp_path):
    assert f"process {up.process.pid}" in refused(*up.options, cwd=up.place)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused("--port", port, "--home", "home", cwd=tmp_path)
    assert f"127.0.0.1:{port}" in line and "--port" in line
    assert not list((tmp_path / "home").glob("*.log"))


@pytest.mark.long
def test_a_killed_up_takes_all_with_it_and_the_next_goes_on(tmp_path):
    first = System(tmp_path)
    run = first.start("generate/on-demand", spec=slow(tmp_path, "slow"))
    first.grow("slow", run)
    first.kill()
    second = System(tmp_path)
    second.grow("slow", run)
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(120) == 0, second.log()
    until(lambda: not second.processes(), "no process is left", 30)
    third = System(tmp_path)
    third.wait(run, "COMPLETED")
    assert stored(third, "slow") == 1200
    third.stop()


def test_a_missing_extra_is_named(monkeypatch, capsys):
    from pipeline import cli
    from pipeline.commands import up as command

    monkeypatch.setattr(command, "find_spec", lambda _name: None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["up"])
    assert ended.value.code == 2
    assert "rekrylov[flows]" in capsys.readouterr().err
