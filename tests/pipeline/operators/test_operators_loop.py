"""The loop: what it computes, on one process and on two."""

import csv
import json
import subprocess
import sys
import threading
from pathlib import Path

import linear_samples as linear
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipeline.operators.config import TrainConfig
from pipeline.operators.training.batches import Batches
from pipeline.operators.training.schedule import one_cycle

LR = 0.1


def config(**more):
    base = {"epochs": 4, "batch_size": 4, "lr": LR, "device": "cpu", "tracking": ("csv",)}
    return TrainConfig(**base | more)


def weights(network):
    return torch.cat([value.flatten() for value in network.state_dict().values()])


def test_the_schedule_is_that_of_pytorch():
    for steps in (2, 5, 7, 100):
        parameter = torch.nn.Parameter(torch.zeros(1))
        adam = torch.optim.AdamW([parameter], lr=1.0)
        if steps == 5:  # PyTorch divides by zero there
            assert one_cycle(0, 5, LR).lr == LR
            continue
        theirs = torch.optim.lr_scheduler.OneCycleLR(adam, LR, total_steps=steps, pct_start=0.2)
        for step in range(steps):
            ours = one_cycle(step, steps, LR)
            group = adam.param_groups[0]
            assert ours == pytest.approx((group["lr"], group["betas"][0]), rel=1e-12)
            adam.step()
            if step < steps - 1:
                theirs.step()


def test_a_linear_map_is_learnt_and_the_best_epoch_is_kept(tmp_path):
    kept = []
    network, history = linear.run(
        tmp_path, config(epochs=60), linear.Network(0.0), keep=lambda *item: kept.append(item)
    )
    errors = [row["validation_error"] for row in history.rows]
    assert len(errors) == 60 and min(errors) < 0.02 < 0.5 < errors[0]
    assert history.best_epoch == 1 + int(np.argmin(errors)) == kept[-1][0]
    assert linear.validation(network)()["error"] == history.best_error == min(errors)


def test_the_callers_random_numbers_are_left_alone(tmp_path):
    network = linear.Network()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    linear.run(tmp_path, config(epochs=1), network)
    assert torch.equal(torch.rand(3), expected)


def test_accumulated_batches_make_the_step_of_a_large_one(tmp_path):
    one, _ = linear.run(tmp_path / "a", config(batch_size=8), linear.Network(0.0))
    two, _ = linear.run(tmp_path / "b", config(accumulate=2), linear.Network(0.0))
    torch.testing.assert_close(weights(one), weights(two), rtol=1e-5, atol=1e-6)


def test_reading_from_shards_covers_each_epoch_once_in_bounded_windows():
    samples = linear.LinearSamples(48)
    batches = Batches(samples, config(memory_mib=0, batch_size=16))
    assert not batches.in_memory and batches.window == 16
    first, second = batches.order(1), batches.order(2)
    assert sorted(first) == list(range(48)) == sorted(second)
    assert list(first) != list(second) and list(first) == list(batches.order(1))
    for window in first.reshape(3, 16):  # two whole blocks, mixed
        assert len({row // 8 for row in window}) == 2
        assert list(window) != sorted(window)
    samples.loads.clear()
    seen = [batch.ids.numpy() - 100 for step in batches.epoch(1) for batch, _ in step]
    assert np.array_equal(np.concatenate(seen), first)
    assert [len(rows) for rows in samples.loads] == [16, 16, 16]
    rest = [batch.ids.numpy() - 100 for step in batches.epoch(1, 2) for batch, _ in step]
    assert np.array_equal(np.concatenate(rest), first[32:])


def test_an_epoch_that_is_left_early_ends_its_thread():
    epoch = Batches(linear.LinearSamples(48), config(memory_mib=0)).epoch(1)
    next(epoch)
    assert "batches" in {thread.name for thread in threading.enumerate()}
    epoch.close()
    assert "batches" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("workers", [0, 1])
def test_reading_from_shards_learns_too(tmp_path, workers):
    settings = config(memory_mib=0, workers=workers, epochs=2 if workers else 30)
    network, history = linear.run(tmp_path, settings)
    assert history.rows[-1]["validation_error"] < history.rows[0]["validation_error"]
    assert all(0 <= row["waiting"] <= 1 for row in history.rows)


def test_patience_stops_and_validation_may_be_rare(tmp_path):
    errors = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    _, history = linear.run(
        tmp_path,
        config(epochs=50, patience=3, validate_every=2),
        validate=lambda: {"error": next(errors)},
    )
    assert [row["epoch"] for row in history.rows if "validation_error" in row] == [2, 4, 6, 8, 10]
    assert history.best_epoch == 4 and history.best_error == 1.0
    lines = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert len(lines) == 10 and lines[0]["validation_error"] == "" != lines[1]["validation_error"]


def test_a_budget_of_time_ends_the_schedule_with_it(tmp_path):
    network, history = linear.run(tmp_path, config(budget_seconds=0.5, epochs=1))
    last = history.rows[-1]
    assert len(history.rows) > 3 and last["seconds"] >= 0.5
    assert last["lr"] < 0.01 * LR < 0.5 * LR < max(row["lr"] for row in history.rows)


def test_tracking_keeps_the_same_rows(tmp_path):
    settings = config(tracking=("csv", "tensorboard", "mlflow"))
    _, history = linear.run(tmp_path, settings)
    lines = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [{k: float(v) for k, v in line.items()} for line in lines] == history.rows
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    scalars = [(event.step, event.value) for event in events.Scalars("train_loss")]
    assert scalars == [(r["epoch"], pytest.approx(r["train_loss"])) for r in history.rows]
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("rekrylov").experiment_id])
    metrics = client.get_metric_history(run.info.run_id, "train_loss")
    assert [m.value for m in metrics] == [row["train_loss"] for row in history.rows]
    assert run.data.params["lr"] == str(LR)


def test_half_precision_learns(tmp_path):
    _, history = linear.run(
        tmp_path, config(epochs=40, precision="bf16-mixed"), linear.Network(0.0, sparse=False)
    )
    assert history.best_error < 0.5 * history.rows[0]["validation_error"]


@pytest.mark.timeout(120)
def test_two_processes_take_the_steps_of_one_with_twice_the_batch(tmp_path):
    """42 samples in steps of 8: the last one has 2, one for each process."""
    one, history = linear.run(tmp_path / "one", config(batch_size=8), linear.Network(0.0))
    (tmp_path / "two").mkdir()
    settings = config(devices=2).model_dump_json()
    command = [sys.executable, linear.__file__, str(tmp_path / "two"), settings]
    subprocess.run(command, check=True, timeout=100, capture_output=True)
    ranks = [json.loads((tmp_path / f"two/rank{k}.json").read_text()) for k in range(2)]
    assert ranks[0]["rows"][-1]["train_loss"] == pytest.approx(
        history.rows[-1]["train_loss"], rel=1e-5
    )
    losses = [row["validation_error"] for row in ranks[1]["rows"]]
    assert losses == pytest.approx([row["validation_error"] for row in history.rows], rel=1e-5)
    ids = [
        sorted(sum((rank["steps"][k] for rank in ranks), [])) for k in range(len(ranks[0]["steps"]))
    ]
    assert sorted(sum(ids[:6], [])) == list(range(100, 142))
    two = torch.load(tmp_path / "two/final.pt", weights_only=True)
    both = torch.cat([value.flatten() for value in two.values()])
    torch.testing.assert_close(weights(one), both, rtol=1e-4, atol=1e-6)
    assert Path(tmp_path / "two/state.safetensors").is_file()
