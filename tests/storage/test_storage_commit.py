"""Nothing is lost: power loss, kills, several writers of one batch."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import synthetic
from power_loss import Disk, Recorder, lay_out
from synthetic import KEY, make_dataset, make_tree, write_batch

from storage import (
    DataFolder,
    StorageError,
    check_dataset,
    discard_shard,
    files,
    open_dataset,
    read_manifest,
    read_order,
    read_records,
    read_spaces,
    shards,
    write_spaces,
)

SAMPLES, SIZE = 6, 2


def run(root):
    """The writes of a whole small run; the same command after a crash."""
    return make_dataset(root, samples=SAMPLES, shard_size=SIZE, m=2, failed=(1,))


def record_run(root, monkeypatch):
    """Events of a run, with a mark wherever `write_shard` returned."""
    recorder = Recorder()
    original = synthetic.write_shard

    def marked(folder, header, *args, **kwargs):
        record = original(folder, header, *args, **kwargs)
        recorder.events.append(("returned", header.batch))
        return record

    with monkeypatch.context() as patch:
        patch.setattr(files, "os", recorder)
        patch.setattr(synthetic, "write_shard", marked)
        run(root)
    return recorder.events


def violations(place, promised):
    """What is wrong with a folder after a power loss; an empty list if nothing is."""
    folder = DataFolder(place / f"scalar-{KEY}")
    wrong = []
    try:
        records = read_records(folder, KEY)
        for record in records:
            if record.file is not None:
                shard = folder.shards / record.file
                if not shard.exists():
                    wrong.append(f"{record.batch} has no shard")
                elif files.sha256_file(shard) != record.sha256:
                    wrong.append(f"{record.batch} has another shard")
        missing = promised - {record.batch for record in records}
        wrong += [f"{batch} was promised" for batch in missing]
        if folder.spaces.exists():
            read_spaces(folder.spaces, verify=True)
        read_order(folder.order)
        if folder.manifest.exists():
            assert read_manifest(folder)["samples"] == SAMPLES - 1
    except (StorageError, AssertionError) as error:
        wrong.append(repr(error))
    return wrong


def replay(events, root, target):
    """Yield (number of events, folder, what was promised) of every state after every prefix."""
    disk, promised = Disk(), set()
    for count, event in enumerate(events):
        if event[0] == "returned":
            promised.add(event[1])
        disk.apply(event)
        for number, state in enumerate(disk.states()):
            for garbage in (False, True):
                place = target / f"{count}-{number}-{garbage}"
                lay_out(state, str(root), place, garbage)
                yield count, place, set(promised)


def test_power_loss_at_every_point(tmp_path, monkeypatch):
    events = record_run(tmp_path / "run", monkeypatch)
    assert sum(event[0] == "returned" for event in events) == 3
    states, resumed = 0, set()
    for count, place, promised in replay(events, tmp_path / "run", tmp_path / "after"):
        assert not violations(place, promised), (count, events[count][:3], place)
        states += 1
        if count not in resumed and count % 3 == 0:
            resumed.add(count)
            found = check_dataset(run(place))
            assert not [f for f in found if f.severity == "error"], (count, found)
    assert states > 200 and len(resumed) > 20


@pytest.mark.parametrize("broken", ["no file sync", "no folder sync", "record first", "in place"])
def test_the_replay_sees_a_broken_protocol(tmp_path, monkeypatch, broken):
    with monkeypatch.context() as patch:
        if broken == "no file sync":
            patch.setattr(files, "_write_synced", lambda path, data: _plain_write(path, data))
        elif broken == "no folder sync":
            patch.setattr(files, "sync_folder", lambda path: None)
        elif broken == "record first":
            patch.setattr(shards, "commit_record", lambda folder, record: True)
            patch.setattr(shards, "_publish", _record_first)
        else:
            patch.setattr(files, "commit_bytes", _in_place)
        events = record_run(tmp_path / "run", patch)
    states = replay(events, tmp_path / "run", tmp_path / "after")
    assert any(violations(place, promised) for _, place, promised in states)


def _plain_write(path, data):
    file = files.os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    files.os.write(file, data)
    files.os.close(file)


def _in_place(path, data, *, replace):
    _plain_write(path, memoryview(data))
    return True


def _record_first(folder, record, image):
    from storage.records import commit_record

    path = folder.shard(record.segment, record.batch)
    described = shards.replace(record, file=path.name, sha256=files.sha256(image), bytes=len(image))
    commit_record(folder, described)
    files.commit_bytes(path, image, replace=False)
    return described


WRITER = """
    import sys
    sys.path.insert(0, {here!r})
    from pathlib import Path
    from synthetic import make_dataset
    make_dataset(Path({root!r}), samples=400, shard_size=4, m=8)
