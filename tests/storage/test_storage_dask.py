"""A field as a Dask array is the field, block by block."""

import pickle

import numpy as np
import pytest
from synthetic import make_dataset

from storage import open_dataset
from storage.loading import dask_arrays


@pytest.mark.parametrize("kind", ["scalar", "time", "mixed"])
def test_blocks_are_the_field(tmp_path, kind, monkeypatch):
    dataset = open_dataset(make_dataset(tmp_path, kind, samples=24, shard_size=8))
    name = dataset.outputs[0]
    expected = dataset.read(name)
    monkeypatch.setattr(dask_arrays, "_BLOCK_BYTES", 5 * expected[0].nbytes)
    lazy = dataset.dask(name)
    assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
    assert lazy.numblocks[0] == -(-len(dataset) // 5)
    assert np.array_equal(lazy.compute(), expected, equal_nan=True)
    mean = pickle.loads(pickle.dumps(lazy.mean(axis=0))).compute()
    assert np.allclose(mean, expected.mean(axis=0), equal_nan=True)


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(KeyError, match="nothing"):
        open_dataset(make_dataset(tmp_path)).dask("nothing")
