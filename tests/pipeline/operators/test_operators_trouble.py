"""What goes wrong in training: one line, and what was good stays."""

import dataclasses
import math
import threading

import linear_samples as linear
import pytest
import torch

from pipeline import interrupt
from pipeline.operators import TrainingError
from pipeline.operators.config import TrainConfig
from pipeline.operators.training.state import NAME
from storage.errors import DamagedShard, StorageFull


def config(**more):
    base = {"epochs": 3, "batch_size": 4, "lr": 0.1, "device": "cpu", "save_every": 0}
    return TrainConfig(**base | {"tracking": ("csv",)} | more)


def one_line(error):
    return "\n" not in str(error.value)


@pytest.mark.parametrize("memory", [0, 16])
@pytest.mark.parametrize(
    ("part", "message"), [("x", "the inputs of sample 117"), ("y", "field 'u' of sample 117")]
)
def test_a_value_that_is_not_finite_names_its_sample(tmp_path, memory, part, message):
    def spoil(batch):
        mask = (batch.ids == 117)[:, None, None]
        if part == "x":
            return dataclasses.replace(batch, x=batch.x.masked_fill(mask, math.nan))
        return dataclasses.replace(batch, y={"u": batch.y["u"].masked_fill(mask, math.inf)})

    samples = linear.LinearSamples(change=spoil)
    with pytest.raises(TrainingError, match=message) as error:
        linear.run(tmp_path, config(memory_mib=memory), samples=samples)
    assert one_line(error)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_shard_passes_through_and_the_run_goes_on_later(tmp_path, workers):
    samples = linear.LinearSamples(change=Damage())
    settings = config(memory_mib=0)
    with pytest.raises(DamagedShard, match="^shard-3: is damaged$"):
        linear.run(tmp_path, config(memory_mib=0, workers=workers), samples=samples)
    assert "batches" not in {thread.name for thread in threading.enumerate()}
    network, history = linear.run(tmp_path, settings)
    whole, expected = linear.run(tmp_path / "whole", settings)
    assert torch.equal(network.linear.weight, whole.linear.weight)
    assert [r["train_loss"] for r in history.rows] == [r["train_loss"] for r in expected.rows]


class Damage:
    def __call__(self, batch):
        if (batch.ids == 117).any():
            raise DamagedShard("shard-3: is damaged")
        return batch


@pytest.mark.parametrize("part", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_says_where_and_keeps_the_last_state(tmp_path, part):
    calls = []

    def spoilt(output, batch):
        calls.append(1)
        value = linear.loss(output, batch)
        if len(calls) != 15:
            return value
        if part == "loss":
            return value * math.nan
        return value + (output["u"] - output["u"].detach()).abs().sqrt().sum()

    network = linear.Network()
    kept = []
    with pytest.raises(TrainingError, match=f"the {part} is .* in epoch 2, step 4 at") as error:
        linear.run(tmp_path, config(), network, loss=spoilt, keep=lambda *a: kept.append(a[0]))
    assert one_line(error) and kept == [1]
    assert linear.validation(network)()["error"] > 0  # finite weights, those of epoch 1
    _, history = linear.run(tmp_path, config())
    _, expected = linear.run(tmp_path / "whole", config())
    assert [r["train_loss"] for r in history.rows] == [r["train_loss"] for r in expected.rows]


def test_too_little_memory_says_what_to_lower(tmp_path):
    def greedy(output, batch):
        torch.empty(2**60, dtype=torch.uint8)
        return linear.loss(output, batch)

    with pytest.raises(TrainingError, match="out of memory with 4 .*`train.batch_size`") as error:
        linear.run(tmp_path, config(), loss=greedy)
    assert one_line(error)


def test_other_errors_of_pytorch_stay_what_they_are(tmp_path):
    def wrong(output, batch):
        return torch.ones(2) @ torch.ones(3)

    with pytest.raises(RuntimeError, match="size"):
        linear.run(tmp_path, config(), loss=wrong)


def test_a_full_disk_keeps_the_last_state(tmp_path, disk):
    small = disk("1m")
    ballast, folder = small.path / "ballast", small.path / "run"
    calls = []

    def fill(epoch, row):
        calls.append(epoch)
        if epoch == 2:
            with ballast.open("wb", buffering=0) as file, pytest.raises(OSError):
                while True:
                    file.write(bytes(4096))

    settings = config(tracking=("csv", "tensorboard"))
    errors = iter([3.0, 2.0, 1.0])
    with pytest.raises(StorageFull, match="free some space"):
        linear.run(folder, settings, keep=fill, validate=lambda: {"error": next(errors)})
    assert (folder / NAME).is_file() and not list(folder.glob("*.tmp"))
    ballast.unlink()
    _, history = linear.run(folder, settings)
    _, expected = linear.run(tmp_path / "whole", settings)
    assert [r["train_loss"] for r in history.rows] == [r["train_loss"] for r in expected.rows]


def test_tensorboard_on_a_full_disk_ends_with_a_warning(tmp_path, disk):
    from pipeline.operators.training.tracking import open_trackers

    small = disk("64k")
    (tracker,) = open_trackers(config(tracking=("tensorboard",)), small.path, [], "key")
    with (small.path / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.warns(UserWarning, match="TensorBoard files end here: No space left"):
        for epoch in range(1, 1000):
            tracker.log({"epoch": epoch, "train_loss": 1.0})
    tracker.close()


def test_sigterm_surfaces_as_the_commands_interruption(tmp_path, monkeypatch):
    import signal

    monkeypatch.setattr(interrupt, "_received", [])  # or every later command ends at once
    calls = []

    def stopping(output, batch):
        calls.append(1)
        if len(calls) == 14:
            signal.raise_signal(signal.SIGTERM)
        return linear.loss(output, batch)

    with pytest.raises(interrupt.Interrupted, match="SIGTERM"), interrupt.raising():
        linear.run(tmp_path, config(save_every=1e9), loss=stopping)
    assert len(calls) == 14
    network, history = linear.run(tmp_path, config())
    whole, expected = linear.run(tmp_path / "whole", config())
    assert torch.equal(network.linear.weight, whole.linear.weight)


def test_cuda_is_asked_for_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for settings in (config(device="cuda"), config(precision="16-mixed", device="auto")):
        with pytest.raises(TrainingError, match="use"):
            linear.run(tmp_path, settings)
