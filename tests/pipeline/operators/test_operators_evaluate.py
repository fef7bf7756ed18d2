"""Errors with intervals, defects with known values, the mesh's own error, `rekrylov evaluate`."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from operator_cases import EXAMPLES, darcy, solved, solved_example
from scipy.stats import t as student

from pipeline.cli import main
from pipeline.dataset_folder import resolve
from pipeline.operators import TrainConfig, TrainingError, train
from pipeline.operators.fe.norms import norm
from pipeline.operators.task import Task, make_task
from pipeline.operators.validation.bootstrap import mean_interval
from pipeline.operators.validation.defects import measure
from pipeline.operators.validation.evaluate import evaluate, open_operator
from pipeline.operators.validation.evaluation_report import write_evaluation
from pipeline.stages.mesh_error import mesh_error
from storage import BadSelection, open_dataset
from storage.files import read_json
from storage.scalars import descriptions
from storage.selection import describe, holds, parse_ids

SMALL = {"kind": "spon", "processor": {"kind": "messages", "width": 4, "layers": 1, "modes": 4}}
CONFIG = TrainConfig.model_validate(
    {"operator": SMALL, "epochs": 1, "tracking": ["csv"], "controls": []}
)
UNIFORM = {"law": "uniform", "low": 1.0, "high": 2.0}


@pytest.fixture(scope="module")
def darcy_set(tmp_path_factory):
    return solved(darcy(32, 2, source=UNIFORM), tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def trained(darcy_set):
    return train(darcy_set, CONFIG)


@pytest.fixture(scope="module")
def fluxes(tmp_path_factory):
    """Darcy in mixed form with div σ = ±1."""
    spec = {
        "name": "mixed",
        "samples": 4,
        "problem": {"family": "darcy_mixed", "coefficient": {"law": "lognormal"}, "source": 1.0},
        "mesh": {"domain": "unit_square", "resolution": 4},
    }
    return open_dataset(solved(spec, tmp_path_factory.mktemp("mixed")))


def test_interval_of_normal_errors_is_students():
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    low, high = mean_interval(values)
    half = student.ppf(0.975, 399) * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_widens_by_the_scatter_of_the_seeds():
    rng = np.random.default_rng(0)
    table = 1.0 + 0.01 * rng.normal(size=(1, 50)) + 0.1 * rng.normal(size=(8, 1))
    low, high = mean_interval(table)
    half = 1.96 * table.mean(axis=1).std() / np.sqrt(8)
    assert 0.8 * half < (high - low) / 2 < 1.3 * half
    one = mean_interval(table[0])
    assert high - low > 5 * (one[1] - one[0])


def test_one_sample_has_no_interval_and_equal_ones_have_none_to_show():
    assert np.isnan(mean_interval([0.1])).all()
    assert mean_interval([0.1, 0.1, 0.1]) == (0.1, 0.1)


def test_a_prediction_too_large_by_a_tenth_is_wrong_by_a_tenth(fluxes):
    task = make_task(fluxes)
    found = measure(
        lambda rows: {k: 1.1 * v for k, v in task.truth(fluxes, rows).items()}, fluxes, task
    )
    assert {"l2/p", "graph/sigma", "div/sigma", "conservation/sigma"} < set(found)
    for name, values in found.items():
        if not name.startswith("boundary"):
            np.testing.assert_allclose(values, 0.1, rtol=1e-9, err_msg=name)


def test_defects_of_a_flux_are_those_of_what_was_added(fluxes):
    """w = (s x, 0) has div w = s on every cell, and ‖div σ‖ = 1 on the unit square."""
    task, s = make_task(fluxes), 0.3
    table = fluxes.spaces[fluxes.fields["sigma"].space]["interpolation"]
    points = np.asarray(table["points"])
    w = np.stack([s * points[:, 0], np.zeros(len(points))], axis=1)
    added = table["matrix"] @ w.ravel()

    def predict(rows):
        truth = task.truth(fluxes, rows)
        return truth | {"sigma": truth["sigma"] + added}

    found = measure(predict, fluxes, task)
    np.testing.assert_allclose(found["div/sigma"], s, rtol=1e-9)
    np.testing.assert_allclose(found["conservation/sigma"], s, rtol=1e-9)
    assert (found["l2/p"] == 0).all()


def test_a_leak_through_one_edge_shows_in_the_worst_cell(fluxes):
    """It makes d in one cell and −d in its neighbour: max d against ‖·‖_L2 = d (2 |K|)^½."""
    task = make_task(fluxes)
    space = fluxes.spaces[fluxes.fields["sigma"].space]
    owners = np.bincount(np.asarray(space["dofmap"]).ravel())
    added = np.zeros(int(space["dim"]))
    added[np.flatnonzero(owners == 2)[0]] = 1e-3

    def predict(rows):
        truth = task.truth(fluxes, rows)
        return truth | {"sigma": truth["sigma"] + added}

    found = measure(predict, fluxes, task)
    ratio = np.sqrt(len(space["dofmap"]) / 2)
    np.testing.assert_allclose(found["conservation/sigma"], ratio * found["div/sigma"], rtol=1e-9)


def test_divergence_of_a_velocity_counts_against_its_gradient(tmp_path):
    data = open_dataset(solved_example(example("stokes"), tmp_path, 4))
    task, s = make_task(data), 0.01
    space = data.spaces[data.fields["u"].space]
    added = np.zeros((int(space["dim"]) // 2, 2))
    added[:, 0] = s * np.asarray(space["points"])[:, 0]

    def predict(rows):
        truth = task.truth(data, rows)
        return truth | {"u": truth["u"] + added.ravel()}

    found = measure(predict, data, task)
    truth = task.truth(data, np.arange(len(data)))["u"]
    area = norm(space["grams"]["mass"], np.tile([1.0, 0.0], len(added))[None])[0] ** 2
    gradient = norm(space["grams"]["stiffness"], truth)
    np.testing.assert_allclose(found["div/u"], s * np.sqrt(area) / gradient, rtol=1e-8)
    assert (found["boundary/u"] > 0).all()


class Centred(Task):
    """Pressures without their means: the families' own are pinned or fixed at an outlet."""

    def truth(self, dataset, rows):
        found = super().truth(dataset, rows)
        p = found["p"]
        weights = np.asarray(dataset.spaces["P1"]["grams"]["mass"].sum(axis=0)).ravel()
        return found | {"p": p - (p @ weights / weights.sum())[..., None]}


