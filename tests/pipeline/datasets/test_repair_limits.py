"""What a repair leaves alone: ids that the data set never had, and sound batches."""

import json
import shutil

import pytest
from corruptions import DARCY, other_spaces

from pipeline import stages
from pipeline.spec import parse_spec
from pipeline.stages.merge import merge
from pipeline.stages.repair import repair
from storage import DataFolder, append_segment, open_dataset, read_spaces, set_path

SMALL = DARCY | {"samples": 4, "definitions": {}, "storage": {"shard_size": 2}}


def make(root, **changes):
    spec = parse_spec(json.loads(json.dumps(SMALL | changes)))
    stages.solve(spec, root, quiet=True)
    (path,) = root.iterdir()
    stages.finalise(spec, DataFolder(path))
    return path


@pytest.fixture
def small(tmp_path):
    return make(tmp_path / "small")


def test_what_lies_between_merged_parts_is_not_solved(small, tmp_path):
    other = make(tmp_path / "other", first=10)
    target = tmp_path / small.name
    merge([small, other], target, quiet=True)
    (target / "shards/0000-000000.h5").unlink()
    (target / "shards/0001-000001.json").unlink()
    result = repair(DataFolder(target))
    assert result.sound and "solved 2 batches again" in result.done
    assert open_dataset(target, verify=True).ids.tolist() == [0, 1, 2, 3, 10, 11, 12, 13]


def test_nothing_is_set_aside_where_the_spaces_have_another_key(small, tmp_path):
    small = shutil.copytree(small, tmp_path / small.name)  # the original's files are open
    other_spaces(small, read_spaces(small / "spaces.h5") | {"data_key": "f" * 64})
    before = {path.name: path.read_bytes() for path in (small / "shards").iterdir()}
    result = repair(DataFolder(small))
    assert not result.sound and result.unrepaired and result.aside is None
    assert {path.name: path.read_bytes() for path in (small / "shards").iterdir()} == before


def test_what_does_not_help_is_not_done_again(small):
    """Open batches of ids that the last run didn't ask for stay open."""
    append_segment(small / "order.h5", [500, 501])
    set_path(small / "order.h5", 1, [0, 1], [0, 2])
    result = repair(DataFolder(small))
    assert result.sound and open_dataset(small).ids.tolist() == [0, 1, 2, 3]
    assert len(result.done) == len(set(result.done))
