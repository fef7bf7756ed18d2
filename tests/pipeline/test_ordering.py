"""Every sort is a permutation; the greedy ones walk to the nearest, the fast one nearly so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.ordering import greedy, grouped, nearest, path_length, sort_features

FEATURES = arrays(
    float, st.tuples(st.integers(1, 40), st.integers(1, 12)), elements=st.floats(-1e3, 1e3)
)


def brute_force_greedy(features):
    path, left = [0], set(range(1, len(features)))
    while left:
        here = features[path[-1]]
        path.append(min(left, key=lambda i: (np.sum((features[i] - here) ** 2), i)))
        left.remove(path[-1])
    return np.array(path)


@settings(deadline=None)
@given(FEATURES, st.sampled_from(["none", "greedy", "grouped", "nearest", "auto"]))
def test_every_sort_is_a_permutation(features, sort):
    path = sort_features(features, sort, group_size=7)
    assert np.array_equal(np.sort(path), np.arange(len(features)))


def test_greedy_is_the_papers_walk():
    for seed in range(5):
        features = np.random.default_rng(seed).normal(size=(60, 3))
        assert np.array_equal(greedy(features), brute_force_greedy(features))


def test_groups_are_walked_greedily_in_a_row():
    features = np.random.default_rng(1).normal(size=(90, 2)) * [10, 1]
    path = grouped(features, 30)
    ranks = np.argsort(np.argsort(features[:, 0]))[path] // 30
    assert len(set(ranks[:25])) == 1
    assert path_length(features, path) < 0.5 * path_length(features, np.arange(90))


@pytest.mark.parametrize("dimensions", [2, 6, 32])
def test_the_fast_sort_is_nearly_as_short_as_greedy(dimensions):
    rng = np.random.default_rng(dimensions)
    features = rng.normal(size=(3000, dimensions)) / np.arange(1, dimensions + 1) ** 1.5
    fast, slow = (path_length(features, sort(features)) for sort in (nearest, greedy))
    assert fast < 1.15 * slow
    assert fast < 0.7 * path_length(features, np.arange(3000))


def test_many_equal_rows_cost_nothing_and_stay_together():
    features = np.repeat(np.arange(5.0)[::-1, None], 4000, axis=0)
    path = nearest(features)
    assert np.count_nonzero(np.diff(features[path, 0])) == 4


def test_bad_features_and_names_are_refused():
    with pytest.raises(ValueError, match="row 1"):
        sort_features(np.array([[0.0], [np.nan]]), "greedy")
    with pytest.raises(ValueError, match="expected one of"):
        sort_features(np.zeros((3, 1)), "bubble")
