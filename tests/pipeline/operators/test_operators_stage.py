"""Training from the command line: several processes, and a loss without labels."""

import json
import subprocess
import sys

import pytest

SPEC = """
name: stage
seed: 4
samples: 60
problem:
  family: darcy
  coefficient: {law: lognormal, field: {kind: cosine, alpha: 2.0, tau: 3.0}}
mesh: {domain: unit_square, resolution: 8}
splits: {train: 0.6, validation: 0.2, test: 0.2}
"""


def rekrylov(*words):
    command = [sys.executable, "-m", "pipeline.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("stage")
    (place / "spec.yaml").write_text(SPEC)
    done = rekrylov("run", str(place / "spec.yaml"), "--root", str(place))
    assert done.returncode == 0, done.stderr
    return next(place.glob("stage-*"))


def report(folder, config):
    before = set(folder.glob("training/*"))
    done = rekrylov("train", str(folder), "--set", f"train={config}")
    assert done.returncode == 0, done.stderr
    (made,) = set(folder.glob("training/*")) - before
    return json.loads((made / "report.json").read_text())


def test_the_residual_alone_teaches_as_much_as_labels(folder):
    operator = "operator: {kind: spon, processor: {kind: messages, width: 12, modes: 24}}"
    labels = report(folder, f"{{epochs: 15, {operator}}}")["test"]
    residual = report(folder, f"{{epochs: 15, loss: residual, {operator}}}")["test"]
    assert residual["spon"]["graph"]["mean"] < 0.7 * residual["mean"]["graph"]["mean"]
    assert residual["spon"]["graph"]["mean"] < 2 * labels["spon"]["graph"]["mean"]


def test_the_residual_needs_all_outputs_and_exact_boundaries(folder):
    done = rekrylov("train", str(folder), "--set", "train={loss: residual, operator: {kind: unet}}")
    assert done.returncode == 2
    assert "needs exact boundary values" in done.stderr and "spon" in done.stderr


def test_two_processes_write_one_report(folder):
    config = "{epochs: 2, devices: 2, operator: {kind: spon}, batch_size: 4}"
    found = report(folder, config)
    assert found["epochs"] == 2 and found["config"]["devices"] == 2
    assert found["test"]["spon"]["l2"]["mean"] < 1
