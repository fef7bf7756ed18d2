"""Splits and the order file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import (
    DamagedFile,
    StorageError,
    append_segment,
    read_features,
    read_order,
    set_path,
    split_ids,
    split_values,
)

SEEDS = st.integers(-(2**63), 2**64 - 1)
IDS = st.lists(st.integers(0, 2**62), unique=True, max_size=60)


@settings(deadline=None)
@given(ids=IDS, more=IDS, seed=SEEDS, train=st.floats(0, 1))
def test_splits_are_disjoint_complete_and_stable(ids, more, seed, train):
    fractions = {"train": train, "validation": (1 - train) / 2, "test": (1 - train) / 2}
    parts = split_ids(ids, seed, fractions)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == sorted(ids)
    grown = split_ids(sorted({*ids, *more}), seed, fractions)
    for name, part in parts.items():
        assert np.isin(part, grown[name]).all()


def test_split_values_are_fixed_and_uniform():
    # SplitMix64 by plain integers; the format promises these values.
    def mix(z):
        z = (z + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    for seed in (0, 1, 12345):
        expected = [(mix((mix(seed) + i) % 2**64) >> 11) * 2.0**-53 for i in range(50)]
        assert split_values(range(50), seed).tolist() == expected
    assert mix(0) == 0xE220A8397B1DCDAF  # first output of the published generator, seed 0
    u = split_values(np.arange(100_000), 7)
    counts = np.histogram(u, bins=20, range=(0, 1))[0]
    assert np.all(np.abs(counts - 5000) < 5 * np.sqrt(5000))
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.02


def test_bad_fractions():
    with pytest.raises(ValueError, match="add up to at most 1"):
        split_ids([1], 0, {"a": 0.7, "b": 0.7})
    assert split_ids([1, 2, 3], 0, {"a": 0.0, "b": 1.0})["b"].tolist() == [1, 2, 3]


def test_order_grows_and_never_changes(tmp_path):
    path = tmp_path / "order.h5"
    assert read_order(path) == []
    features = np.random.default_rng(0).random((5, 2))
    append_segment(path, range(5), features)
    first = set_path(path, 0, [4, 0, 3, 1, 2], [0, 2, 5])
    again = set_path(path, 0, [0, 1, 2, 3, 4], [0, 5])
    assert again.path.tolist() == first.path.tolist() and again.batches == 2
    assert append_segment(path, range(5)).index == 0
    append_segment(path, [9, 7])
    one, two = read_order(path)
    assert one.batch_ids(1).tolist() == [3, 1, 2] and two.path is None and two.batches == 0
    np.testing.assert_array_equal(read_features(path, 0), features)
    assert read_features(path, 1) is None
    with pytest.raises(StorageError, match="already holds 1 of the ids"):
        append_segment(path, [9, 10])
    with pytest.raises(ValueError, match="no permutation"):
        set_path(path, 1, [0, 0], [0, 2])
    with pytest.raises(ValueError, match="must ascend"):
        set_path(path, 1, [1, 0], [0, 1])
    with pytest.raises(StorageError, match="no path yet"):
        two.positions(0)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DamagedFile, match=r"order.h5: is damaged"):
        read_order(path)
