"""What holds exactly: boundary values of many sorts, zero means, periodic pairs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from operator_cases import EXAMPLES, build, predict, renumbered, solved_example

from pipeline.operators import TrainConfig, TrainingError, load_checkpoint
from pipeline.operators.decoder import FieldDecoder
from pipeline.operators.fe.constraints import Constraint, find_constraint
from pipeline.operators.fe.normalisation import OutputScale
from pipeline.operators.fe.places import dof_places
from pipeline.operators.task import make_task
from pipeline.operators.training.checkpoint import save_checkpoint
from storage import open_dataset

SPON = {"kind": "spon", "processor": {"kind": "messages", "width": 8, "layers": 1, "modes": 4}}


def example(once, name):
    (path,) = (p for p in EXAMPLES if p.stem == name)
    return once(name, lambda folder: solved_example(path, folder))


@pytest.mark.parametrize(
    ("name", "field"), [("darcy", "u"), ("curl-curl", "E"), ("darcy-mixed", "sigma")]
)
def test_common_values_are_those_stored(once, name, field):
    """P, Nédélec, RT: bit for bit, with random weights."""
    ds, operator = build(example(once, name), SPON)
    u = predict(operator, ds)[field]
    known = ds.fields[field]
    assert u.dtype == np.float64 and len(known.constrained) > 4
    np.testing.assert_array_equal(u[:, 0, known.constrained], np.tile(known.values, (4, 1)))
    free = np.setdiff1d(np.arange(u.shape[-1]), known.constrained)
    assert np.ptp(u[:, 0, free], axis=0).max() > 0


@pytest.mark.parametrize(
    ("name", "field", "source"),
    [
        ("poisson", "u", "g"),
        ("lid-driven-cavity", "u", "U"),
        ("stokes", "u", "U"),
        ("thermal", "T", "T_l"),
        ("hyperelastic", "u", "delta"),
    ],
)
def test_values_of_a_sample_come_from_its_inputs(once, name, field, source):
    """Unseen samples too: from an input function or a parameter."""
    ds, operator = build(example(once, name), SPON)
    constraint = operator.decoders[field].constraint
    assert source in constraint.sources
    test = ds.split("test")
    u, truth = predict(operator, test, slice(0, 2))[field], operator.task.truth(test, slice(0, 2))
    fixed = np.asarray(ds.fields[field].constrained)
    expected = truth[field][..., fixed]
    size = np.abs(expected).max()
    assert size > 0
    np.testing.assert_allclose(u[..., fixed], expected, rtol=0, atol=2e-13 * size)


def test_values_that_nothing_explains_are_refused(once):
    ds = open_dataset(example(once, "poisson"))
    task = make_task(ds, inputs=["f"])
    with pytest.raises(TrainingError, match="boundary values differ by sample and are propor"):
        find_constraint(task.outputs[0], ds.split("train"), task)


def test_a_value_is_not_taken_from_an_input_that_only_resembles_it(once, monkeypatch):
    """One changed sample among those that agree is enough to refuse."""
    ds = open_dataset(example(once, "poisson"))
    task, train = make_task(ds), ds.split("train")
    real = type(train).read

    def changed(self, name, rows=slice(None)):
        values = np.array(real(self, name, rows), dtype=float)
        if name == "u":
            values[-1, np.asarray(ds.fields["u"].constrained)[3]] *= 1 + 1e-6
        return values

    monkeypatch.setattr(type(train), "read", changed)
    with pytest.raises(TrainingError, match="'u': 1 boundary values differ"):
        find_constraint(task.outputs[0], train, task)


def test_pinned_pressure_is_exact(once):
    ds, operator = build(example(once, "lid-driven-cavity"), SPON)
    (pinned,) = ds.fields["p"].constrained
    p = predict(operator, ds)["p"][:, 0]
    assert not p[:, pinned].any() and np.ptp(p, axis=1).min() > 0


def test_outputs_without_a_mean_are_predicted_without(once, monkeypatch):
    """As pressures are whose constant is taken out: seen in the samples, pinned dof or not."""
    ds = open_dataset(example(once, "lid-driven-cavity"))
    mass = ds.spaces[ds.fields["p"].space]["grams"]["mass"]
    real, weights = type(ds).read, mass @ np.ones(mass.shape[0])

    def read(self, name, rows=slice(None)):
        values = np.array(real(self, name, rows), dtype=float)
        return values - (values @ weights / weights.sum())[..., None] if name == "p" else values

    monkeypatch.setattr(type(ds), "read", read)
    ds, operator = build(ds.path, SPON)
    p = predict(operator, ds)["p"][:, 0]
    assert len(operator.decoders["p"].constraint.dofs) == 0
    mass = ds.spaces[ds.fields["p"].space]["grams"]["mass"]
    ones = np.ones(mass.shape[0])
    size = np.sqrt(np.einsum("bi,bi->b", p, (mass @ p.T).T))
    assert (np.abs(p @ (mass @ ones)) < 1e-14 * size).all() and size.min() > 0


def test_pressure_of_a_flow_with_an_outlet_has_its_own_mean(once):
    ds, operator = build(example(once, "stokes"), SPON)
    assert operator.decoders["p"].constraint.integral is None


def test_training_sees_the_same_function_as_prediction(once):
    """s·forward + b = predict, up to float32, with zero mean and boundary values."""
    import torch

    for name in ("lid-driven-cavity", "curl-curl", "heat", "darcy-mixed"):
        ds, operator = build(example(once, name), SPON)
        given = operator.task.given(ds, slice(0, 3))
        with torch.no_grad():
            deviations = operator(torch.from_numpy(operator.encode(given)))
        for field, u in operator.predict(given).items():
            decoder = operator.decoders[field]
            got = decoder.base(given, 3) + decoder.scale.scale * deviations[field].numpy()
            np.testing.assert_allclose(got, u, atol=1e-5 * np.abs(u).max())


def test_periodic_dofs_are_equal(once):
    """Slaves and masters of `fields/u/periodic`, in float64, after all else."""
    ds = open_dataset(example(once, "poisson"))
    points = np.asarray(ds.spaces["P1"]["points"])
    left, right = (np.flatnonzero(np.isclose(points[:, 0], x)) for x in (0.0, 1.0))
    left, right = (side[np.argsort(points[side, 1])] for side in (left, right))
    task = replace(make_task(ds), periodic={"u": {"slaves": right, "masters": left}})
    field = replace(task.outputs[0], constrained=np.zeros(0, np.int32), values=np.zeros(0))
    constraint = find_constraint(field, ds.split("train"), task)
    u = np.random.default_rng(0).standard_normal((3, 2, len(points)))
    before = u.copy()
    constraint.apply(u, {})
    np.testing.assert_array_equal(u[..., right], before[..., left])
    others = np.setdiff1d(np.arange(len(points)), right)
    np.testing.assert_array_equal(u[..., others], before[..., others])
    places = dof_places(task.mesh, [task.space(field)])
    scale = OutputScale(np.zeros((1, len(points))), 1.0)
    decoder = FieldDecoder(field, task, places, scale, constraint)
    w = torch.randn(3, len(points), 1)
    y, decoded = decoder(w).numpy(), decoder.decode(w, {})  # what the loss sees, what is predicted
    for found in (y, decoded):
        np.testing.assert_array_equal(found[..., right], found[..., left])
    np.testing.assert_allclose(y, decoded, rtol=1e-6)


def test_the_parts_of_a_constraint_add_up():
    constraint = Constraint(
        dofs=np.array([0, 2]),
        values=np.array([1.0, 0.0]),
        sources={"g": np.array([[0.0, 0.0], [2.0, -1.0]]), "s": np.array([[0.0], [3.0]])},
    )
    inputs = {"g": np.array([[1.0, 1.0], [0.0, 2.0]]), "s": np.array([[1.0], [0.0]])}
    u = constraint.apply(np.full((2, 3, 4), 9.0), inputs)
    np.testing.assert_array_equal(u[:, :, 0], np.ones((2, 3)))
    np.testing.assert_array_equal(u[:, :, 2], [[4.0] * 3, [-2.0] * 3])
    np.testing.assert_array_equal(u[..., [1, 3]], np.full((2, 3, 2), 9.0))


@pytest.mark.parametrize(("name", "field"), [("curl-curl", "E"), ("darcy-mixed", "sigma")])
def test_traces_are_exact_after_renumbering(once, tmp_path, name, field):
    path, _ = renumbered(example(once, name), tmp_path / "other")
    ds, operator = build(path, SPON)
    known = ds.fields[field]
    u = predict(operator, ds)[field][:, 0]
    np.testing.assert_array_equal(u[:, known.constrained], np.tile(known.values, (4, 1)))


def test_a_checkpoint_on_one_sample_does_not_learn_its_boundary_values(once, tmp_path):
    """Constraints come from the training split, whatever view an operator is loaded for."""
    ds, operator = build(example(once, "lid-driven-cavity"), SPON)
    config = TrainConfig.model_validate({"operator": SPON})
    save_checkpoint(tmp_path, operator, config, {})
    one = ds.split("test").select(ds.split("test").ids[:1])
    found = load_checkpoint(tmp_path, one).operator.decoders["u"].constraint
    expected = operator.decoders["u"].constraint
    assert list(found.sources) == list(expected.sources) == ["U"]
    np.testing.assert_array_equal(found.values, expected.values)
