"""A run that was stopped in whatever way ends as if it had not been."""

import csv
import json
import signal
import subprocess
import sys

import linear_samples as linear
import pytest
import torch

from pipeline.operators import TrainingError
from pipeline.operators.config import TrainConfig
from pipeline.operators.training.state import NAME
from pipeline.operators.training.stopping import signals_wait

STEPS = 11  # an epoch


def config(**more):
    base = {"epochs": 4, "batch_size": 4, "lr": 0.1, "device": "cpu", "save_every": 0}
    return TrainConfig(**base | more)


def script(folder, settings, *when):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, linear.__file__, str(folder), settings.model_dump_json(), *when]
    return subprocess.run(command, timeout=60, capture_output=True, text=True)


def same(a, b):
    a, b = a.state_dict(), b.state_dict() if isinstance(b, torch.nn.Module) else b
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def figures(rows):
    return [{k: v for k, v in row.items() if k not in ("seconds", "waiting")} for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing stops, in memory and from shards."""
    root = tmp_path_factory.mktemp("whole")
    return {mib: linear.run(root / str(mib), config(memory_mib=mib)) for mib in (1, 0)}


@pytest.mark.parametrize(
    ("name", "code", "memory"), [("SIGKILL", -9, 0), ("SIGTERM", -15, 1), ("SIGINT", 1, 1)]
)
def test_a_stopped_process_goes_on_to_the_same_weights(tmp_path, whole, name, code, memory):
    settings = config(memory_mib=memory)
    ended = script(tmp_path, settings, f"{name}@{STEPS + 5}")
    assert ended.returncode == code or (name == "SIGINT" and ended.returncode == -signal.SIGINT)
    assert not (tmp_path / "final.pt").exists()
    assert script(tmp_path, settings).returncode == 0
    network, history = whole[memory]
    about = json.loads((tmp_path / "rank0.json").read_text())
    # SIGKILL loses the step in which it came; a signal waits for the end of the step
    done = STEPS + 4 if name == "SIGKILL" else STEPS + 5
    assert len(about["steps"]) == 4 * STEPS - done
    assert same(network, torch.load(tmp_path / "final.pt", weights_only=True))
    assert figures(about["rows"]) == figures(history.rows)
    lines = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [int(line["epoch"]) for line in lines] == [1, 2, 3, 4]


@pytest.mark.parametrize("where", ["validate", "keep"])
def test_a_run_stopped_after_an_epochs_last_step_validates_first(tmp_path, whole, where):
    class Stop(BaseException):
        pass

    calls = []

    stop_at = {"validate": 2, "keep": 1}[where]

    def stop(*_):
        calls.append(1)
        if len(calls) == stop_at:
            raise Stop
        return True

    network = linear.Network()
    check = linear.validation(network)
    options = {
        "validate": {"validate": lambda: stop() and check()},
        "keep": {"keep": stop},
    }
    with pytest.raises(Stop):
        linear.run(tmp_path, config(save_every=1e9, memory_mib=1), network, **options[where])
    network, history = linear.run(tmp_path, config(memory_mib=1))
    assert same(network, whole[1][0]) and figures(history.rows) == figures(whole[1][1].rows)


def test_a_finished_run_is_not_repeated(tmp_path, whole):
    linear.run(tmp_path, config(memory_mib=1))
    samples = linear.LinearSamples()
    network, history = linear.run(tmp_path, config(memory_mib=1), samples=samples)
    assert same(network, whole[1][0]) and len(history.rows) == 4


def test_another_run_starts_anew(tmp_path):
    linear.run(tmp_path, config(epochs=1))
    _, history = linear.run(tmp_path, config(epochs=2), run_key="another")
    assert len(history.rows) == 2
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3


def test_a_damaged_state_is_told(tmp_path):
    linear.run(tmp_path, config(epochs=1))
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(TrainingError, match="is damaged .*remove it to start anew"):
        linear.run(tmp_path, config(epochs=1))


def test_the_state_of_another_number_of_processes_is_told(tmp_path):
    linear.run(tmp_path, config(epochs=1))
    path = tmp_path / NAME
    data = path.read_bytes().replace(b'\\"processes\\": 1', b'\\"processes\\": 2')
    path.write_bytes(data)
    with pytest.raises(TrainingError, match="use the same number of processes"):
        linear.run(tmp_path, config(epochs=1))


def test_a_signal_waits_and_a_second_one_does_not():
    got = []

    def handler(number, _frame):
        got.append(number)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with signals_wait(lambda: got.append("saved")):
            signal.raise_signal(signal.SIGTERM)
            assert got == []
            signal.raise_signal(signal.SIGTERM)
            assert got == [signal.SIGTERM]
        assert (
            got == [signal.SIGTERM, "saved", signal.SIGTERM]
            and signal.getsignal(signal.SIGTERM) is handler
        )
    finally:
        signal.signal(signal.SIGTERM, before)
