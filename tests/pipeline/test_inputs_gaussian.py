"""Cosine fields have the covariance they state; laws transform them as they say."""

import itertools

import numpy as np
import places
import pytest
from scipy.stats import norm

from pipeline.inputs import CosineField, CosineFieldSpec, Gaussian, LogNormal, TwoPhase, Where
from pipeline.spec_errors import SpecError


def box(d, n=5, lower=0.0, upper=1.0):
    axes = [np.linspace(lower, upper, n)] * d
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
    return Where(points, np.full(d, lower), np.full(d, upper))


def covariance(spec, p, q):
    """σ² τ^(2α−d) Σ_k (π²|k|² + τ²)^−α φ_k(p) φ_k(q), mode by mode."""
    total, d = 0.0, len(p)
    for k in itertools.product(range(spec.modes), repeat=d):
        if any(k):
            value = (np.pi**2 * sum(j * j for j in k) + spec.tau**2) ** -spec.alpha
            for j, x, y in zip(k, p, q, strict=True):
                value *= (2 if j else 1) * np.cos(np.pi * j * x) * np.cos(np.pi * j * y)
            total += value
    return spec.sigma**2 * spec.tau ** (2 * spec.alpha - d) * total


@pytest.mark.parametrize(
    ("d", "spec"),
    [
        (1, CosineFieldSpec(alpha=2, tau=5, modes=32)),
        (2, CosineFieldSpec(modes=16)),
        (2, CosineFieldSpec(alpha=1.5, tau=7, sigma=2, modes=16)),
        (3, CosineFieldSpec(alpha=2.5, tau=4, sigma=0.5, modes=6)),
    ],
)
def test_mean_and_covariance_are_as_stated(d, spec):
    where, n = box(d), 3000
    draws = places.samples(spec.at(where), n)
    last = len(where.points) - 1
    for i, j in [(0, 0), (last // 2, last // 2), (0, 1), (1, last), (2, last // 2)]:
        p, q = where.points[i], where.points[j]
        cov, var_i, var_j = covariance(spec, p, q), covariance(spec, p, p), covariance(spec, q, q)
        error = np.sqrt((var_i * var_j + cov**2) / n)
        assert abs(np.mean(draws[:, i] * draws[:, j]) - cov) < 4 * error
        assert abs(draws[:, i].mean()) < 4 * np.sqrt(var_i / n)


def test_a_box_is_scaled_to_the_unit_box():
    unit, wide = (
        box(2),
        Where(box(2).points * [4, 8] - [2, 0], np.array([-2.0, 0]), np.array([2.0, 8])),
    )
    one, two = (places.samples(CosineFieldSpec(modes=8).at(w), 2) for w in (unit, wide))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_scattered_points_and_grid_points_give_the_same_field(d):
    spec, rng = CosineFieldSpec(modes=8, alpha=2.5), np.random.default_rng(0)
    grid = box(d)
    points = np.concatenate([grid.points, rng.random((900, d))])
    xi = rng.standard_normal(8**d)
    scattered = CosineField(spec, Where(points, grid.lower, grid.upper)).evaluate(xi)
    on_grid = CosineField(spec, grid).evaluate(xi)
    assert np.allclose(scattered[: len(on_grid)], on_grid, atol=1e-13)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_feature_distances_are_l2_distances_of_the_fields(d):
    cells = (np.arange(32) + 0.5) / 32  # midpoints integrate the 16 modes exactly
    points = np.stack(np.meshgrid(*[cells] * d), axis=-1).reshape(-1, d)
    field = CosineField(CosineFieldSpec(modes=8, alpha=3), Where(points, np.zeros(d), np.ones(d)))
    xi = [field.draw(np.random.default_rng(s), np.empty(0), s) for s in (1, 2)]
    distance = np.sqrt(np.mean((field.evaluate(xi[0]) - field.evaluate(xi[1])) ** 2))
    features = [field.features(x, 8**d) for x in xi]
    assert np.isclose(np.linalg.norm(features[0] - features[1]), distance)
    assert np.linalg.norm(features[0][:32]) > 0.95 * np.linalg.norm(features[0])


@pytest.mark.parametrize(
    ("d", "change", "text"),
    [
        (3, {"alpha": 1.4}, "alpha > 1.5"),
        (2, {"alpha": 1}, "needs alpha > 1"),
        (3, {"modes": 200}, "161"),
    ],
)
def test_what_is_no_function_or_too_large_is_refused(d, change, text):
    with pytest.raises(SpecError, match=text):
        CosineFieldSpec(**change).at(box(d))


FIELD = CosineFieldSpec(modes=16, sigma=3)


def test_laws_have_the_moments_of_their_transform():
    where, n, at = box(2), 4000, 7
    g = places.samples(FIELD.at(where), n)[:, at]
    s = np.sqrt(covariance(FIELD, where.points[at], where.points[at]))
    values = {
        law.law: places.samples(law.at(where), n)[:, at]
        for law in (
            Gaussian(law="gaussian", mean=2, field=FIELD),
            LogNormal(law="lognormal", mean=-1, field=FIELD),
            TwoPhase(law="two_phase", threshold=0.5 * s, field=FIELD),
        )
    }
    assert np.array_equal(values["gaussian"], 2 + g)
    assert np.array_equal(values["lognormal"], np.exp(-1 + g))
    log_sd = np.sqrt(np.exp(s**2) - 1) * np.exp(-1 + s**2 / 2)
    assert abs(values["lognormal"].mean() - np.exp(-1 + s**2 / 2)) < 4 * log_sd / np.sqrt(n)
    high = norm.sf(0.5)
    share = np.mean(values["two_phase"] == 12)
    assert abs(share - high) < 4 * np.sqrt(high * (1 - high) / n)
    assert set(values["two_phase"]) == {3.0, 12.0}


@pytest.mark.parametrize(
    "law",
    [
        Gaussian(law="gaussian", clip=(-0.1, 0.2), field=FIELD),
        LogNormal(law="lognormal", clip=(0.9, 1.3), field=FIELD),
    ],
)
def test_clipped_laws_stay_within_their_limits(law):
    free = law.model_copy(update={"clip": None})
    where = box(2)
    cut, full = places.samples(law.at(where), 20), places.samples(free.at(where), 20)
    assert cut.min() == law.clip[0] and cut.max() == law.clip[1]
    assert np.array_equal(cut, np.clip(full, *law.clip))


def test_limits_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="low < high"):
        Gaussian(law="gaussian", clip=(1, 0))
