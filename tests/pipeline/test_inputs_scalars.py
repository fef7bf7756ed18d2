"""Numbers follow their laws; designs fill the cube as stated, the same for any N."""

import numpy as np
import places
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import qmc

from pipeline.inputs import Categorical, DesignSpec, LogUniform, Normal, Uniform, design

UNIFORM = Uniform(law="uniform", low=-1, high=3)
NORMAL = Normal(law="normal", mean=2, std=0.5)
LOG = LogUniform(law="log_uniform", low=0.01, high=100)
KINDS = ["random", "sobol", "latin_hypercube"]


@pytest.mark.parametrize(
    ("law", "exact"),
    [
        (UNIFORM, stats.uniform(-1, 4)),
        (NORMAL, stats.norm(2, 0.5)),
        (LOG, stats.loguniform(0.01, 100)),
    ],
)
def test_laws_are_those_of_scipy(law, exact):
    u = np.linspace(0.001, 0.999, 57)
    assert np.allclose(law.quantile(u), exact.ppf(u), rtol=1e-12)
    values = places.samples(law.sampler(), 4000)
    assert values.shape == (4000,)
    assert abs(values.mean() - exact.mean()) < 4 * exact.std() / np.sqrt(4000)
    assert stats.kstest(values, exact.cdf).pvalue > 1e-3


def test_categories_come_with_their_probabilities():
    law = Categorical(law="categorical", values=(5, 7, 9), probabilities=(0.2, 0, 0.8))
    values = places.samples(law.sampler(), 4000)
    assert set(values) == {5.0, 9.0}
    assert abs(np.mean(values == 5) - 0.2) < 4 * np.sqrt(0.16 / 4000)
    equal = Categorical(law="categorical", values=(1, 2, 3))
    assert list(equal.quantile(np.array([0, 0.3, 0.34, 0.67, 1.0]))) == [1, 1, 2, 3, 3]
    none_left = Categorical(law="categorical", values=(1, 2), probabilities=(1.0, 0.0))
    assert none_left.quantile(np.array([1.0])) == [1]
    never_first = Categorical(law="categorical", values=(1, 2), probabilities=(0.0, 1.0))
    assert never_first.quantile(np.array([0.0])) == [2]


@example(u=1.0, low=0.864, factor=6.51)  # rounds to one bit above the upper end
@given(u=st.floats(0, 1), low=st.floats(1e-6, 1e6), factor=st.floats(1.001, 1e6))
def test_values_are_finite_and_within_the_ends(u, low, factor):
    u = np.array([u])
    assert np.isfinite(NORMAL.quantile(u))
    law = LogUniform(law="log_uniform", low=low, high=low * factor)
    assert law.low <= law.quantile(u) <= law.high


def test_vectors_have_their_size_and_numbers_none():
    sampler = Uniform(law="uniform", low=0, high=1, size=3).sampler()
    assert sampler.uniforms == 3
    u = np.array([0.1, 0.5, 0.9])
    latent = sampler.draw(None, u, 0)
    assert np.array_equal(sampler.evaluate(latent), u)
    assert np.array_equal(sampler.features(latent, 2), u[:2])
    assert UNIFORM.sampler().evaluate(np.array([0.5])).shape == ()
    assert (UNIFORM.shape, UNIFORM.sampler().uniforms) == ((), 1)
    with pytest.raises(ValueError, match=r"expected \(3,\)"):
        sampler.draw(None, u[:2], 0)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Uniform(law="uniform", low=1, high=1), "low < high"),
        (lambda: LogUniform(law="log_uniform", low=2, high=1), "low < high"),
        (lambda: LogUniform(law="log_uniform", low=0, high=1), "greater than 0"),
        (lambda: Normal(law="normal", std=0), "greater than 0"),
        (lambda: Categorical(law="categorical", values=()), "at least 1"),
        (lambda: Categorical(law="categorical", values=(1, 2), probabilities=(1,)), "2 values"),
        (lambda: Categorical(law="categorical", values=(1,), probabilities=(0.5,)), "sum 0.5"),
    ],
)
def test_impossible_laws_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("kind", KINDS)
def test_a_point_depends_on_seed_and_number_alone(kind):
    spec = DesignSpec(kind=kind, block=8)
    forward = design(spec, 5, 3)
    points = np.array([forward(i) for i in range(40)])
    assert points.shape == (40, 3) and np.all((points > 0) & (points < 1))
    back, jumps = design(spec, 5, 3), design(spec, 5, 3)
    assert np.array_equal([back(i) for i in reversed(range(40))], points[::-1])
    for i in (17, 3, 3, 39, 0, 1):
        assert np.array_equal(jumps(i), points[i])
    assert not np.array_equal(design(spec, 6, 3)(3), points[3])
    far = design(spec, 5, 3)(10**6)
    assert np.array_equal(design(spec, 5, 3)(10**6), far)
    assert design(spec, 5, 0)(7).shape == (0,)


@pytest.mark.parametrize("seed", range(5))
def test_latin_hypercubes_are_stratified_block_by_block(seed):
    at = design(DesignSpec(kind="latin_hypercube", block=16), seed, 4)
    blocks = [np.array([at(16 * block + i) for i in range(16)]) for block in range(3)]
    assert not np.isin(blocks[0], blocks[1:]).any()
    for points in blocks:
        slices = np.sort((points * 16).astype(int), axis=0)
        assert np.array_equal(slices, np.tile(np.arange(16)[:, None], 4))


@pytest.mark.parametrize("seed", range(5))
def test_sobol_points_are_stratified_at_powers_of_two(seed):
    at = design(DesignSpec(kind="sobol"), seed, 4)
    points = np.array([at(i) for i in range(64)])
    slices = np.sort((points * 64).astype(int), axis=0)
    assert np.array_equal(slices, np.tile(np.arange(64)[:, None], 4))
    boxes = (points[:, :2] * 8).astype(int)  # a (0, 6, 2)-net: one in each of 8 × 8
    assert len({tuple(box) for box in boxes}) == 64


def test_designs_integrate_better_than_random_points():
    discrepancy = {}
    for kind in KINDS:
        at = design(DesignSpec(kind=kind, block=128), 0, 2)
        discrepancy[kind] = qmc.discrepancy(np.array([at(i) for i in range(128)]))
    assert discrepancy["sobol"] < discrepancy["latin_hypercube"] < discrepancy["random"]


def test_designs_are_no_part_of_the_samples_own_random_numbers():
    own = places.rng_of(3, 5).random(2)
    assert not np.any(np.isin(design(DesignSpec(), 3, 2)(5), own))
