"""SPON: it learns, its traces are exact, and numbers of dofs mean nothing to it."""

import numpy as np
import pytest
import torch
from darcy_data import Square, make_data

from pipeline.operators import SPON, TrainConfig, TrainingError
from pipeline.operators.config import SponConfig
from pipeline.operators.fe.graph import dof_graph
from pipeline.operators.fe.modes import low_modes
from pipeline.operators.fe.normalisation import fit_normalisation
from pipeline.operators.fe.norms import gram
from pipeline.operators.fe.sparse import SparseProduct
from pipeline.operators.task import make_task
from pipeline.operators.training.batches import Batches
from pipeline.operators.training.loop import _relative_loss
from storage import open_dataset

SMALL = SponConfig(width=12, layers=2, modes=12)


def build(path, config=SMALL, seed=0):
    ds = open_dataset(path)
    task = make_task(ds)
    torch.manual_seed(seed)
    return ds, SPON(config, task, fit_normalisation(ds.split("train"), task, TrainConfig()))


@pytest.mark.parametrize("kind", ["p1", "dg0", "p2"])
def test_overfits_one_batch(sets, kind):
    ds, operator = build(sets[kind])
    matrix = gram(operator.task.space, "h1")
    batches = Batches(ds.select(ds.ids[:4]), operator, matrix, 16)
    (batch,) = batches.epoch(4, np.random.default_rng(0))
    product = SparseProduct(matrix)
    optimiser = torch.optim.Adam(operator.parameters(), lr=5e-3)
    losses = []
    for step in range(250):
        if step == 180:
            optimiser.param_groups[0]["lr"] = 5e-4
        loss = _relative_loss(operator(batch.encoded), batch, product)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.01 and losses[-1] < 0.1 * losses[0], (losses[0], losses[-1])


@pytest.mark.parametrize("kind", ["p1", "p2"])
def test_dirichlet_dofs_are_exact(sets, kind):
    ds, operator = build(sets[kind])
    predicted = operator.predict({"a": ds.read("a", slice(0, 5))})
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
    ds, plain = build(make_data(tmp_path / "a", "log", **kind))
    renamed_ds, renamed = build(make_data(tmp_path / "b", "log", **kind, permutation=p))
    learnt = dict(plain.named_parameters())
    with torch.no_grad():
        for name, value in renamed.named_parameters():
            value.copy_(learnt[name])
    a = plain.predict({"a": ds.read("a", slice(0, 4))})
    b = renamed.predict({"a": renamed_ds.read("a", slice(0, 4))})
    moving = np.abs(a - plain.normalisation.mean).max()
    np.testing.assert_allclose(b[:, p], a, atol=2e-4 * moving)
    assert np.abs(b - a).max() > 0.1 * moving


def test_eigenspaces_share_weights_and_are_not_cut():
    fe = Square(4, 1)
    graph = dof_graph(fe.space(), fe.edge)
    crossed = low_modes(graph, 5)
    assert np.all(np.diff(crossed.space) >= 0) and crossed.space[0] == 0
    gram_of_modes = crossed.vectors.T @ graph.mass @ crossed.vectors
    np.testing.assert_allclose(gram_of_modes, np.eye(len(crossed.space)), atol=1e-10)
    assert not crossed.vectors[fe.edge].any()

    class Twin:  # a graph of two equal halves: every eigenvalue is double
        free = np.ones(8, bool)
        mass = np.kron(np.eye(2), np.diag([1.0, 2, 3, 4]))
        stiffness = np.kron(np.eye(2), np.diag([1.0, 4, 9, 16]))

    import scipy.sparse as sp

    Twin.mass, Twin.stiffness = sp.csr_matrix(Twin.mass), sp.csr_matrix(Twin.stiffness)
    assert low_modes(Twin, 4).space.tolist() == [0, 0, 1, 1]
    assert low_modes(Twin, 3).space.tolist() == [0, 0]
    assert low_modes(Twin, 1).space.tolist() == []


def test_discontinuous_output_is_refused(sets):
    with pytest.raises(TrainingError, match="dofs fall into 50 parts"):
        dof_graph(open_dataset(sets["dg0"]).spaces["dg0"], None)


def test_wrong_inputs_are_named(sets):
    ds, operator = build(sets["p1"])
    with pytest.raises(TrainingError, match="'a' is missing"):
        operator.predict({"b": ds.read("a")})
    with pytest.raises(TrainingError, match=r"shape \(80, 48\), expected \(samples, 49\)"):
        operator.predict({"a": ds.read("a")[:, :-1]})
    with pytest.raises(TrainingError, match="logarithms"):
        operator.predict({"a": -ds.read("a")})


def test_predicting_in_batches_changes_nothing(sets):
    ds, operator = build(sets["dg0"])
    inputs = {"a": ds.read("a", slice(0, 7))}
    whole, parts = operator.predict(inputs), operator.predict(inputs, batch_size=2)
    np.testing.assert_allclose(parts, whole, atol=1e-6 * np.abs(whole).max())