def test_the_mean_of_a_pressure_that_has_none_is_a_defect(tmp_path):
    data = open_dataset(solved_example(example("stokes"), tmp_path, 4))
    plain = make_task(data)
    assert "mean/p" not in measure(lambda rows: plain.truth(data, rows), data, plain)
    task = Centred(**vars(plain))

    def predict(rows):
        truth = task.truth(data, rows)
        return truth | {"p": truth["p"] + 2.0}

    found = measure(predict, data, task)
    mass = data.spaces["P1"]["grams"]["mass"]
    size = norm(mass, task.truth(data, np.arange(len(data)))["p"])
    np.testing.assert_allclose(found["mean/p"], 2 * np.sqrt(mass.sum()) / size, rtol=1e-6)


def test_evaluation_repeats_the_training_report(darcy_set, trained):
    found = evaluate(trained.folder, darcy_set)
    assert found.errors["l2"].mean() == pytest.approx(trained.error(), rel=1e-12)
    assert found.errors["graph"].mean() == pytest.approx(trained.error(norm="graph"), rel=1e-12)
    assert (found.errors["boundary/u"] == 0).all() and found.seen == 0
    bins = found.ranges["f"]
    assert sum(b.samples for b in bins) == len(found.samples)
    whole = sum(b.samples * b.l2 for b in bins) / len(found.samples)
    assert whole == pytest.approx(trained.error(), rel=1e-9)
    assert found.errors["l2"][found.worst(1)[0]] == found.errors["l2"].max()


def test_samples_are_chosen_by_condition_split_and_ids(darcy_set, trained):
    data = open_dataset(darcy_set)
    outside = evaluate(trained.folder, darcy_set, split=None, where="f > 1.5 and f <= 1.9")
    f = data.read("f")
    assert (outside.samples.ids == data.ids[(f > 1.5) & (f <= 1.9)]).all()
    seen = evaluate(trained.folder, darcy_set, split="train")
    assert seen.seen == len(seen.samples) == trained.samples["train"]
    assert "this is no test" in write_text(seen)
    assert evaluate(trained.folder, darcy_set, ids="3,5-6").samples.ids.tolist() == [3, 5, 6]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"where": "f ~ 1"}, "expected NAME < NUMBER"),
        ({"where": "f < low"}, "expected NAME < NUMBER"),
        ({"where": "g < 1"}, "samples of .* are described by"),
        ({"where": "f > 5"}, "no sample in test split, f > 5"),
        ({"split": "tset"}, "'tset' is not one of"),
        ({"ids": "1,b"}, "expected numbers and ranges"),
        ({"ids": "0,99"}, "99.* are not stored"),
    ],
)
def test_what_chooses_no_samples_says_so(darcy_set, trained, asked, said):
    with pytest.raises((TrainingError, BadSelection), match=said):
        evaluate(trained.folder, darcy_set, **asked)


