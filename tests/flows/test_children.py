"""Processes that others rely on: gone with their parent, ended in time; flows end with a worker."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from flows.children import Child, end_marked, marked

pytestmark = pytest.mark.timeout(120)

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
FLOW = """
import os, signal, sys, time
from flows.lifetime import prepare_process
def ended(*_):
    open(sys.argv[1], "w").write("asked to end")
    os._exit(0)
signal.signal(signal.SIGTERM, ended)
prepare_process()
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(100)
"""


def until(found):
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


def child(tmp_path, code: str, **variables: str) -> Child:
    return Child("x", [sys.executable, "-c", code], os.environ | variables, tmp_path / "x.log")


def test_a_child_is_started_again_and_keeps_its_log(tmp_path):
    made = child(tmp_path, "print('here')")
    assert made.ended() and made.pid == 0
    for _ in range(2):
        assert made.start().wait() == 0
    assert made.said() == "here\nhere" and made.said(1) == "here"


def test_a_stubborn_child_is_killed(tmp_path):
    made = child(tmp_path, f"{STUBBORN}; time.sleep(100)").start()
    until(made.said)
    made.stop(0.2)
    assert made.ended()


def test_a_child_dies_with_its_parent(tmp_path):
    code = (
        "import os, time; from pathlib import Path; from flows.children import Child\n"
        "import sys; c = Child('x', [sys.executable, '-c', 'import time; time.sleep(100)'],"
        " os.environ, Path(sys.argv[1])).start(); print(c.pid, flush=True); time.sleep(100)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()
    until(lambda: not psutil.pid_exists(pid))


def test_marked_processes_are_found_and_ended(tmp_path):
    value = str(tmp_path)
    made = child(tmp_path, f"{STUBBORN}; time.sleep(100)", REKRYLOV_TEST=value).start()
    until(made.said)
    assert [p.pid for p in marked("REKRYLOV_TEST", value)] == [made.pid]
    end_marked("REKRYLOV_TEST", value, 0.1)
    assert made.ended() and not marked("REKRYLOV_TEST", value)


@pytest.mark.parametrize("by_prefect", [True, False])
def test_a_flow_ends_with_the_worker_that_started_it(tmp_path, by_prefect):
    note = tmp_path / "note"
    variables = {"PREFECT__FLOW_RUN_ID": "x"} if by_prefect else {}
    start = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
    worker = subprocess.Popen(
        [sys.executable, "-c", start, FLOW, str(note)], env=os.environ | variables
    )
    until(lambda: note.exists() and note.read_text())
    flow = psutil.Process(int(note.read_text()))
    worker.kill()
    worker.wait()
    if by_prefect:
        until(lambda: note.read_text() == "asked to end")
    else:
        time.sleep(2)
        assert flow.is_running()
        flow.send_signal(signal.SIGKILL)
