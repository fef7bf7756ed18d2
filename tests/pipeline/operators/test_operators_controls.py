"""Controls and norms against direct formulas in NumPy."""

import numpy as np
import pytest

from pipeline.operators import TrainConfig
from pipeline.operators.controls.pod_ridge import RIDGES
from pipeline.operators.controls.setting import Setting
from pipeline.operators.controls.simple import CONTROLS
from pipeline.operators.fe.normalisation import choose_log, fit_normalisation
from pipeline.operators.fe.norms import gram, norm, relative_errors
from pipeline.operators.task import make_task, open_splits
from storage import open_dataset


@pytest.fixture(scope="module", params=["p1", "dg0", "p2"])
def case(request, sets):
    ds = open_dataset(sets[request.param])
    splits, task = open_splits(ds, TrainConfig()), make_task(ds)
    return Setting(task, fit_normalisation(splits["train"], task, TrainConfig()), splits)


def arrays(case):
    return {n: (np.log(s.read("a")), s.read("u")) for n, s in case.splits.items()}


def predicted(case, control):
    values = control.predict(np.arange(len(case.splits["test"])))
    return case.by_field(values)["u"][:, 0]


def space_of(case):
    return case.task.spaces["p"]


def test_normalisation_is_that_of_the_training_split(case):
    a, u = arrays(case)["train"]
    scale = case.normalisation.inputs["a"]
    assert scale.log
    np.testing.assert_allclose([scale.mean, scale.std], [a.mean(), a.std()])
    output = case.normalisation.outputs["u"]
    np.testing.assert_allclose(output.mean, u.mean(axis=0)[None], atol=1e-15)
    free = np.setdiff1d(np.arange(u.shape[1]), case.task.outputs[0].constrained)
    rms = np.sqrt(((u - u.mean(axis=0))[:, free] ** 2).mean())
    np.testing.assert_allclose(output.scale, rms)


def test_log_is_chosen_from_the_data():
    auto = TrainConfig()
    assert choose_log(1.0, 3.0, auto) and not choose_log(1.0, 1.5, auto)
    assert not choose_log(-1.0, 3.0, auto) and not choose_log(0.0, 3.0, auto)
    assert choose_log(1.0, 1.5, TrainConfig(log_inputs="always"))
    assert not choose_log(1.0, 9.0, TrainConfig(log_inputs="never"))


def test_mean(case):
    u, test = arrays(case)["train"][1], arrays(case)["test"][1]
    np.testing.assert_allclose(
        predicted(case, CONTROLS["mean"](case)), np.tile(u.mean(0), (len(test), 1)), atol=1e-15
    )


def test_nearest(case):
    a, u = arrays(case)["train"]
    matrix = case.input_gram("a").toarray()
    found = predicted(case, CONTROLS["nearest"](case))
    for x, given in zip(arrays(case)["test"][0], found, strict=True):
        d = np.array([(x - y) @ matrix @ (x - y) for y in a])
        nearest = u[d <= d.min() * (1 + 1e-12)]  # two-phase inputs can be equally far
        assert min(np.abs(given - one).max() for one in nearest) <= 1e-14


def test_pod_ridge(case):
    """POD by a dense SVD and ridge in primal form, at the picked rank and parameter."""
    control = CONTROLS["pod_ridge"](case)
    data = arrays(case)
    (a, u), scale = data["train"], case.normalisation.inputs["a"].std
    root_a = np.linalg.cholesky(case.input_gram("a").toarray())
    root_u = np.linalg.cholesky(gram(space_of(case), "l2").toarray())
    Z, Y = (a - a.mean(0)) @ root_a / scale, (u - u.mean(0)) @ root_u

    def predict(x, ridge, rank):
        basis = np.linalg.svd(Y, full_matrices=False)[2][:rank]
        penalty = ridge * (Z**2).sum() / len(Z)
        W = np.linalg.solve(Z.T @ Z + penalty * np.eye(Z.shape[1]), Z.T @ (Y @ basis.T))
        coefficients = (x - a.mean(0)) @ root_a / scale @ W
        return u.mean(0) + np.linalg.solve(root_u.T, (coefficients @ basis).T).T

    ridge, rank = control.settings["ridge"], control.settings["rank"]
    size = np.abs(u).max()
    expected = predict(data["test"][0], ridge, rank)
    np.testing.assert_allclose(predicted(case, control), expected, atol=1e-6 * size)

    def error(ridge, rank):
        x, truth = data["validation"]
        matrix = gram(space_of(case), "l2")
        return relative_errors(matrix, predict(x, ridge, rank), truth).mean()

    np.testing.assert_allclose(control.settings["validation_l2"], error(ridge, rank), rtol=1e-5)
    others = [error(r, k) for r in RIDGES[2:] for k in (1, 3, 8, len(u) - 1)]
    assert error(ridge, rank) <= min(others) * (1 + 1e-6)


def test_norms_against_dense(case):
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((2, 3, int(space_of(case)["dim"])))
    M = space_of(case)["grams/mass"].toarray()
    H = M + space_of(case)["grams/stiffness"].toarray()
    for name, dense in (("l2", M), ("h1", H)):
        matrix = gram(space_of(case), name)
        sizes = [np.sqrt(x @ dense @ x) for x in u]
        np.testing.assert_allclose(norm(matrix, u), sizes, rtol=1e-12)
        expected = [
            np.sqrt((x - y) @ dense @ (x - y)) / s for x, y, s in zip(u, v, sizes, strict=True)
        ]
        np.testing.assert_allclose(relative_errors(matrix, v, u), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="beside l2 is h1; use graph"):
        gram(space_of(case), "max")


def test_norm_of_a_linear_function(case):
    """‖x + 1‖² = 7/3 and |x + 1|²_H1 = 1 on the unit square, exact in P1 and P2."""
    x = space_of(case)["points"][:, 0] + 1
    np.testing.assert_allclose(norm(gram(space_of(case), "l2"), x[None]) ** 2, 7 / 3, rtol=1e-12)
    np.testing.assert_allclose(norm(gram(space_of(case), "h1"), x[None]) ** 2, 10 / 3, rtol=1e-12)
