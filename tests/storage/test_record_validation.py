"""A record that says something impossible is no record, and batches don't share files."""

import json

import pytest
from synthetic import make_dataset

from storage import DamagedShard, DataFolder, discard_shard, read_record

NAME = "0000-000000"


@pytest.fixture
def folder(tmp_path):
    return DataFolder(make_dataset(tmp_path, "scalar"))


@pytest.mark.parametrize(
    "change",
    [
        {"file": "0000-000001.h5"},
        {"file": "0000-000000-00000000.h5"},
        {"file": "a\0b.h5"},
        {"file": "9" * 300 + ".h5"},
        {"sha256": None},
        {"spaces_hash": None},
        {"data_key": ["key"]},
        {"info": 5},
        {"bytes": True},
        {"bytes": -1},
        {"ids": [-1]},
        {"ids": [0.5]},
        {"failures": [{"id": 99}]},
        {"failures": [{"id": "99", "reason": "none"}]},
    ],
    ids=str,
)
def test_what_no_writer_writes_is_refused(folder, change):
    path = folder.shards / f"{NAME}.json"
    value = json.loads(path.read_text())
    assert read_record(path).file == f"{NAME}.h5"
    path.write_text(json.dumps(value | change))
    with pytest.raises(DamagedShard, match=NAME):
        read_record(path)


def test_a_second_writers_name_is_fine(folder):
    path = folder.shards / f"{NAME}.json"
    value = json.loads(path.read_text())
    name = f"{NAME}-{value['sha256'][:8]}.h5"
    path.write_text(json.dumps(value | {"file": name}))
    assert read_record(path).file == name


def test_batches_whose_numbers_begin_alike_are_apart(folder):
    """Batch 100000 has six digits, batch 1000000 seven."""
    names = ["0000-100000.json", "0000-100000.h5", "0000-100000-0a1b2c3d.h5"]
    for name in (*names, "0000-1000000.h5"):
        (folder.shards / name).write_bytes(b"")
    found = [path.name for path in folder.batch_files("0000-100000")]
    assert found == names
    discard_shard(folder, 0, 100000)
    assert folder.batch_files("0000-100000") == [] and folder.batch_files("0000-1000000")
