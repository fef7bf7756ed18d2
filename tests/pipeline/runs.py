"""Real runs of the command line: started, followed, killed, and their data sets compared."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import psutil
import pytest
import yaml

from pipeline.cli import main
from pipeline.launch import mpiexec_path
from storage import DataFolder, check_dataset, open_dataset, read_records

PYTHON = [sys.executable, "-m", "pipeline.cli"]
MARK = "REKRYLOV_TEST_RUN"
# A process of its own takes two or three seconds to import what such a command needs.
INSIDE = {"check", "evaluate", "export", "finalise", "list", "merge", "pack", "schema", "show"}
INSIDE |= {"status", "train"}
SMALL = {
    "name": "small",
    "seed": 7,
    "samples": 48,
    "problem": {"family": "darcy", "coefficient": {"law": "lognormal"}},
    "mesh": {"domain": "unit_square", "resolution": 8},
    "rtol": 1e-8,
    "solve": {"strategy": {"ksp": "gcrodr", "pc": "icc", "guess": "previous"}},  # much is carried
    "storage": {"shard_size": 4},
}


@dataclass
class Done:
    """A finished process."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def text(self):
        return self.out + self.err

    @property
    def messages(self):
        """Lines that `rekrylov` says at the end."""
        return [line for line in self.err.splitlines() if line.startswith("rekrylov")]


class Process:
    """A command in its own session; every process it ever starts is found by a mark."""

    def __init__(self, command, env):
        self.mark = uuid.uuid4().hex
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**env, MARK: self.mark},
            start_new_session=True,
        )

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=60):
        """Wait for the end; a process that hangs is killed, with all it started, and fails."""
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            out, err = self.process.communicate()
            pytest.fail(f"no end after {timeout} s: {self.process.args}\n{out}\n{err}")
        return Done(self.process.returncode, out, err, time.monotonic() - self.started)

    def alive(self):
        """What lives of the whole tree."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                ours = process.environ().get(MARK) == self.mark
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def kill(self):
        """SIGKILL to the whole tree, the root first."""
        with suppress(ProcessLookupError):
            self.process.kill()
        end = time.monotonic() + 10
        while left := self.alive():
            assert time.monotonic() < end, f"can't be killed: {left}"
            for each in left:
                with suppress(psutil.Error):
                    each.kill()

    def assert_nothing_left(self, seconds=5):
        end = time.monotonic() + seconds
        while left := self.alive():
            assert time.monotonic() < end, f"left behind: {left}"
            time.sleep(0.05)


def mpi(ranks, command=PYTHON):
    """The command on MPI ranks."""
    return [mpiexec_path(), "-n", ranks, *command]


class Runner:
    """Starts commands in a fixed environment.

    Compiled forms are those of all tests and sessions: each takes half a second to compile.
    """

    def __init__(self, folder):
        outer = ("PMI", "HYD", "MPI_LOCAL", "OMPI_", "SLURM_", "REKRYLOV_", "PETSC_OPTIONS")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(outer)}
        self.env["OMP_NUM_THREADS"] = "1"
        if self.env.pop("PYTHONDONTWRITEBYTECODE", None):  # compiling sympy each time costs 2 s
            self.env["PYTHONPYCACHEPREFIX"] = str(folder / "pycache")

    def start(self, *arguments, ranks=None, command=PYTHON, env=None):
        command = command if ranks is None else mpi(ranks, command)
        return Process([*command, *arguments], {**self.env, **(env or {})})

    def __call__(self, *arguments, timeout=60, **options):
        """Run it to its end; what only looks or tidies up runs in this process."""
        if arguments and arguments[0] in INSIDE and not options:
            return self._inside(*arguments)
        process = self.start(*arguments, **options)
        done = process.wait(timeout)
        process.assert_nothing_left()
        return done

    def _inside(self, *arguments):
        out, err, start = io.StringIO(), io.StringIO(), time.monotonic()
        with (
            patch.dict(os.environ, {**self.env, "COLUMNS": "80"}, clear=True),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main([str(part) for part in arguments])
        seconds = time.monotonic() - start
        return Done(ended.value.code, out.getvalue(), err.getvalue(), seconds)


def write_spec(path, **changes):
    """Write the small spec with changes: `problem__boundary="x"` for a key in a group."""
    spec = yaml.safe_load(yaml.safe_dump(SMALL))
    for name, value in changes.items():
        *groups, last = name.split("__")
        place = spec
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    path.write_text(yaml.safe_dump(spec))
    return path


def folder_of(root):
    """The one data set below a root."""
    (path,) = (path for path in Path(root).iterdir() if path.is_dir())
    return DataFolder(path)


def committed(root):
    """Record → inode, time and SHA-256 of its shard, of all that is committed below a root."""
    return {
        record.file: (
            (path := folder.shards / record.file).stat().st_ino,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for folder in map(DataFolder, Path(root).glob("*"))
        for record in (read_records(folder) if folder.shards.is_dir() else [])
        if record.file is not None
    }


def samples(root):
    """Id → inputs and outputs of all samples below a root."""
    dataset = open_dataset(folder_of(root).path, verify=True)
    names = [*dataset.inputs, *dataset.outputs]
    rows = {name: dataset.read(name) for name in names}
    return {int(i): {name: rows[name][n] for name in names} for n, i in enumerate(dataset.ids)}


def assert_same(found, expected, tolerance=1e-6):
    """Same ids; inputs bit for bit, solutions to the tolerance in the relative 2-norm."""
    assert sorted(found) == sorted(expected)
    for i, sample in found.items():
        assert sample["a"].tobytes() == expected[i]["a"].tobytes(), f"inputs of sample {i} differ"
        error = np.linalg.norm(sample["u"] - expected[i]["u"]) / np.linalg.norm(expected[i]["u"])
        assert error <= tolerance, f"sample {i} differs by {error:.1e}"


def assert_sound(root):
    """Nothing damaged, nothing open, nothing left over."""
    found = [f for f in check_dataset(folder_of(root).path) if f.code != "samples.failed"]
    assert found == []
    assert not list(Path(root).rglob("*.tmp"))


def wait_until(condition, process, seconds=60):
    """Wait for something that a process brings about."""
    end = time.monotonic() + seconds
    while not condition() and process.process.poll() is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


def records_below(root):
    """How many records there are."""
    return sum(name.name.endswith(".json") for name in Path(root).glob("*/shards/*"))


SIGNALS = [signal.SIGTERM, signal.SIGINT]
