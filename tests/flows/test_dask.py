"""The solve stage on real Dask clusters: what is made, what is lost with a worker, what is left."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from flows.scale import Local, Scheduler
from pipeline import stages
from pipeline.launch import LauncherError, die_with_parent
from pipeline.run import run
from pipeline.spec import load_spec, parse_spec
from storage import DataFolder, open_dataset

pytest.importorskip("prefect_dask")
Client = pytest.importorskip("distributed").Client
pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).parents[2]
SAMPLES = 240


@pytest.fixture(scope="module")
def raw():
    """A spec whose parts take some seconds each."""
    from tests.flows.conftest import TINY

    return yaml.safe_load(TINY) | {
        "samples": SAMPLES,
        "mesh": {"domain": "unit_square", "resolution": 32},
        "storage": {"shard_size": 10},
    }


@pytest.fixture(scope="module")
def undisturbed(raw, tmp_path_factory):
    """The data set, made without Dask."""
    root = tmp_path_factory.mktemp("undisturbed")
    run(parse_spec(raw), "", root, 1, [])
    return open_dataset(*root.iterdir())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler, and one worker of two cores that has four threads; the scheduler's address."""
    folder = tmp_path_factory.mktemp("cluster")
    dask = Path(sys.executable).parent / "dask"
    file = ["--scheduler-file", str(folder / "scheduler.json")]
    commands = [
        ["scheduler", *file, "--host", "127.0.0.1", "--port", "0", "--no-dashboard"],
        ["worker", *file, "--host", "127.0.0.1", "--nthreads", "4", "--memory-limit", "0"],
    ]
    commands[0] += ["--preload", "flows.solve"]
    commands[1] += [
        "--preload",
        "flows.solve",
        "--resources",
        "cores=2",
        "--no-dashboard",
        "--local-directory",
        str(folder),
    ]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_API")}
    with contextlib.ExitStack() as stack:
        for command in commands:
            output = stack.enter_context((folder / f"{command[0]}.log").open("w"))
            process = subprocess.Popen(
                die_with_parent([sys.executable, str(dask), *command], os.getpid()),
                stdout=output,
                stderr=output,
                env=env,
                cwd=folder,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        until((folder / "scheduler.json").exists)
        with Client(scheduler_file=file[1]) as client:
            client.wait_for_workers(1, 150)
            address = client.scheduler.address
        yield address


def generate(raw, root, scale, ranks=1):
    from flows.generate import generate as flow

    return flow(raw, str(root), ranks, scale=scale)


def until(condition, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def processes(root, word="mpiexec"):
    """The live processes of a program that solve below a root."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            mine = any(argument.startswith(str(root)) for argument in line)
            if mine and word in line[0] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def shards(root):
    return list(Path(root).glob("*/shards/*.json"))


@contextlib.contextmanager
def beside(work):
    """Run a function in a thread as long as the block lasts; what it raises is raised."""
    wrong = []

    def called():
        try:
            work()
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=called)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
    assert not thread.is_alive()
    if wrong:
        raise wrong[0]


class Most:
    """The most `mpiexec` that each parent had at once; to be called again and again."""

    def __init__(self, root):
        self.root, self.of, self.over = root, {}, threading.Event()

    def __call__(self):
        while not self.over.wait(0.2):
            now = {}
            for process in processes(self.root):
                with contextlib.suppress(psutil.Error):
                    now.setdefault(process.ppid(), set()).add(process.pid)
            for parent, children in now.items():
                self.of[parent] = max(self.of.get(parent, 0), len(children))


def assert_whole(found, undisturbed):
    """Every sample once, verified, and what it is without Dask."""
    dataset = open_dataset(found["folder"])
    assert (found["stored"], found["failed"], found["missing"]) == (SAMPLES, 0, 0)
    assert sorted(dataset.ids) == list(range(SAMPLES))
    assert stages.check(None, DataFolder(Path(found["folder"]))).sound
    mine, other = (d.select(range(SAMPLES)).read("u") for d in (dataset, undisturbed))
    np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6 * np.abs(other).max())


def test_a_local_cluster_makes_the_same_data_set(server, raw, undisturbed, tmp_path):
    most = Most(tmp_path)
    with beside(most):
        try:
            found = generate(raw, tmp_path, Local(workers=2, cores=1, parts=4))
        finally:
            most.over.set()
    assert_whole(found, undisturbed)
    assert len(most.of) == 2 and set(most.of.values()) == {1}  # parent: a worker
    logs = sorted(p.name for p in (Path(found["folder"]) / "runs").glob("solve-*.log"))
    assert logs == [f"solve-{k}-of-4.log" for k in range(1, 5)]
    assert again(found) == []


def again(found):
    from flows.dask_solve import parts_left

    folder = DataFolder(Path(found["folder"]))
    return parts_left(load_spec(next(folder.runs.glob("*.yaml"))), folder, 4)


def test_a_killed_worker_costs_a_batch(server, raw, undisturbed, tmp_path):
    gone = []

    def kill():
        until(lambda: shards(tmp_path) and processes(tmp_path))
        victim = processes(tmp_path)[0]
        ranks = [victim, *victim.children(recursive=True)]
        worker = victim.parent()
        assert "spawn" in " ".join(worker.cmdline())
        worker.kill()
        gone.append(psutil.wait_procs(ranks, timeout=20)[1])

    with beside(kill):
        found = generate(raw, tmp_path, Local(workers=2, cores=1, parts=4))
    assert gone == [[]]
    assert_whole(found, undisturbed)
    assert processes(tmp_path) == []


def test_a_cluster_that_is_there_runs_as_many_as_its_cores_allow(
    server, raw, undisturbed, cluster, tmp_path
):
    most = Most(tmp_path)
    with beside(most):
        try:
            found = generate(raw, tmp_path, Scheduler(address=cluster))
        finally:
            most.over.set()
    assert_whole(found, undisturbed)
    assert list(most.of.values()) == [2]  # four threads would take four
    logs = list((Path(found["folder"]) / "runs").glob("solve-*-of-8.log"))
    assert len(logs) == 8  # four for each that runs at once
    until(lambda: told("8/8"))  # it comes a moment later


def told(part):
    """Whether the server has the task run of a part, and a line of its ranks."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter, TaskRunFilter

    with get_client(sync_client=True) as client:
        named = TaskRunFilter.model_validate({"name": {"any_": [f"solve-{part}"]}})
        runs = [str(run.id) for run in client.read_task_runs(task_run_filter=named)]
        mine = LogFilter.model_validate({"task_run_id": {"any_": runs}})
        lines = client.read_logs(log_filter=mine) if runs else []
    return any("samples stored" in line.message for line in lines)


def test_clusters_that_can_not_be_used_are_refused(server, raw, cluster, tmp_path, monkeypatch):
    from flows import dask_cluster

    cases = [("tcp://127.0.0.1:9", 1, "no Dask scheduler answers"), (cluster, 3, 'cores=3"')]
    monkeypatch.setattr(dask_cluster, "_CONNECT_SECONDS", 2)
    for address, ranks, words in cases:
        with pytest.raises(LauncherError, match=words):
            generate(raw, tmp_path, Scheduler(address=address), ranks)
    real = dask_cluster.versions()
    monkeypatch.setattr(dask_cluster, "versions", lambda: real | {"rekrylov": "0.0.1"})
    with pytest.raises(LauncherError, match=r"rekrylov \S+, not 0.0.1"):
        generate(raw, tmp_path, Scheduler(address=cluster))
    assert shards(tmp_path) == []


def test_what_a_worker_lacks(server, tmp_path):
    from flows.dask_worker import complaint, versions

    assert complaint(versions(), str(tmp_path), server.url) is None
    assert "can't write to" in complaint(versions(), str(tmp_path / "none"), server.url)
    assert "can't reach" in complaint(versions(), str(tmp_path), "http://127.0.0.1:9/api")


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("local", signal.SIGTERM),
        pytest.param("scheduler", signal.SIGTERM, marks=pytest.mark.long),
        ("scheduler", signal.SIGKILL),
    ],
)
def test_no_rank_survives_the_run(server, raw, request, tmp_path, kind, number):
    scale = {"kind": kind, "parts": 2}
    if kind == "scheduler":
        scale["address"] = request.getfixturevalue("cluster")
    spec, log, root = tmp_path / "spec.yaml", tmp_path / "log", tmp_path / "data"
    fine = {"domain": "unit_square", "resolution": 256}
    spec.write_text(yaml.safe_dump(raw | {"samples": 1000, "mesh": fine}))
    code = "import sys; from flows.generate import generate as g; from flows.scale import *; "
    code += "g(sys.argv[1], sys.argv[2], scale=read_scale(sys.argv[3]))"
    with log.open("w") as output:
        process = subprocess.Popen(
            die_with_parent(
                [sys.executable, "-c", code, str(spec), str(root), json.dumps(scale)], os.getpid()
            ),
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=server.env,
        )
    try:
        until(lambda: process.poll() is not None or (shards(root) and processes(root)))
        assert process.poll() is None, log.read_text()
        ranks = [p for each in processes(root) for p in [each, *each.children(recursive=True)]]
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(30) != 0  # Prefect's patience with a cancelled run
    finally:
        process.kill()
        process.wait()
    assert psutil.wait_procs(ranks + workers, timeout=30)[1] == [], log.read_text()
    assert processes(root) == []
    assert len(shards(root)) < 90  # of 100: they were ended, they didn't finish
