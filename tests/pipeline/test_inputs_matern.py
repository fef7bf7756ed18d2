"""Matérn fields have the Bessel covariance inside, and exactly σ² everywhere if asked."""

import numpy as np
import places
import pytest
from dolfinx import mesh
from scipy.special import gamma, kv

from pipeline.inputs import MaternFieldSpec
from pipeline.inputs.variance import inverse_power_diagonal
from pipeline.spec_errors import SpecError


def spec(**changes):
    return MaternFieldSpec(kind="matern", **changes)


def bessel(r, length, nu):
    """Matérn correlation with κ = √(8ν) / length."""
    z = np.maximum(np.sqrt(8 * nu) / length * r, 1e-12)
    return 2 ** (1 - nu) / gamma(nu) * z**nu * kv(nu, z)


def covariance(where, spec, column):
    """Column of the field's exact covariance G Gᵀ: row of G by the adjoint, then G."""
    sampler = spec.at(where)
    unit = np.eye(1, len(where.points), column).T
    return sampler.evaluate(sampler._adjoint(sampler._scale[:, None] * unit)[:, 0])


@pytest.mark.parametrize("alpha", [2, 4])
@pytest.mark.parametrize("make", [places.interval, places.disk, places.cube])
def test_the_variance_is_exactly_as_stated_at_every_vertex(make, alpha):
    where, law = make(8), spec(length=0.4, alpha=alpha, sigma=1.5)
    sampler = law.at(where)
    G = np.array([sampler.evaluate(w) for w in np.eye(len(where.points))]).T
    assert np.allclose(np.sum(G**2, axis=1), 1.5**2, rtol=1e-10)
    assert np.allclose(covariance(where, law, 5), G @ G[5], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "centre", "length", "alpha", "tolerance"),
    [
        (lambda: places.interval(128), [0.5], 0.3, 2, 0.01),
        (lambda: places.interval(128), [0.5], 0.3, 4, 0.01),
        (lambda: places.square(48), [0.5, 0.5], 0.3, 2, 0.02),
        (lambda: places.square(48), [0.5, 0.5], 0.3, 4, 0.02),
        (lambda: places.disk(48), [0.0, 0.0], 0.6, 2, 0.02),
        (lambda: places.cube(16), [0.5, 0.5, 0.5], 0.3, 2, 0.03),
    ],
)
def test_correlations_inside_follow_the_bessel_formula(make, centre, length, alpha, tolerance):
    where = make()
    at = places.nearest(where, centre)
    found = covariance(where, spec(length=length, alpha=alpha, sigma=1.5), at) / 1.5**2
    r = np.linalg.norm(where.points - where.points[at], axis=1)
    error = np.abs(found - bessel(r, length, alpha - len(centre) / 2))[r <= length]
    assert error.max() < tolerance
    ring = np.abs(r - length) < 0.1 * length
    assert abs(found[ring].mean() - 0.14) < 0.03  # the correlation length is what it says


def test_the_error_shrinks_with_the_mesh():
    errors = []
    for n in (16, 32):
        where = places.square(n)
        at = places.nearest(where, [0.5, 0.5])
        cov = covariance(where, spec(length=0.3), at)
        r = np.linalg.norm(where.points - where.points[at], axis=1)
        errors.append(np.abs(cov - bessel(r, 0.3, 1.0))[(r > 0.1) & (r < 0.3)].max())
    assert errors[1] < errors[0] / 1.8


def test_without_normalising_the_variance_is_right_inside_and_doubles_on_a_side():
    where, law = places.square(80), spec(length=0.25, normalise=False, sigma=2)
    at = [places.nearest(where, p) for p in ([0.5, 0.5], [0.0, 0.5], [0.0, 0.0])]
    assert np.allclose([covariance(where, law, i)[i] for i in at], [4, 8, 16], rtol=0.05)


def test_mean_variance_and_correlation_of_samples():
    where, n = places.square(16), 3000
    draws = places.samples(spec(length=0.35, sigma=0.7).at(where), n)
    se = np.sqrt(1 / n)
    assert np.all(np.abs(draws.mean(axis=0)) < 5 * 0.7 * se)
    assert np.all(np.abs(draws.var(axis=0) / 0.49 - 1) < 5 * np.sqrt(2) * se)
    i = places.nearest(where, [0.5, 0.5])
    j = places.nearest(where, [0.75, 0.75])
    rho = bessel(np.linalg.norm(where.points[i] - where.points[j]), 0.35, 1.0)
    found = np.corrcoef(draws[:, i], draws[:, j])[0, 1]
    assert abs(found - rho) < 4 * (1 - rho**2) * se + 0.02  # 0.02: the mesh


@pytest.mark.parametrize("power", [0, 1, 2, 3])
@pytest.mark.parametrize("parts", [1, 2])
def test_variances_are_the_exact_diagonal(power, parts):
    from scipy.sparse import block_diag, csr_array

    where = [places.square(6), places.square(4)][:parts]
    tables = [w.p1() for w in where]
    A = csr_array(block_diag([t.stiffness + 9 * t.mass for t in tables]))
    m = np.concatenate([np.asarray(t.mass.sum(axis=1)).ravel() for t in tables])
    inverse = np.linalg.inv(A.toarray())
    expected = inverse @ np.linalg.matrix_power(m[:, None] * inverse, power)
    assert np.allclose(inverse_power_diagonal(A, m, power), np.diag(expected), rtol=1e-11)


def test_features_are_l2_distances():
    where = places.disk(16)
    sampler = spec(length=1.5, alpha=4).at(where)
    mass = np.asarray(where.p1().mass.sum(axis=1)).ravel()
    latents = [sampler.draw(places.rng_of(3, i), np.empty(0), i) for i in range(6)]
    values = np.array([sampler.evaluate(w) for w in latents])
    features = np.array([sampler.features(w, 32) for w in latents])
    assert features.shape == (6, 32)
    for i in range(5):
        l2 = np.sqrt(np.sum(mass * (values[i] - values[i + 1]) ** 2))
        assert 0.97 * l2 < np.linalg.norm(features[i] - features[i + 1]) <= l2 * (1 + 1e-9)


def test_points_of_another_space_take_the_p1_function():
    from pipeline.inputs import P1Tables, Where

    at_dofs = places.square(8)
    tables = at_dofs.p1()
    from scipy.sparse import csr_array

    pick = csr_array(np.array([np.eye(81)[3] / 2 + np.eye(81)[7] / 2]))
    between = Where(
        at_dofs.points[[3]],
        at_dofs.lower,
        at_dofs.upper,
        lambda: P1Tables(tables.mass, tables.stiffness, pick),
    )
    one, two = places.samples(spec().at(at_dofs), 2), places.samples(spec().at(between), 2)
    assert np.allclose(two[:, 0], (one[:, 3] + one[:, 7]) / 2)


def test_without_a_p1_space_it_says_so():
    where = places.place(mesh.create_unit_square(places.SELF, 2, 2), np.zeros((1, 2)))
    with pytest.raises(SpecError, match="no P1 space"):
        spec().at(where)


def test_too_many_vertices_to_normalise_are_refused_before_the_work(monkeypatch):
    monkeypatch.setattr("pipeline.inputs.variance._MOST_BYTES", 1000)
    with pytest.raises(SpecError, match="normalise: false"):
        spec().at(places.square(8))
