"""SPON with message passing: it learns, its traces are exact, dof numbers mean nothing to it."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from darcy_data import Square, make_data
from operator_cases import build, copy_weights, predict

from pipeline.operators import TrainingError
from pipeline.operators.fe.graph import message_kernels
from pipeline.operators.fe.modes import low_modes
from pipeline.operators.fe.places import adjacency
from pipeline.operators.training.losses import GramLoss
from pipeline.operators.training.samples import OperatorSamples

SMALL = {"kind": "spon", "processor": {"kind": "messages", "width": 12, "layers": 2, "modes": 12}}


@pytest.mark.parametrize("kind", ["p1", "dg0", "p2"])
def test_overfits_one_batch(sets, kind):
    ds, operator = build(sets[kind], SMALL)
    samples = OperatorSamples(ds.split("train"), operator, "h1")
    loss, batch = GramLoss(samples.grams), samples.load(np.arange(4))
    optimiser = torch.optim.Adam(operator.parameters(), lr=5e-3)
    losses = []
    for step in range(250):
        if step == 180:
            optimiser.param_groups[0]["lr"] = 5e-4
        value = loss(operator(batch.x), batch)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        losses.append(value.item())
    assert losses[-1] < 0.01 and losses[-1] < 0.1 * losses[0], (losses[0], losses[-1])


@pytest.mark.parametrize("kind", ["p1", "p2"])
def test_dirichlet_dofs_are_exact(sets, kind):
    ds, operator = build(sets[kind], SMALL)
    predicted = predict(operator, ds, slice(0, 5))["u"][:, 0]
    field = ds.fields["u"]
    assert predicted.dtype == np.float64 and len(field.constrained) > 0
    np.testing.assert_array_equal(predicted[:, field.constrained], np.tile(field.values, (5, 1)))
    assert kind == "p1" or (field.values > 0).all()
    free = np.setdiff1d(np.arange(predicted.shape[1]), field.constrained)
    assert np.ptp(predicted[:, free], axis=0).min() > 0  # the others depend on the input


@pytest.mark.parametrize("degree", [1, 2])
def test_renumbering_permutes_the_prediction(tmp_path, degree):
    count = len(Square(4, degree).points)
    p = np.random.default_rng(3).permutation(count)
    kind = {"n": 4, "samples": 24, "degree": degree, "distort": 0.2}
    ds, plain = build(make_data(tmp_path / "a", "log", **kind), SMALL)
    renamed_ds, renamed = build(make_data(tmp_path / "b", "log", **kind, permutation=p), SMALL)
    copy_weights(plain, renamed)
    a, b = (predict(op, data)["u"][:, 0] for op, data in ((plain, ds), (renamed, renamed_ds)))
    moving = np.abs(a - plain.normalisation.outputs["u"].mean).max()
    np.testing.assert_allclose(b[:, p], a, atol=2e-4 * moving)
    assert np.abs(b - a).max() > 0.1 * moving


def test_eigenspaces_share_weights_and_are_not_cut():
    fe = Square(4, 1)
    free = np.ones(len(fe.points), bool)
    free[fe.edge] = False
    mass = fe.mass()
    crossed = low_modes(fe.stiffness(), mass, free, 5)
    assert np.all(np.diff(crossed.space) >= 0) and crossed.space[0] == 0
    gram_of_modes = crossed.vectors.T @ mass @ crossed.vectors
    np.testing.assert_allclose(gram_of_modes, np.eye(len(crossed.space)), atol=1e-10)
    assert not crossed.vectors[fe.edge].any()
    # two equal halves: every eigenvalue is double
    mass = sp.csr_matrix(np.kron(np.eye(2), np.diag([1.0, 2, 3, 4])))
    stiffness = sp.csr_matrix(np.kron(np.eye(2), np.diag([1.0, 4, 9, 16])))
    for count, spaces in ((4, [0, 0, 1, 1]), (3, [0, 0]), (1, [])):
        found = low_modes(stiffness, mass, np.ones(8, bool), count)
        assert found.space.tolist() == spaces


def test_kernels_are_averages_and_derivatives():
    fe = Square(4, 1, 0.2)
    mean, *offsets, radius = message_kernels(fe.points, fe.cells, fe.det / 2)
    ones = np.ones(len(fe.points))
    np.testing.assert_allclose(mean @ ones, 1.0, rtol=1e-12)
    assert (mean != 0).nnz == (adjacency(fe.cells, len(fe.points)) != 0).nnz
    inner = np.flatnonzero(((fe.points > 0) & (fe.points < 1)).all(axis=1))
    for d, kernel in enumerate(offsets):
        i = inner[3]
        row = (fe.points[:, d] - fe.points[i, d]) * mean[[i]].toarray()[0]
        got = kernel[[i]].toarray()[0]
        np.testing.assert_allclose(got / np.abs(got).max(), row / np.abs(row).max(), atol=1e-12)
    assert abs((radius @ ones).sum()) < 1e-10 * len(ones)


def test_wrong_inputs_are_named(sets):
    ds, operator = build(sets["p1"], SMALL)
    with pytest.raises(TrainingError, match="'a' is missing"):
        operator.predict({"b": ds.read("a")})
    with pytest.raises(TrainingError, match=r"shape \(\d+, 48\), expected \(samples, 49\)"):
        operator.predict({"a": ds.read("a")[:, :-1]})
    with pytest.raises(TrainingError, match="logarithms"):
        operator.predict({"a": -ds.read("a")})


def test_predicting_in_batches_changes_nothing(sets):
    ds, operator = build(sets["dg0"], SMALL)
    inputs = {"a": ds.read("a", slice(0, 7))}
    whole, parts = operator.predict(inputs)["u"], operator.predict(inputs, batch_size=2)["u"]
    np.testing.assert_allclose(parts, whole, atol=1e-6 * np.abs(whole).max())
