"""Random kills of real runs, and what has to hold after each of them.

A cycle is a run of one data set that is killed at a random moment, and the next run of it. A data
set gets several; then the same command has to finish it.
"""

import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from runs import assert_sound, committed, folder_of, records_below, write_spec

from storage import open_dataset, read_records

HEAT = {
    "family": "heat",
    "diffusivity": {"law": "lognormal"},
    "start": {"law": "gaussian", "mean": 1.0},
    "end": 0.1,
    "steps": 4,
}
REACTION = {
    "family": "reaction_diffusion",
    "diffusivity": {"law": "lognormal", "mean": -2.3},
    "cubic": 5.0,
    "source": 20.0,
}
CASES = {
    "quick": {"samples": 240, "storage__shard_size": 8, "solve": {"strategy": None}},
    "linear": {"samples": 480, "storage__shard_size": 16},
    "picked": {"samples": 960, "storage__shard_size": 32, "solve": {"strategy": None}},
    "in time": {"samples": 128, "storage__shard_size": 4, "problem": HEAT},
    "nonlinear": {"samples": 128, "storage__shard_size": 4, "problem": REACTION},
    "cache lost": {"samples": 120, "storage__shard_size": 4, "solve": {"strategy": None}},
}
"""Changes to the small spec. In the last one compiled code is deleted while the run goes on."""

FLOW = [sys.executable, "-m", "flows.generate"]
COMMANDS = {
    "run": ("run", [], {}, 0.8),
    "run, two ranks": ("run", ["--ranks", "2"], {}, 0.8),
    "mpiexec": ("solve", [], {"ranks": 2}, 0.4),
    "mpiexec, one group": ("solve", ["--set", "solve.ranks_per_solve=2"], {"ranks": 2}, 0.4),
    "flow": (None, ["--ranks", "2"], {"command": FLOW}, 0.8),
}
"""Name → stage, options, how it is started, its share of the time of a run that compiles, too."""
VICTIMS = {"launcher": 4, "all": 3, "rank": 4, "mpiexec": 2, "hydra_pmi_proxy": 2}
SIGNALS = {signal.SIGKILL: 6, signal.SIGTERM: 2, signal.SIGINT: 2}
SERVER_SECONDS = 15.0  # a temporary Prefect server takes about that


@dataclass
class Cycle:
    """What was done in one cycle, and what came of it."""

    case: str
    dataset: int
    number: int
    command: str
    victim: str
    signal: str
    delay: float
    beside: str
    code: int | None = None
    batches: int = 0
    seconds: float = 0.0


def chosen(rng, weights):
    """A key, as often as its weight says."""
    return rng.choices(list(weights), list(weights.values()))[0]


class Campaign:
    """Kills runs of one case.

    Args:
        rekrylov: The runner.
        case: Name of the case.
        folder: For all that is made.
        commands: Names of those that are used.
        seed: Of all that is random.
        undisturbed: Root of a finished run and the seconds it took, if there is one.
    """

    def __init__(self, rekrylov, case, folder, commands, seed, undisturbed=None):
        self.rekrylov, self.case, self.commands, self.seed = rekrylov, case, commands, seed
        self.folder, self.cycles, self.datasets, self.kills = folder, [], 0, 0
        folder.mkdir(parents=True, exist_ok=True)
        self.spec = write_case(folder / "spec.yaml", case)
        root, self.seconds = undisturbed or self._undisturbed()
        self.expected = everything(root)

    def _undisturbed(self):
        root = self.folder / "undisturbed"
        done = self.rekrylov("run", self.spec, "--root", root, timeout=180)
        assert done.code == 0, done.text
        return root, done.seconds

    def one_dataset(self, kills):
        """Kill runs of a new data set so many times, or until it is whole; finish and compare."""
        root = self.folder / f"data{self.datasets}"
        env = {"TMPDIR": str(self.folder)}
        if self.case == "cache lost":
            env["XDG_CACHE_HOME"] = str(self.folder / f"cache{self.datasets}")
        for number in range(kills):
            rng = random.Random(f"{self.seed}-{self.case}-{self.datasets}-{number}")
            self._cycle(rng, root, number, env)
            if list(root.glob("*/manifest.json")):  # what follows would find nothing to do
                break
        done = self._start("run, two ranks", root, env).wait(180)
        assert done.code == 0, done.text
        self._compare(root)
        shutil.rmtree(root)
        self.datasets += 1

    def _start(self, command, root, env):
        name, rest, options, _ = COMMANDS[command]
        words = [*([] if name is None else [name]), self.spec, "--root", root, *rest]
        return self.rekrylov.start(*words, env=env, **options)

    def _cycle(self, rng, root, number, env):
        command = rng.choice(self.commands)
        longest = self.seconds * COMMANDS[command][3] + (SERVER_SECONDS if command == "flow" else 0)
        cycle = Cycle(
            self.case,
            self.datasets,
            number,
            command,
            chosen(rng, VICTIMS),
            chosen(rng, SIGNALS).name,
            longest * rng.random(),
            rng.choice(self.commands) if rng.random() < 0.2 else "",
        )
        self.cycles.append(cycle)
        before, start = committed(root), time.monotonic()
        run = self._start(command, root, env)
        beside = self._start(cycle.beside, root, env) if cycle.beside else None
        if "XDG_CACHE_HOME" in env and rng.random() < 0.5:
            time.sleep(cycle.delay * rng.random())
            shutil.rmtree(env["XDG_CACHE_HOME"], ignore_errors=True)
        if has_ended(run, start + cycle.delay):
            self.seconds *= (time.monotonic() - start) / longest  # as busy as the machine is now
            cycle.victim = "none: it had ended"
        else:
            self.kills += 1
            cycle.victim = strike(run, cycle.victim, signal.Signals[cycle.signal])
        self._end(rng, run, beside, cycle)
        cycle.seconds = time.monotonic() - start
        after = committed(root)
        cycle.batches = len(after) - len(before)
        print(f"seed {self.seed}: {cycle}", flush=True)
        assert {name: after[name] for name in before} == before, f"lost or altered: {cycle}"
        assert_each_once(root)

    def _end(self, rng, run, beside, cycle):
        """The run ends by itself, whoever was hit; one beside it is killed a little later."""
        if beside is not None:
            time.sleep(rng.random())
            beside.kill()
            beside.wait()
        cycle.code = run.wait(180).code
        run.assert_nothing_left(20)

    def _compare(self, root):
        assert_sound(root)
        done = self.rekrylov("check", folder_of(root).path, "--full", timeout=120)
        assert done.code == 0, done.text
        assert_equal(everything(root), self.expected)
        assert records_below(root) == len(open_dataset(folder_of(root).path).manifest["shards"])


