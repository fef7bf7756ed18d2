"""Operators on meshes that they were not trained on, and the error that training reaches."""

import numpy as np
import pytest
from operator_cases import darcy, solved

from pipeline.operators import CheckpointMismatch, TrainConfig, load_checkpoint, train
from pipeline.operators.training.run import predictor
from pipeline.operators.validation.errors import sample_errors
from storage import open_dataset

SPLITS = {"splits": {"train": 0.8, "validation": 0.1, "test": 0.1}}


def spon(kind, **sizes):
    return {"kind": "spon", "processor": {"kind": kind} | sizes}


def settings(operator, **changes):
    quick = {"operator": operator, "tracking": ["csv"], "controls": ["mean", "pod_ridge"]}
    return TrainConfig.model_validate(quick | changes)


@pytest.fixture(scope="module")
def meshes(once):
    """Darcy on 8² (two coarser meshes) and the same samples on 16²."""
    coarse = once("coarse", lambda f: solved(darcy(96, 2) | SPLITS, f))
    fine = once("fine", lambda f: solved(darcy(96, 4) | SPLITS, f))
    return coarse, fine


@pytest.fixture(scope="module")
def trained(meshes, once):
    operator = spon("messages", width=16, layers=3, modes=24)
    return once("trained", lambda f: train(meshes[0], settings(operator, epochs=25), out_dir=f))


def test_a_finer_mesh(meshes, trained):
    """Twice the error at most, and far below that of the mean."""
    home, fine = map(open_dataset, meshes)
    moved = load_checkpoint(trained.folder, fine, home=home).operator
    test = fine.split("test")
    error = sample_errors(predictor(moved, test), test, moved.task)["l2"].mean()
    assert error < 2 * trained.error() + 0.02, (error, trained.error())
    assert error < 0.5 * trained.error("mean")
    field, u = fine.fields["u"], moved.predict(moved.task.given(fine, slice(0, 2)))["u"]
    np.testing.assert_array_equal(
        u[:, 0, field.constrained], np.tile(np.asarray(field.values), (2, 1))
    )


def test_home_is_asked_for_and_checked(meshes, trained):
    home, fine = map(open_dataset, meshes)
    with pytest.raises(CheckpointMismatch, match="was trained on spaces"):
        load_checkpoint(trained.folder, fine)
    with pytest.raises(CheckpointMismatch, match="was trained on spaces"):
        load_checkpoint(trained.folder, home, home=fine)


def test_at_home_nothing_moves(meshes, trained):
    home = open_dataset(meshes[0])
    stayed = load_checkpoint(trained.folder, home).operator
    moved = load_checkpoint(trained.folder, home, home=home).operator
    given = stayed.task.given(home, slice(0, 3))
    u, v = stayed.predict(given)["u"], moved.predict(given)["u"]
    np.testing.assert_allclose(u, v, atol=1e-5 * np.abs(u).max())


def test_weights_of_nodes_cannot_move(meshes, tmp_path):
    home, fine = map(open_dataset, meshes)
    train(home.path, settings(spon("dense", width=8), epochs=1, controls=[]), out_dir=tmp_path)
    with pytest.raises(CheckpointMismatch, match="weights for each node"):
        load_checkpoint(tmp_path, fine, home=home)


@pytest.mark.timeout(120)
def test_multigrid_reaches_a_real_error(once, tmp_path):
    """Darcy on 16², 200 samples: below 2 % in L2, or better than POD and ridge regression."""
    path = once("real", lambda f: solved(darcy(200, 4) | SPLITS, f))
    operator = spon("multigrid", width=16, layers=3, modes=48)
    report = train(path, settings(operator, epochs=25), out_dir=tmp_path)
    figures = {name: report.error(name) for name in report.scores}
    assert figures[report.operator] < max(0.02, figures["pod_ridge"]), figures
    assert figures[report.operator] < 0.25 * figures["mean"], figures
