"""A lost `order.h5` is rebuilt from the records, and never contradicts them."""

import numpy as np
import pytest

from storage import (
    DamagedFile,
    Record,
    append_segment,
    files,
    read_order,
    rebuild_order,
    set_path,
)


def record(segment, batch, ids, failures=()):
    failed = tuple({"id": i, "reason": "none"} for i in failures)
    return Record("key", segment, batch, tuple(ids), failed, None, None, 0, "hash")


def test_committed_batches_keep_their_numbers_and_ids(tmp_path):
    records = [record(0, 0, [3, 1]), record(0, 2, [5], [4]), record(1, 1, [9, 7])]
    rebuild_order(tmp_path / "order.h5", records)
    first, second = read_order(tmp_path / "order.h5")
    assert [set(first.batch_ids(b).tolist()) for b in range(3)] == [{1, 3}, set(), {4, 5}]
    assert [set(second.batch_ids(b).tolist()) for b in range(2)] == [set(), {7, 9}]
    added = append_segment(tmp_path / "order.h5", np.array([0, 2, 6]))
    assert added.index == 2
    set_path(tmp_path / "order.h5", 2, [2, 0, 1], [0, 2, 3])


def test_no_records_no_file(tmp_path):
    rebuild_order(tmp_path / "order.h5", [])
    assert read_order(tmp_path / "order.h5") == []


def test_a_segment_that_left_no_record_is_said(tmp_path):
    with pytest.raises(DamagedFile, match="segment 0 has no record"):
        rebuild_order(tmp_path / "order.h5", [record(1, 0, [1])])


def test_a_kill_leaves_no_half_of_an_order(tmp_path, monkeypatch):
    """Half an order would pass for the whole: all segments come in one write."""
    path, written = tmp_path / "order.h5", []
    commit = files.commit_bytes

    def killed(*args, **kwargs):
        commit(*args, **kwargs)
        written.append(len(read_order(path)))

    monkeypatch.setattr(files, "commit_bytes", killed)
    rebuild_order(path, [record(0, 0, [3, 1]), record(1, 0, [2])])
    assert written == [2]
    before = path.read_bytes()
    rebuild_order(path, [record(0, 0, [7])])  # another run was first
    assert path.read_bytes() == before