def has_ended(run, when):
    """Wait until some time; whether the run ended before."""
    with suppress(subprocess.TimeoutExpired):
        run.process.wait(max(0.001, when - time.monotonic()))
        return True
    return False


def write_case(path, case):
    """The spec of a case."""
    return write_spec(path, mesh__resolution=16, **CASES[case])


def strike(run, victim, number):
    """Send a signal to one process of a run, or to all; returns who was hit."""
    living = run.alive()
    if victim == "all":
        if number == signal.SIGKILL:
            run.kill()
        for process in living:
            with suppress(psutil.Error):
                process.send_signal(number)
        return victim
    found = [process for process in living if role(process) == victim]
    if victim == "hydra_pmi_proxy" and run.process.pid in {
        p.ppid() for p in found if p.is_running()
    }:
        found = []
    if not found:
        with suppress(ProcessLookupError):
            run.send(number)
        return "launcher"
    with suppress(psutil.Error):
        random.Random(len(found)).choice(found).send_signal(number)
    return victim


def role(process):
    """What a process is in a run: "rank", "mpiexec", "hydra_pmi_proxy" or something else."""
    with suppress(psutil.Error, OSError):
        name = process.name()
        if name.startswith("python"):
            return "rank" if "PMI_RANK" in process.environ() else name
        return name.removesuffix(".hydra")
    return ""


def everything(root):
    """(inputs, outputs): name → id → values."""
    dataset = open_dataset(folder_of(root).path, verify=True)
    names = dataset.inputs, dataset.outputs
    return tuple(
        {name: dict(zip(dataset.ids.tolist(), dataset.read(name), strict=True)) for name in part}
        for part in names
    )


def assert_equal(found, expected, tolerance=1e-6):
    """Same names and ids, inputs bit for bit, outputs to the tolerance in the 2-norm."""
    for part in (0, 1):
        assert found[part].keys() == expected[part].keys()
        for name, values in found[part].items():
            assert values.keys() == expected[part][name].keys()
    for name, values in found[0].items():
        for i, value in values.items():
            assert np.array_equal(value, expected[0][name][i]), f"{name} of sample {i} differs"
    for name, values in found[1].items():
        for i, value in values.items():
            error = np.linalg.norm(value - expected[1][name][i]) / np.linalg.norm(value)
            assert error <= tolerance, f"{name} of sample {i} differs by {error:.1e}"


def assert_each_once(root):
    """No id is in two records."""
    folders = [path for path in Path(root).glob("*") if (path / "shards").is_dir()]
    for _ in folders:
        ids = [i for record in read_records(folder_of(root)) for i in record.all_ids]
        assert len(ids) == len(set(ids)), "a sample is there twice"


def table(campaigns):
    """One row a case, and one dict a cycle."""
    rows = [
        {
            "case": each.case,
            "data sets": each.datasets,
            "kills": each.kills,
            "samples": each.datasets * len(next(iter(each.expected[1].values()))),
            "by SIGKILL": sum(c.signal == "SIGKILL" for c in each.cycles if "none" not in c.victim),
            "two at once": sum(bool(c.beside) for c in each.cycles),
            "minutes": round(sum(c.seconds for c in each.cycles) / 60, 1),
        }
        for each in campaigns
    ]
    return rows, [asdict(cycle) for each in campaigns for cycle in each.cycles]
