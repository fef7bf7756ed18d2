"""Every sort is a permutation; the greedy ones walk to the nearest, the fast one is as short."""

import hashlib
import os
import subprocess
import sys
import sysconfig

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.ordering import greedy, grouped, nearest, path_length, sort_features

SORTS = ["none", "greedy", "grouped", "nearest", "auto"]
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 12))
FEATURES = arrays(float, SHAPES, elements=st.floats(-1e3, 1e3))
WITH_TIES = arrays(float, SHAPES, elements=st.integers(-2, 2).map(float))


def brute_force_greedy(features):
    path, left = [0], set(range(1, len(features)))
    while left:
        here = features[path[-1]]
        path.append(min(left, key=lambda i: (np.sum((features[i] - here) ** 2), i)))
        left.remove(path[-1])
    return np.array(path)


def fields(n, d, seed):
    """Rows with a falling spectrum, as those of smooth random fields."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) / np.arange(1, d + 1) ** 1.5


@settings(deadline=None)
@given(FEATURES | WITH_TIES, st.sampled_from(SORTS))
def test_every_sort_is_a_permutation(features, sort):
    path = sort_features(features, sort, group_size=7)
    assert np.array_equal(np.sort(path), np.arange(len(features)))


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(200, 900), st.integers(0, 99), st.booleans())
def test_a_long_near_linear_path_is_a_permutation(d, n, seed, ties):
    features = fields(n, d, seed)
    path = nearest(np.round(features, 1) if ties else features)
    assert np.array_equal(np.sort(path), np.arange(n))


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
def test_the_fast_sort_is_shorter_than_greedy(dimensions):
    features = fields(3000, dimensions, dimensions)
    fast, slow = (path_length(features, sort(features)) for sort in (nearest, greedy))
    assert fast < 0.99 * slow
    assert fast < 0.7 * path_length(features, np.arange(3000))


def test_a_path_in_the_plane_is_near_the_shortest():
    """The shortest tour of n uniform points has length 0.7124 √(n area) (Johnson & McGeoch)."""
    points = np.random.default_rng(2).uniform(size=(20_000, 2))
    assert path_length(points, nearest(points)) < 1.08 * 0.7124 * np.sqrt(20_000)


def test_many_equal_rows_cost_nothing_and_stay_together():
    features = np.repeat(np.arange(5.0)[::-1, None], 4000, axis=0)
    path = nearest(features)
    assert np.count_nonzero(np.diff(features[path, 0])) == 4
    within = np.diff(path)[np.diff(features[path, 0]) == 0]
    assert np.all(within == 1)  # equal rows in the order of their indices


@pytest.mark.parametrize("sort", SORTS)
def test_equal_rows_alone_keep_their_order(sort):
    assert np.array_equal(sort_features(np.ones((50, 3)), sort), np.arange(50))


@pytest.mark.parametrize("sort", ["greedy", "nearest"])
def test_neither_unit_nor_origin_matters(sort):
    features = fields(400, 5, 0)
    path = sort_features(features, sort)
    assert np.array_equal(sort_features(features * 2.0**900, sort), path)
    assert np.array_equal(sort_features(features * 2.0**-900, sort), path)


SCRIPT = """
import sys, numpy as np
from pipeline.ordering import Sketch, sort_features
rng = np.random.Generator(np.random.PCG64(3))
rows = rng.integers(-10**6, 10**6, (1500, 600)) * 2.0**-20 / np.arange(1, 601)
found = [sort_features(rows[:, :40], "greedy"), sort_features(rows, "nearest")]
sys.stdout.buffer.write(b"".join(path.tobytes() for path in found))
"""
MACHINES = {
    "as it is": {"OMP_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "an old processor": {
        "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3",
    },
}


def other_compiler(folder, options):
    """A compiler for another processor: options that come last count."""
    folder.mkdir()
    script = folder / "cc"
    script.write_text(f'#!/bin/sh\nexec {sysconfig.get_config_var("CC")} "$@" {options}\n')
    script.chmod(0o700)
    return {"CC": str(script), "XDG_CACHE_HOME": str(folder)}


def run_script(settings_):
    """Outside MPI, as it starts MPI itself."""
    outer = ("PMI", "HYD", "MPI_LOCAL", "CC")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(outer)}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env=clean | settings_,
        capture_output=True,
        timeout=120,
    )


def test_the_path_is_the_same_on_other_machines(tmp_path):
    digests = {}
    for name, settings_ in MACHINES.items():
        if "old" in name:
            settings_ = settings_ | other_compiler(tmp_path / "old", "-march=x86-64 -O1")
        done = run_script(settings_)
        assert done.returncode == 0, done.stderr.decode()
        assert len(done.stdout) == 2 * 8 * 1500
        digests[name] = hashlib.sha256(done.stdout).hexdigest()
    assert len(set(digests.values())) == 1, digests


def test_without_a_compiler_another_sort_is_named(tmp_path):
    done = run_script({"CC": "/no/such/cc", "XDG_CACHE_HOME": str(tmp_path)})
    assert done.returncode != 0
    last = done.stderr.decode().strip().splitlines()[-1]
    assert "KernelError" in last and "/no/such/cc" in last and "take order.sort grouped" in last


def test_bad_features_and_names_are_refused():
    with pytest.raises(ValueError, match="row 1"):
        sort_features(np.array([[0.0], [np.nan]]), "greedy")
    with pytest.raises(ValueError, match="expected one of"):
        sort_features(np.zeros((3, 1)), "bubble")
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        sort_features(np.zeros(3))
