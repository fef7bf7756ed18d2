"""Gaussian fields have the covariance they state, sample by sample and bit by bit."""

import numpy as np
import pytest

from pipeline.fields import CosineField, CosineFieldSpec
from pipeline.problem import sample_rng

GRID = np.stack(np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 9)), axis=-1).reshape(-1, 2)


def covariance(spec, p, q):
    """σ² τ^(2α−2) Σ_k (π²|k|² + τ²)^−α φ_k(p) φ_k(q), summed mode by mode."""
    total = 0.0
    for k in range(spec.modes):
        for m in range(spec.modes):
            if k == m == 0:
                continue
            scale = (1 if k == 0 else 2) * (1 if m == 0 else 2)
            value = (np.pi**2 * (k * k + m * m) + spec.tau**2) ** -spec.alpha
            at = [np.cos(np.pi * k * x) * np.cos(np.pi * m * y) for x, y in (p, q)]
            total += scale * value * at[0] * at[1]
    return spec.sigma**2 * spec.tau ** (2 * spec.alpha - 2) * total


@pytest.mark.parametrize(
    "spec", [CosineFieldSpec(), CosineFieldSpec(alpha=1.5, tau=7, sigma=2, modes=16)]
)
def test_mean_and_covariance_are_as_stated(spec):
    field, n = CosineField(spec, GRID), 4000
    draws = np.array([field.evaluate(field.draw(sample_rng(1, i))) for i in range(n)])
    for i, j in [(0, 0), (40, 40), (0, 1), (0, 80), (30, 50)]:
        expected = covariance(spec, GRID[i], GRID[j])
        spread = np.sqrt(covariance(spec, GRID[i], GRID[i]) * covariance(spec, GRID[j], GRID[j]))
        assert abs(np.mean(draws[:, i] * draws[:, j]) - expected) < 5 * np.sqrt(2 / n) * spread
        assert abs(draws[:, i].mean()) < 5 * np.sqrt(covariance(spec, GRID[i], GRID[i]) / n)


def test_scattered_points_and_grid_points_give_the_same_field():
    rng = np.random.default_rng(0)
    scattered = np.concatenate([GRID, rng.random((400, 2))])
    xi = CosineField(CosineFieldSpec(), GRID).draw(rng)
    on_grid = CosineField(CosineFieldSpec(), GRID).evaluate(xi)
    assert np.allclose(
        CosineField(CosineFieldSpec(), scattered).evaluate(xi)[:81], on_grid, atol=1e-13
    )


def test_a_sample_depends_on_seed_and_number_alone():
    field = CosineField(CosineFieldSpec(), GRID)
    alone = field.evaluate(field.draw(sample_rng(5, 3)))
    for _ in range(2):
        in_company = [field.evaluate(field.draw(sample_rng(5, i))) for i in (7, 3, 1)]
        assert np.array_equal(in_company[1], alone)
    assert not np.array_equal(field.evaluate(field.draw(sample_rng(6, 3))), alone)


def test_feature_distances_are_l2_distances_of_the_fields():
    fine = np.stack(np.meshgrid(*[(np.arange(64) + 0.5) / 64] * 2), axis=-1).reshape(-1, 2)
    spec = CosineFieldSpec(modes=16)
    field, rng = CosineField(spec, fine), np.random.default_rng(2)
    xi = [field.draw(rng) for _ in range(2)]
    difference = field.evaluate(xi[0]) - field.evaluate(xi[1])
    features = [field.features(x, 256) for x in xi]
    assert np.isclose(np.linalg.norm(features[0] - features[1]), np.sqrt(np.mean(difference**2)))
    assert np.linalg.norm(features[0][:32]) > 0.98 * np.linalg.norm(features[0])


def test_points_off_the_plane_are_refused():
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        CosineField(CosineFieldSpec(), np.zeros((4, 3)))