"""


def start_writer(root):
    code = textwrap.dedent(WRITER.format(here=str(Path(__file__).parent), root=str(root)))
    return subprocess.Popen([sys.executable, "-c", code])


def test_killed_writers_lose_nothing(tmp_path):
    folder = DataFolder(tmp_path / f"scalar-{KEY}")
    chance = random.Random(5)
    for kill in range(5):
        writer = start_writer(tmp_path)
        target, end = len(folder.committed()) + chance.randint(1, 15), time.monotonic() + 60
        while len(folder.committed()) < target and writer.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.001)
        time.sleep(chance.random() * 0.02)
        before = folder.committed()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert before and before <= folder.committed(), kill
        assert not [f for f in check_dataset(folder.path) if f.severity == "error"]
    assert start_writer(tmp_path).wait(60) == 0
    found = check_dataset(folder.path)
    assert [f for f in found if f.code != "shard.orphan"] == []
    assert open_dataset(folder.path).ids.tolist() == list(range(400))


def test_leftovers_of_the_dead_go_and_of_the_living_stay(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    host = files._host()
    gone = tmp_path / f"0000-000001.h5.{host}.{dead.pid}.0123abcd.tmp"
    live = tmp_path / f"0000-000001.h5.{host}.{os.getpid()}.0123abcd.tmp"
    elsewhere = tmp_path / f"0000-000001.h5.not-{host}.{dead.pid}.0123abcd.tmp"
    strange = tmp_path / "notes.tmp"
    for path in (gone, live, elsewhere, strange):
        path.write_bytes(b"half a sh")
    folder = tmp_path / f"out.{host}.{dead.pid}.0123abcd.tmp"  # of an export that was killed
    folder.mkdir()
    assert files.remove_leftovers(tmp_path) == [gone]
    assert set(files.leftovers(tmp_path)) == {live, elsewhere, strange, folder}


def test_a_leftover_that_another_process_removes_first(tmp_path, monkeypatch):
    path = tmp_path / "x.tmp"
    path.touch()
    monkeypatch.setattr(files, "is_abandoned", lambda path: path.unlink() is None)
    assert files.remove_leftovers(tmp_path) == []


def test_leftovers_of_a_killed_writer_nobody_waited_for(tmp_path):
    writer = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    left = tmp_path / f"x.h5.{files._host()}.{writer.pid}.00000000.tmp"
    left.touch()
    assert files.remove_leftovers(tmp_path) == []
    writer.kill()
    time.sleep(0.2)  # it is a zombie now
    assert files.remove_leftovers(tmp_path) == [left]
    writer.wait()


@pytest.fixture
def folder(tmp_path):
    folder = DataFolder(tmp_path / f"scalar-{KEY}")
    folder.create()
    return folder


def write(folder, ids=(4, 2), **options):
    tree = make_tree(m=2)
    digest = write_spaces(folder.spaces, tree)
    return write_batch(folder, "scalar", tree, digest, np.array(ids), 0, **options)


def test_repeating_a_commit_changes_nothing(folder, monkeypatch):
    first = write(folder)
    monkeypatch.delattr(shards, "_image")  # nor is a shard built again
    before = {path: path.stat().st_mtime_ns for path in folder.shards.iterdir()}
    assert write(folder, info={"try": 2}) == first
    assert write(folder, failed=(2,)) == first
    assert before == {path: path.stat().st_mtime_ns for path in folder.shards.iterdir()}
    with pytest.raises(StorageError, match="committed with 2 other ids than the 3 given"):
        write(folder, ids=(4, 2, 9))


def test_shard_of_a_killed_writer_is_not_trusted(folder):
    folder.shard(0, 0).write_bytes(b"half a shard, or a damaged one")
    record = write(folder)
    assert files.sha256_file(folder.shards / record.file) == record.sha256
    assert [path.name for path in folder.shards.glob("*.h5")] == [record.file]


@pytest.mark.parametrize("order", ["first commits", "second commits"])
def test_two_writers_of_one_batch(folder, monkeypatch, order):
    """The second writer runs wholly between the first one's shard and its record, or after."""
    original, results = shards.commit_record, []

    def between(target, record):
        monkeypatch.setattr(shards, "commit_record", original)
        if order == "first commits":
            done = original(target, record)
            results.append(write(folder, failed=(2,)))
            return done
        results.append(write(folder, failed=(2,)))
        return original(target, record)

    monkeypatch.setattr(shards, "commit_record", between)
    results.append(write(folder))
    (record,) = read_records(folder)
    assert results == [record, record]
    assert record.ids == ((4, 2) if order == "first commits" else (4,))
    assert [path.name for path in folder.shards.glob("*.h5")] == [record.file]
    assert files.sha256_file(folder.shards / record.file) == record.sha256


def test_a_commit_taken_back_is_made_again(folder):
    first = write(folder, failed=(2,))
    discard_shard(folder, 0, 0)
    assert read_records(folder) == [] and not list(folder.shards.iterdir())
    assert write(folder).ids == (4, 2) != first.ids
