"""Every operator: it can be made, learns a batch by heart, and dof numbers mean nothing to it."""

import numpy as np
import pytest
import torch
from operator_cases import build, copy_weights, darcy, predict, renumbered, solved

from pipeline.operators import TrainConfig, TrainingError, train
from pipeline.operators.config.train import OperatorConfig
from pipeline.operators.training.losses import GramLoss
from pipeline.operators.training.samples import OperatorSamples
from pipeline.operators.zoo import TITLES, label


def spon(kind, **sizes):
    return {"kind": "spon", "processor": {"kind": kind} | sizes}


KINDS = {
    "spon": spon("messages", width=12, layers=2, modes=12),
    "spon-multigrid": spon("multigrid", width=12, layers=2, modes=8),
    "spon-vcycle": spon("vcycle", width=12, layers=2),
    "spon-attention": spon("attention", width=16, layers=2, slices=8),
    "spon-dense": spon("dense", width=32),
    "fno": {"kind": "fno", "width": 12, "layers": 2, "modes": 6},
    "uno": {"kind": "uno", "width": 8, "modes": 4},
    "unet": {"kind": "unet", "width": 8},
    "lsm": {"kind": "lsm", "width": 8},
    "mgno": {"kind": "mgno", "width": 12, "layers": 2},
    "transolver": {"kind": "transolver", "width": 16, "layers": 2, "slices": 8},
    "meshgraphnet": {"kind": "meshgraphnet", "width": 16, "layers": 3},
    "deeponet": {"kind": "deeponet", "width": 48, "layers": 3, "basis": 24},
    "multionet": {"kind": "multionet", "width": 48, "layers": 3, "basis": 24},
}
GRID = ("fno", "uno", "unet", "lsm", "mgno")
ANY_NUMBERING = ("spon", "spon-attention", "transolver", "meshgraphnet", *GRID)


@pytest.fixture
def square(once):
    """Darcy on 8², P1, with two coarser meshes."""
    return once("square", lambda folder: solved(darcy(16, 2), folder))


def test_there_is_a_case_for_every_kind():
    from typing import get_args

    union = get_args(OperatorConfig)[0]
    kinds = {member.model_fields["kind"].default for member in get_args(union)}
    assert {KINDS[name]["kind"] for name in KINDS} == kinds
    for name, settings in KINDS.items():
        config = TrainConfig.model_validate({"operator": settings}).operator
        assert label(config) == name and name in TITLES


@pytest.mark.parametrize("name", KINDS)
def test_a_batch_is_learnt_by_heart(square, name):
    ds, operator = build(square, KINDS[name])
    samples = OperatorSamples(ds.split("train"), operator, "l2")
    loss, batch = GramLoss(samples.grams), samples.load(np.arange(4))
    adam = torch.optim.Adam(operator.parameters(), lr=5e-3)
    losses = []
    for _ in range(150):
        value = loss(operator(batch.x), batch)
        adam.zero_grad()
        value.backward()
        adam.step()
        losses.append(value.item())
        if value < 0.1 * losses[0]:
            break
    assert losses[-1] < 0.2 * losses[0], (losses[0], losses[-1])


@pytest.mark.parametrize("name", ["spon-vcycle", "unet", "meshgraphnet", "deeponet"])
def test_it_trains_from_end_to_end(square, tmp_path, name):
    settings = {"operator": KINDS[name], "epochs": 1, "controls": [], "tracking": ["csv"]}
    report = train(square, TrainConfig.model_validate(settings), out_dir=tmp_path)
    assert report.operator == name and np.isfinite(report.error())
    assert TITLES[name] in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("name", ANY_NUMBERING)
def test_numbers_of_dofs_mean_nothing(square, tmp_path, name):
    """Renumbered data give the same function; nothing in a grid operator even sees the dofs."""
    path, maps = renumbered(square, tmp_path / "other")
    ds, plain = build(square, KINDS[name])
    ds2, other = build(path, KINDS[name])
    copy_weights(plain, other)
    u, v = predict(plain, ds)["u"][:, 0], predict(other, ds2)["u"][:, 0]
    T = maps[ds.fields["u"].space]
    moving = np.abs(u - plain.normalisation.outputs["u"].mean).max()
    np.testing.assert_allclose(v, (T @ u.T).T, atol=2e-4 * moving)
    assert np.abs(v - u).max() > 0.1 * moving


@pytest.mark.parametrize("name", KINDS)
def test_only_spon_imposes_boundary_values(square, name):
    ds, operator = build(square, KINDS[name])
    field = ds.fields["u"]
    fixed = predict(operator, ds)["u"][..., field.constrained]
    exact = np.array_equal(fixed, np.broadcast_to(field.values, fixed.shape))
    assert exact == (KINDS[name]["kind"] == "spon")


def test_grids_are_asked_for(once, sets):
    with pytest.raises(TrainingError, match="no evaluation matrix to a grid"):
        build(sets["p1"], KINDS["fno"])


def test_levels_are_asked_for(sets):
    for name in ("spon-multigrid", "spon-vcycle"):
        with pytest.raises(TrainingError, match=r"has one level.*mesh.levels"):
            build(sets["p1"], KINDS[name])
