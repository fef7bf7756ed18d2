"""A data set that an earlier version wrote stays readable, and means the same.

`format1/` was written by commit 8fed105 (`rekrylov run examples/darcy.yaml --set samples=12 --set
mesh.resolution=4 --set storage.shard_size=5 --set train=null --set name=format1`, without its
previews) and is never written again. When the format changes it is what the migration is tried on.
"""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from storage import DataFolder, check_dataset, open_dataset

OLD = Path(__file__).parent / "format1" / "format1-85c7079fff"
SUMS = {"a": 312.0519559923083, "u": 5.469563262004405}


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(OLD, tmp_path / OLD.name))


def test_it_reads_as_the_files_say():
    ds = open_dataset(OLD)
    assert ds.manifest["format"] == 1 and len(ds) == 12
    for shard in ds.manifest["shards"]:
        with h5py.File(OLD / "shards" / shard["file"]) as file:
            ids = file["samples/id"][()]
            for name in ("a", "u"):
                column = f"inputs/{name}" if name == "a" else f"outputs/{name}"
                assert np.array_equal(ds.select(ids).read(name), file[column][()])
    assert {name: len(ds.split(name)) for name in ("train", "validation", "test")} == {
        name: count for name, count in ds.manifest["splits"]["counts"].items()
    }


def test_its_numbers_are_those_of_then():
    ds = open_dataset(OLD)
    for name, total in SUMS.items():
        assert ds.read(name).sum() == pytest.approx(total, rel=1e-14)
    assert ds.function("u", 3).space["dim"] == 25
    assert "mean(a)" in ds.scalars  # derived files are newer than the set: they are computed


def test_it_is_sound(copy):
    assert not [f for f in check_dataset(copy) if f.severity == "error"]
    assert not DataFolder(copy).scalars.exists()