def test_a_field_is_described_by_its_integrals(darcy_set):
    data = open_dataset(darcy_set)
    assert descriptions(data) == ["f", "mean(a)", "std(a)"]
    mass = data.spaces[data.fields["a"].space]["grams"]["mass"]
    a = data.read("a")
    mean = a @ (mass @ np.ones(a.shape[1]))
    np.testing.assert_allclose(describe(data, "mean(a)"), mean, rtol=1e-12)
    variance = np.einsum("ij,ji->i", a, mass @ a.T) - mean**2
    np.testing.assert_allclose(describe(data, "std(a)") ** 2, variance, rtol=1e-9)
    assert holds(data, "mean(a) >= 0").all()
    assert parse_ids("7, 1-3,2").tolist() == [1, 2, 3, 7]


def test_another_law_on_the_same_mesh_is_out_of_distribution(tmp_path, darcy_set, trained):
    wide = {"law": "uniform", "low": 5.0, "high": 6.0}
    other = solved(darcy(16, 2, source=wide), tmp_path)
    found = evaluate(trained.folder, other)
    assert found.errors["l2"].min() > 2 * trained.error()
    data = open_dataset(darcy_set)
    own, moved = (open_operator(trained.folder, d)[0] for d in (data, open_dataset(other)))
    given = own.task.given(data, np.arange(4))
    np.testing.assert_allclose(moved.predict(given)["u"], own.predict(given)["u"], atol=1e-6)


def test_the_mesh_error_falls_with_the_square_of_h(tmp_path, darcy_set):
    finer = solved(darcy(32, 4, source=UNIFORM), tmp_path)
    errors = [truth_as_prediction(folder) for folder in (darcy_set, finer)]
    assert errors[0].skipped == errors[1].skipped == ""
    for found in errors:
        assert (found.network["l2"] == 0).all()
        np.testing.assert_allclose(found.total["graph"], found.mesh["graph"])
    coarse, fine = (found.mesh for found in errors)
    assert 3 < (coarse["l2"] / fine["l2"]).mean() < 4.5
    assert 1.6 < (coarse["graph"] / fine["graph"]).mean() < 2.2


def test_a_law_that_depends_on_the_mesh_has_no_mesh_error(tmp_path):
    law = {"law": "lognormal", "field": {"kind": "matern", "length": 0.5}}
    folder = solved(darcy(8, 2, coefficient=law), tmp_path)
    assert "law of a draws another function" in truth_as_prediction(folder).skipped


def test_the_command_writes_its_report(tmp_path, darcy_set, trained, capsys):
    out = tmp_path / "report"
    assert rekrylov("evaluate", trained.folder, darcy_set, "--out", out, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["errors"]["l2"]["mean"] == pytest.approx(trained.error())
    assert found["mesh_error"]["mesh"]["l2"] < found["mesh_error"]["total"]["l2"]
    assert read_json(out / "evaluation.json")["errors"] == found["errors"]
    text = (out / "evaluation.md").read_text()
    for name in ("errors.png", "worst.png"):
        assert f"]({name})" in text and (out / name).read_bytes()[:4] == b"\x89PNG"
    assert rekrylov("evaluate", trained.folder, darcy_set, "--where", "x ! 1") == 2
    assert "expected NAME < NUMBER" in capsys.readouterr().err
    assert rekrylov("evaluate", trained.folder, darcy_set, "--mesh-samples", 0) == 0
    assert "test split" in capsys.readouterr().out


def example(name):
    return next(path for path in EXAMPLES if path.stem == name)


def truth_as_prediction(folder):
    spec, _ = resolve(folder, folder.parent)
    data = open_dataset(folder)
    task = make_task(data)
    same = SimpleNamespace(
        task=task, predict=lambda given: task.truth(data, np.arange(len(given["a"])))
    )
    return mesh_error(spec, data, same, 3)


def write_text(found):
    folder = write_evaluation(found, found.checkpoint / "evaluation" / found.name)
    return (folder / "evaluation.md").read_text()


def rekrylov(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in arguments])
    return end.value.code
