"""Chebyshev series and multiscale products are the functions they state."""

import numpy as np
import places
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import chebyshev, polynomial

from pipeline.inputs import Chebyshev, Multiscale, Where
from pipeline.inputs.series import TensorSeries
from pipeline.spec_errors import SpecError

NONE = np.empty(0)


def spec(**changes):
    return Chebyshev(law="chebyshev", **changes)


def on(points, lower, upper):
    return Where(np.array(points, dtype=float), np.array(lower, float), np.array(upper, float))


@given(
    d=st.integers(1, 3),
    n=st.integers(1, 40),
    grid=st.booleans(),
    modes=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_a_tensor_series_is_the_sum_it_states(d, n, grid, modes, seed):
    rng = np.random.default_rng(seed)
    points = rng.random((n, d)) if not grid else rng.integers(0, 3, (n, d)) / 2
    c = rng.standard_normal((modes,) * d)
    found = TensorSeries(points, lambda x: np.vander(x, modes, increasing=True))(c)
    evaluate = [polynomial.polyval, polynomial.polyval2d, polynomial.polyval3d][d - 1]
    assert np.allclose(found, evaluate(*points.T, c), atol=1e-12)


def test_the_series_is_exact_on_the_box():
    rng = np.random.default_rng(0)
    points = rng.random((300, 2)) * [3, 2] + [1, -1]
    where = on(points, [1, -1], [4, 1])
    x, y = ((points - [1, -1]) / [3, 2] * 2 - 1).T
    sampler = spec(degree=4, mean=2, amplitude=3).at(where)
    c = sampler.draw(rng, NONE, 0)
    assert c.shape == (25,)
    expected = 2 + 3 * chebyshev.chebval2d(x, y, c.reshape(5, 5))
    assert np.allclose(sampler.evaluate(c), expected, atol=1e-12)
    along = spec(over="y").at(where)
    c = along.draw(rng, NONE, 0)
    assert np.allclose(along.evaluate(c), chebyshev.chebval(y, c), atol=1e-13)


def test_coefficients_are_uniform_and_the_variance_is_as_stated():
    where, n = on([[0.0], [0.3], [1.0]], [0.0], [1.0]), 4000
    draws = places.samples(spec(over="x", amplitude=2).at(where), n)
    tables = chebyshev.chebvander(2 * where.points[:, 0] - 1, 5)
    variance = 4 / 3 * np.sum(tables**2, axis=1)
    assert np.all(np.abs(draws.mean(axis=0)) < 4 * np.sqrt(variance / n))
    # the fourth moment of a sum of uniforms is below the normal's: 2/n bounds the error
    assert np.all(np.abs(draws.var(axis=0) / variance - 1) < 4 * np.sqrt(2 / n))


def test_edges_are_four_series_and_corners_their_means():
    where = places.square(8)
    x, y = where.points.T
    sampler = spec(over="edges", mean=1, amplitude=0.5).at(where)
    c = sampler.draw(np.random.default_rng(4), NONE, 0)
    values = sampler.evaluate(c)
    side = [
        1 + 0.5 * chebyshev.chebval(2 * t - 1, k)
        for t, k in zip([y, y, x, x], c.reshape(4, 6), strict=True)
    ]
    flags = [np.isclose(t, end) for t, end in ((x, 0), (x, 1), (y, 0), (y, 1))]
    inner = ~np.any(flags, axis=0)
    assert np.all(values[inner] == 0)
    corner = np.sum(flags, axis=0) == 2
    assert corner.sum() == 4
    for flag, series in zip(flags, side, strict=True):
        assert np.allclose(values[flag & ~corner], series[flag & ~corner], atol=1e-13)
    for k in np.flatnonzero(corner):
        meeting = [series[k] for flag, series in zip(flags, side, strict=True) if flag[k]]
        assert np.isclose(values[k], np.mean(meeting))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_feature_distances_are_l2_distances_on_the_box(d):
    nodes, weights = np.polynomial.legendre.leggauss(8)
    points = np.stack(np.meshgrid(*[nodes] * d, indexing="ij"), axis=-1).reshape(-1, d)
    w = weights / 2
    for _ in range(d - 1):
        w = np.multiply.outer(w, weights / 2)
    sampler = spec(degree=4, amplitude=2).at(on(points, [-1] * d, [1] * d))
    c = [sampler.draw(np.random.default_rng(s), NONE, s) for s in (0, 1)]
    l2 = np.sqrt(np.sum(w.ravel() * (sampler.evaluate(c[0]) - sampler.evaluate(c[1])) ** 2))
    features = [sampler.features(k, 5**d) for k in c]
    assert np.isclose(np.linalg.norm(features[0] - features[1]), l2)
    few = np.linalg.norm(sampler.features(c[0], 5**d // 2) - sampler.features(c[1], 5**d // 2))
    assert 0.4 * l2 < few <= l2 * (1 + 1e-12)


def test_feature_distances_of_edges_are_l2_distances_along_the_sides():
    nodes, weights = np.polynomial.legendre.leggauss(8)
    end = np.ones(8)
    sides = [(-end, nodes), (end, nodes), (nodes, -end), (nodes, end)]
    points = np.concatenate([np.stack(s, axis=1) for s in sides]) * [3, 1]
    sampler = spec(over="edges").at(on(points, [-3, -1], [3, 1]))
    c = [sampler.draw(np.random.default_rng(s), NONE, s) for s in (0, 1)]
    w = np.concatenate([weights * 1, weights * 1, weights * 3, weights * 3]) / 16
    l2 = np.sqrt(np.sum(w * (sampler.evaluate(c[0]) - sampler.evaluate(c[1])) ** 2))
    assert np.isclose(np.linalg.norm(sampler.features(c[0], 24) - sampler.features(c[1], 24)), l2)


@pytest.mark.parametrize(
    ("changes", "d", "text"),
    [
        ({"over": "z"}, 2, "it has x, y"),
        ({"over": "edges"}, 3, "edges are for 2-D"),
        ({"degree": 64}, 3, "at most 10000"),
    ],
)
def test_series_that_do_not_suit_the_mesh_are_refused(changes, d, text):
    with pytest.raises(SpecError, match=text):
        spec(**changes).at(on(np.zeros((1, d)), [0] * d, [1] * d))


def test_the_multiscale_product_is_as_stated():
    where = on(np.random.default_rng(0).random((50, 2)), [0, 0], [1, 1])
    sampler = Multiscale(law="multiscale").at(where)
    frequencies = np.array([sampler.draw(places.rng_of(0, i), NONE, i) for i in range(3000)])
    k = np.arange(6)
    assert np.all((frequencies >= 2.0**k) & (frequencies <= 1.5 * 2.0**k))
    error = 0.5 * 2.0**k / np.sqrt(12 * 3000)
    assert np.all(np.abs(frequencies.mean(axis=0) - 1.25 * 2.0**k) < 4 * error)
    a, (x, y) = frequencies[7], where.points.T
    expected = 1.0
    for f in a:
        expected = expected * (1 + 0.5 * np.cos(f * np.pi * (x + y)))
        expected = expected * (1 + 0.5 * np.sin(f * np.pi * (y - 3 * x)))
    values = sampler.evaluate(a)
    assert np.allclose(values, expected, rtol=1e-12)
    assert np.all((values >= 0.25**6) & (values <= 2.25**6))


def test_multiscale_feature_distances_are_l2_distances():
    cells = (np.arange(128) + 0.5) / 128
    points = np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 2)
    sampler = Multiscale(law="multiscale", scales=2).at(on(points, [0, 0], [1, 1]))
    latents = [sampler.draw(places.rng_of(0, i), NONE, i) for i in range(12)]
    for a, b in zip(latents[:-1], latents[1:], strict=True):
        l2 = np.sqrt(np.mean((sampler.evaluate(a) - sampler.evaluate(b)) ** 2))
        found = np.linalg.norm(sampler.features(a, 512) - sampler.features(b, 512))
        assert np.isclose(found, l2, rtol=0.15)


def test_multiscale_is_for_the_plane():
    with pytest.raises(SpecError, match="2-D"):
        Multiscale(law="multiscale").at(on(np.zeros((1, 3)), [0] * 3, [1] * 3))
