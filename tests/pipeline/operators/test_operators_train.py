"""The training stage, its checkpoint and its files, and what may go wrong."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from darcy_data import make_data
from pydantic import ValidationError

from pipeline.operators import (
    CheckpointMismatch,
    TrainConfig,
    TrainingError,
    load_checkpoint,
    train,
)
from pipeline.operators.fe.norms import gram, relative_errors
from pipeline.operators.training import run as run_module
from pipeline.operators.training.checkpoint import FORMAT
from pipeline.operators.training.tensors import read_tensors, write_tensors
from pipeline.operators.validation.errors import sample_errors
from storage import open_dataset

MESSAGES = {"kind": "messages", "width": 8, "layers": 2, "modes": 10}
QUICK = {
    "operator": {"kind": "spon", "processor": MESSAGES},
    "epochs": 4,
    "threads": 1,
    "tracking": ["csv"],
}


def config(**changes):
    return TrainConfig.model_validate(QUICK | changes)


def errors_of(operator, ds):
    predict = run_module.predictor(operator, ds.split("test"))
    return sample_errors(predict, ds.split("test"), operator.task)


def l2(report):
    return report.scores["spon"].errors["l2"]


@pytest.fixture(scope="module")
def run(sets, tmp_path_factory):
    seen = []
    folder = tmp_path_factory.mktemp("run")
    report = train(
        sets["dg0"], config(), out_dir=folder, progress=lambda *values: seen.append(values)
    )
    return report, seen


def test_report_and_files(run, sets):
    report, seen = run
    assert [(epoch, epochs) for epoch, epochs, _ in seen] == [(k, 4) for k in (1, 2, 3, 4)]
    assert list(report.scores) == ["spon", "mean", "nearest", "pod_ridge"]
    for name in report.files:
        assert (report.folder / name).stat().st_size > 0, name
    for name in ("loss.png", "panel.png"):
        assert (report.folder / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    rows = list(csv.DictReader((report.folder / "metrics.csv").open()))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    stored = json.loads((report.folder / "report.json").read_text())
    assert stored["test"]["spon"]["l2"]["mean"] == report.error()
    assert stored["data_key"] == open_dataset(sets["dg0"]).manifest["data_key"]
    text = (report.folder / "report.md").read_text()
    assert "POD + ridge regression" in text and f"{report.gain('mean'):.1f}×" in text


def test_best_epoch_is_that_of_validation(run):
    report, _ = run
    errors = [row["validation_graph"] for row in report.history.rows]
    assert report.best_epoch == 1 + int(np.argmin(errors))


def test_kept_weights_are_those_of_the_best_epoch(sets, tmp_path, monkeypatch):
    """Validation errors are forged so that epoch 2 of 4 is best; the checkpoint must be its."""
    forged, weights = iter([0.5, 0.1, 0.2, 0.3]), []
    real_errors, real_predictor = run_module.sample_errors, run_module.predictor

    def spy(operator, dataset):
        weights.append(next(operator.parameters()).detach().clone())
        return real_predictor(operator, dataset)

    def forge(predict, dataset, task):
        if dataset.ids.tolist() != validation:
            return real_errors(predict, dataset, task)
        value = next(forged)
        return {"l2": np.array([1 - value]), "graph": np.array([value])}

    validation = open_dataset(sets["p1"]).split("validation").ids.tolist()
    monkeypatch.setattr(run_module, "predictor", spy)
    monkeypatch.setattr(run_module, "sample_errors", forge)
    report = train(sets["p1"], config(controls=()), out_dir=tmp_path)
    assert report.best_epoch == 2 and list(report.scores) == ["spon"]
    ds = open_dataset(sets["p1"])
    loaded = load_checkpoint(tmp_path, ds)
    assert loaded.about["epoch"] == 2
    assert torch.equal(next(loaded.operator.parameters()), weights[1])
    errors = errors_of(loaded.operator, ds)
    np.testing.assert_array_equal(errors["l2"], report.scores["spon"].errors["l2"])


def test_test_figures_are_of_the_test_split(run, sets):
    report, _ = run
    ds = open_dataset(sets["dg0"])
    test = ds.split("test")
    operator = load_checkpoint(report.folder, ds).operator
    predicted = operator.predict({"a": test.read("a")})["u"][:, 0]
    for name in ("l2", "graph"):
        matrix = gram(operator.task.spaces["p"], name)
        expected = relative_errors(matrix, predicted, test.read("u"))
        np.testing.assert_allclose(report.scores["spon"].errors[name], expected, rtol=1e-9)


def test_it_learns(sets, tmp_path):
    """On 80 samples of a 6² mesh: better than mean and nearest, P1 from P1."""
    report = train(sets["p1"], config(epochs=30, lr=1e-2), out_dir=tmp_path)
    figures = {name: report.error(name) for name in report.scores}
    assert figures["spon"] < 0.5 * min(figures["mean"], figures["nearest"]), figures


def test_same_seed_same_weights_and_rng_left_alone(sets, tmp_path):
    torch.manual_seed(11)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    settings = config(epochs=1, controls=())
    first = train(sets["p1"], settings, out_dir=tmp_path / "a")
    second = train(sets["p1"], settings, out_dir=tmp_path / "b")
    assert torch.equal(before, torch.get_rng_state()) and threads == torch.get_num_threads()
    np.testing.assert_array_equal(l2(first), l2(second))
    other = train(sets["p1"], config(epochs=1, controls=(), seed=1), out_dir=tmp_path / "c")
    assert not np.array_equal(l2(first), l2(other))


def test_batches_from_shards_teach_as_well_as_those_from_memory(sets, tmp_path):
    """The order of samples differs (windows of shards), what is learnt hardly."""
    settings = {"epochs": 12, "lr": 1e-2, "controls": ()}
    kept, streamed = (
        train(sets["dg0"], config(memory_mib=m, **settings), out_dir=tmp_path / str(m))
        for m in (64, 0)
    )
    assert not np.array_equal(l2(kept), l2(streamed))
    assert streamed.error() < 1.3 * kept.error() and streamed.error() < 0.3


def test_default_folder_depends_on_settings_and_data(tmp_path):
    path = make_data(tmp_path / "set", "log", 3, 40)
    settings = config(epochs=1, controls=())
    first = train(path, settings).folder
    assert first.parent == path / "training" and first.name.startswith("spon-")
    assert train(path, settings.model_copy(update={"threads": 2})).folder == first
    assert train(path, settings.model_copy(update={"lr": 1e-4})).folder != first
    assert train(path, settings.model_copy(update={"samples": 20})).folder != first


def test_checkpoint_round_trip_and_refusal(run, sets, tmp_path):
    report, _ = run
    ds = open_dataset(sets["dg0"])
    loaded = load_checkpoint(report.folder / "checkpoint.safetensors", ds)
    assert loaded.config == config() and loaded.about["epoch"] == report.best_epoch
    assert loaded.about["versions"]["torch"]
    errors = errors_of(loaded.operator, ds)
    np.testing.assert_array_equal(errors["graph"], report.scores["spon"].errors["graph"])
    with pytest.raises(CheckpointMismatch, match="was trained on spaces .* has .*; use a data set"):
        load_checkpoint(report.folder, open_dataset(sets["p1"]))
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_checkpoint(tmp_path, ds)
    whole = (report.folder / "checkpoint.safetensors").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"\x80\x04cos\nsystem\n", b""):
        (tmp_path / "checkpoint.safetensors").write_bytes(damaged)
        with pytest.raises(CheckpointMismatch, match="damaged"):
            load_checkpoint(tmp_path, ds)


def test_a_checkpoint_of_another_config_or_other_weights_says_so(run, sets, tmp_path):
    report, _ = run
    ds, path = open_dataset(sets["dg0"]), tmp_path / "checkpoint.safetensors"
    about, tensors = read_tensors(report.folder / path.name, FORMAT)
    write_tensors(path, tensors, about | {"config": about["config"] | {"old": 1}})
    with pytest.raises(CheckpointMismatch, match="config doesn't fit this version .old"):
        load_checkpoint(tmp_path, ds)
    write_tensors(path, {k: v for k, v in tensors.items() if "head" not in k}, about)
    with pytest.raises(CheckpointMismatch, match="weights don't fit"):
        load_checkpoint(tmp_path, ds)


def test_a_loss_that_explodes_keeps_the_last_good_checkpoint(sets, tmp_path, monkeypatch):
    real = run_module.GramLoss.forward
    calls = []

    def explode(self, output, batch):
        calls.append(1)
        return real(self, output, batch) * (float("nan") if len(calls) > 12 else 1.0)

    monkeypatch.setattr(run_module.GramLoss, "forward", explode)
    with pytest.raises(TrainingError, match="loss is nan in epoch 2.* that of epoch 1 is kept"):
        train(sets["p1"], config(), out_dir=tmp_path)
    loaded = load_checkpoint(tmp_path, open_dataset(sets["p1"]))
    assert loaded.about["epoch"] == 1
    assert all(torch.isfinite(p).all() for p in loaded.operator.parameters())


def test_an_interrupt_keeps_the_last_good_checkpoint(sets, tmp_path):
    def interrupt(epoch, epochs, metrics):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(sets["p1"], config(), out_dir=tmp_path, progress=interrupt)
    assert load_checkpoint(tmp_path, open_dataset(sets["p1"])).about["epoch"] in (1, 2)


def test_an_empty_split_is_named(tmp_path):
    path = make_data(
        tmp_path / "set", "log", 3, 20, fractions={"train": 0.5, "validation": 0.0, "test": 0.5}
    )
    with pytest.raises(TrainingError, match="split 'validation' has no sample"):
        train(path, config())
    assert not (path / "training").exists()


def test_more_samples_than_there_are(sets):
    with pytest.raises(TrainingError, match=r"train.samples = 999: the training split has"):
        train(sets["p1"], config(samples=999))


def test_nan_in_a_sample_is_named(tmp_path, monkeypatch):
    import darcy_data

    real = darcy_data._solve

    def poisoned(fe, kind, i, *rest):
        a, u = real(fe, kind, i, *rest)
        return a, np.where(np.arange(len(u)) == 5, np.nan, u) if i == bad else u

    bad = int(open_dataset(make_data(tmp_path / "good", "log", 3, 40)).split("train").ids[2])
    monkeypatch.setattr(darcy_data, "_solve", poisoned)
    path = make_data(tmp_path / "bad", "log", 3, 40)
    with pytest.raises(TrainingError, match=f"'u' of sample {bad} has values that are not finite"):
        train(path, config())


@pytest.mark.parametrize(
    ("field", "value"),
    [("inputs", ["b"]), ("outputs", ["v"])],
)
def test_unknown_fields_are_named(sets, field, value):
    with pytest.raises(TrainingError, match=r"of `train`: expected one of \['[au]'\]"):
        train(sets["p1"], config(**{field: value}))


def test_config_forbids_what_it_does_not_know():
    with pytest.raises(ValidationError, match="learning_rate"):
        TrainConfig.model_validate({"learning_rate": 1})
    with pytest.raises(ValidationError, match="nonsense"):
        TrainConfig.model_validate({"operator": {"kind": "nonsense"}})
    for model in (TrainConfig, type(TrainConfig().operator)):
        for name, field in model.model_fields.items():
            assert field.description or name == "kind", name
    assert TrainConfig.model_validate(TrainConfig().model_dump(mode="json")) == TrainConfig()


def test_importing_is_light():
    code = (
        "import sys, logging; before = list(logging.root.handlers)\n"
        "import pipeline.operators, pipeline.operators.config.train\n"
        "pipeline.operators.TrainConfig()\n"
        "heavy = {'torch', 'mpi4py', 'petsc4py', 'dolfinx', 'matplotlib', 'scipy', 'h5py'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert logging.root.handlers == before\n"
        "from pipeline.operators import train, load_checkpoint, Operator, TrainReport\n"
        "assert callable(train) and 'torch' in sys.modules\n"
        "none = {'mpi4py', 'petsc4py', 'dolfinx', 'meshes', 'solvers', 'matplotlib.pyplot'}\n"
        "assert not none & set(sys.modules), none & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
