"""`rekrylov up` as a process of its own, and what its server's API says."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

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

DEAD = ("CANCELLED", "COMPLETED", "CRASHED", "FAILED")
PATIENCE = 600.0
"""Seconds until something must have happened, on a machine that is busy with other things."""


def until(found, what: str, seconds: float = PATIENCE):
    """Wait for a true value and return it."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, what
        time.sleep(0.2)
    return value


class System:
    """A running `rekrylov up`; all it writes is below `place`, which is its working directory."""

    def __init__(self, place: Path, *options: str) -> None:
        self.place, self.root, self.home = place, place / "data", place / "home"
        self.said = place / "said.txt"
        with self.said.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", "up", *self.options, *options],
                cwd=place,
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        until(self._is_up, "up in time")
        found = json.loads((self.home / "up.json").read_text())
        self.api, self.catalogue = found["server"], found["catalogue"]
        self.base = self.api.removesuffix("/api")

    @property
    def options(self) -> list[str]:
        """Arguments of `up`: free ports, all below the place."""
        ports = ["--port", "0", "--catalogue-port", "0"]
        return ["--root", str(self.root), "--home", str(self.home), *ports]

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.said.read_text()
        return f"kill {self.process.pid}" in self.said.read_text()

    def ask(self, path: str, body=None, method: str | None = None):
        """Send a request to the API; returns the answer, or the status that refused it.

        Asks again where the server is too busy, as Prefect's own clients do.
        """
        return until(lambda: self._ask(path, body, method), f"{path} answered")[0]

    def _ask(self, path: str, body, method: str | None):
        data = None if body is None else json.dumps(body).encode()
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.api + path, data, head, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            return None if error.code >= 500 else [(error.code, error.read().decode())]
        return [json.loads(text) if text else None]

    def deployment(self, name: str) -> dict:
        return self.ask(f"/deployments/name/{name}")

    def start(self, name: str, **parameters):
        """Start a run of a deployment; its id."""
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return self.ask(f"/deployments/{self.deployment(name)['id']}/create_flow_run", body)["id"]

    def state(self, run: str) -> str:
        """Type of the state of a run."""
        return self.ask(f"/flow_runs/{run}")["state_type"]

    def wait(self, run: str, *wanted: str) -> None:
        """Wait until a run is over; it must end in this state."""

        def over():
            with contextlib.suppress(OSError, http.client.HTTPException):  # the server may be away
                state = self.state(run)
                return state in DEAD and state

        assert until(over, self.log()) in wanted, self.log()

    def artifacts(self, run: str) -> dict[str, dict]:
        """The artifacts of a run by the end of their keys: progress, shards, …"""
        body = {"artifacts": {"flow_run_id": {"any_": [run]}}}
        return {a["key"].rsplit("-", 1)[1]: a for a in self.ask("/artifacts/filter", body)}

    def shards(self, name: str) -> int:
        """How many shards a data set has."""
        return len(list(self.root.glob(f"{name}-*/shards/*.json")))

    def grow(self, name: str, run: str) -> None:
        """Wait until a run has committed a shard, and its ranks are at work."""
        before = self.shards(name)

        def more():
            assert self.state(run) not in ("COMPLETED", "FAILED"), self.log()
            return self.shards(name) > before and len(self.ranks()) >= 2

        until(more, self.log())

    def ranks(self) -> list[psutil.Process]:
        """The live ranks of all runs of this system."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                words = process.cmdline()
                ours = any(str(self.root) in word for word in words)
                if ours and "solve" in words and "mpiexec" not in words[0]:
                    found.append(process)
        return found

    def processes(self) -> list[psutil.Process]:
        """All live processes of the system, wherever they hang in the tree."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                ours = process.environ().get("PREFECT_HOME") == str(self.home)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def part(self, word: str) -> psutil.Process:
        """The process of a part: `worker` or `server`."""
        children = psutil.Process(self.process.pid).children()
        return next(c for c in children if "prefect" in c.cmdline() and word in c.cmdline())

    def log(self) -> str:
        """What `up` and its worker said at last."""
        worker = (self.home / "worker.log").read_text(errors="replace")
        worker = re.sub(r"data:image/\S+", "…", worker)
        return f"{self.said.read_text()}\n{worker[-6000:]}"

    def stop(self) -> None:
        """Stop it as Ctrl-C does; it must end well and leave nothing."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(120) == 0, self.log()
        until(lambda: not self.processes(), "no process is left", 30)
        assert "Traceback" not in self.said.read_text(), self.said.read_text()

    def kill(self) -> None:
        """Kill it; everything else must go with it."""
        self.process.kill()
        self.process.wait()
        until(lambda: not self.processes(), "no process is left", 60)
