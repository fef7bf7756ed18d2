"""Joining data sets of one key: each sample once, stored rather than failed, nothing altered."""

import dataclasses

import numpy as np
import pytest
import synthetic

from storage import (
    DamagedShard,
    DataFolder,
    RevisionMismatch,
    ShardHeader,
    StorageError,
    append_segment,
    build_manifest,
    check_dataset,
    open_dataset,
    read_order,
    read_records,
    set_path,
    write_shard,
    write_spaces,
)
from storage.merge import merge

COLUMNS = ("a", "u", "c", "solve/true_residual")


def part(root, ids, failed=(), key=synthetic.KEY, m=4, shard_size=4, **options):
    """A data set of some ids, of one segment."""
    folder = DataFolder(root)
    folder.create()
    tree = synthetic.make_tree("scalar", m)
    digest = write_spaces(folder.spaces, tree)
    ids = np.array(ids)
    append_segment(folder.order, ids)
    path = np.random.default_rng(len(ids)).permutation(len(ids))
    segment = set_path(folder.order, 0, path, [*range(0, len(ids), shard_size), len(ids)])
    for batch in range(segment.batches):
        every = segment.batch_ids(batch)
        good = np.array([i for i in every if i not in failed], dtype=np.int64)
        columns = {"samples/id": good}
        if len(good):
            columns = synthetic.make_columns("scalar", tree, good)
        lost = [{"id": int(i), "reason": "made to fail"} for i in every if i in failed]
        header = ShardHeader(key, 0, batch, digest)
        write_shard(folder, header, columns, {}, lost, **options)
    return root


def joined(target):
    folder = DataFolder(target)
    common = {"data_key": synthetic.KEY, "rtol": 1e-8}
    build_manifest(folder, common)
    errors = [f for f in check_dataset(target) if f.severity == "error"]
    assert not errors
    return open_dataset(target)


def test_each_sample_is_there_once_and_the_same(tmp_path):
    parts = [part(tmp_path / "a", range(0, 11)), part(tmp_path / "b", range(7, 23))]
    assert merge(parts, tmp_path / "whole") == 23
    ds, left, right = joined(tmp_path / "whole"), *map(open_dataset, parts)
    assert np.array_equal(ds.ids, np.arange(23))
    for source in (left, right):
        for name in COLUMNS:
            assert np.array_equal(ds.select(source.ids).read(name), source.read(name))
    segments = read_order(DataFolder(tmp_path / "whole").order)
    assert [len(s.ids) for s in segments] == [11, 12]
    assert len(open_dataset(parts[1])) == 16  # sources stay as they were


def test_a_sample_that_failed_elsewhere_is_stored(tmp_path):
    parts = [part(tmp_path / "a", range(8), failed={2, 5}), part(tmp_path / "b", [5, 9, 2 + 20])]
    merge(parts, tmp_path / "whole")
    ds = joined(tmp_path / "whole")
    assert set(ds.ids) == {0, 1, 3, 4, 5, 6, 7, 9, 22}
    assert [f["id"] for f in ds.manifest["failures"]] == [2]


def test_type_and_filter_are_kept(tmp_path):
    options = {"dtype": np.float32, "filter": "shuffle+gzip"}
    parts = [part(tmp_path / "a", [0, 1], **options), part(tmp_path / "b", [2], **options)]
    merge(parts, tmp_path / "whole")
    ds = joined(tmp_path / "whole")
    assert ds.read("u").dtype == np.float32
    sizes = [record.bytes for record in read_records(DataFolder(tmp_path / "whole"))]
    assert sizes[0] == read_records(DataFolder(parts[0]))[0].bytes


@pytest.mark.parametrize(
    ("other", "said"), [({"key": "ab" * 5}, "data keys differ"), ({"m": 5}, "spaces.h5 differ")]
)
def test_what_does_not_belong_together_is_refused(tmp_path, other, said):
    parts = [part(tmp_path / "a", [0, 1]), part(tmp_path / "b", [2, 3], **other)]
    with pytest.raises(RevisionMismatch, match=said):
        merge(parts, tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def test_a_damaged_source_is_refused(tmp_path):
    parts = [part(tmp_path / "a", [0, 1]), part(tmp_path / "b", [2, 3])]
    shard = next((parts[1] / "shards").glob("*.h5"))
    data = bytearray(shard.read_bytes())
    data[-9] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DamagedShard, match="SHA-256"):
        merge(parts, tmp_path / "whole")


def test_a_folder_in_use_is_refused(tmp_path):
    parts = [part(tmp_path / "a", [0, 1]), part(tmp_path / "b", [2, 3])]
    with pytest.raises(StorageError, match="holds something"):
        merge(parts, parts[0])
    assert dataclasses.asdict(read_records(DataFolder(parts[0]))[0])["ids"] in ((0, 1), (1, 0))
