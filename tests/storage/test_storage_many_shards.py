"""What is done once a data set, once a shard, or by several processes, must stay so."""

import json
import os
import pickle
import shutil
import signal
import sys
from multiprocessing import parent_process
from pathlib import Path

import h5py
import numpy as np
import pytest

import storage
from storage import (
    DamagedFile,
    DamagedShard,
    DataFolder,
    FormatMismatch,
    build_manifest,
    files,
    open_dataset,
    read_manifest,
    read_records,
)
from storage.ids import ascending, pack_ids, unpack_many
from storage.processes import each
from tests.storage.synthetic import KEY, make_dataset

pytestmark = pytest.mark.timeout(120)
COMMON = {"name": "scalar", "data_key": KEY, "rtol": 1e-8}
DEFINITIONS = {
    "rough": {
        "description": "",
        "inputs": ["a"],
        "outputs": None,
        "seed": 3,
        "fractions": {"train": 0.6, "test": 0.4},
        "ood": "std(a) > 0.5",
    }
}
_heard: list[list[str]] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if _heard and event in ("open", "os.listdir", "os.scandir"):
        _heard[0].append(f"{event} {arguments[0]}")


sys.addaudithook(_hear)  # for the whole process, silent while nobody listens


def opened_by(work) -> tuple[object, set[str]]:
    """What `work` returns, and which files and folders were opened meanwhile."""
    _heard.append([])
    try:
        return work(), set(_heard[0])
    finally:
        _heard.clear()


def test_opening_looks_at_the_manifest_alone_whatever_the_number_of_shards(tmp_path):
    few = make_dataset(tmp_path / "few", samples=8, shard_size=4)
    many = make_dataset(tmp_path / "many", samples=60, shard_size=1)
    shutil.rmtree(many / "shards")
    (many / "shards").mkdir()  # not one shard or record is there to be looked at
    for folder, samples in ((few, 8), (many, 60)):
        ds, opened = opened_by(lambda folder=folder: open_dataset(folder))
        assert len(ds) == len(ds.ids) == samples
        assert opened == {f"open {folder / 'manifest.json'}"}
        assert len(ds.split("train")) == ds.manifest["splits"]["counts"]["train"]


def test_records_of_some_batches_are_read_alone(tmp_path):
    folder = DataFolder(make_dataset(tmp_path, samples=24, shard_size=4))
    folder.record(0, 0).write_text("no record")  # would be told of if it were read
    with pytest.raises(DamagedShard):
        read_records(folder)
    some, opened = opened_by(lambda: read_records(folder, KEY, {(0, 4), (0, 2), (7, 7)}))
    assert [(record.segment, record.batch) for record in some] == [(0, 2), (0, 4)]
    assert sum(name.endswith(".json") for name in opened) == 2


@pytest.mark.parametrize("kind", ["scalar", "time"])
def test_the_manifest_is_the_same_from_any_number_of_processes(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("storage.dataset._WORTH", 1)
    path = make_dataset(tmp_path, kind, samples=40, shard_size=7, failed=(3, 11))
    folder, found = DataFolder(path), []
    started = _count_pools(monkeypatch)
    for workers in (1, 2):
        build_manifest(folder, COMMON, split_seed=1, definitions=DEFINITIONS, workers=workers)
        with h5py.File(folder.scalars) as file:
            scalars = {name: file[name][()].tobytes() for name in file}
        found.append((folder.manifest.read_bytes(), scalars, dict(started)))
    assert found[0][:2] == found[1][:2]
    assert found[0][2] == {} and found[1][2] == {2: 2}  # for the data set, for its definition
    statistics = json.loads(found[0][0])["statistics"]["fields"]["a"]
    values = open_dataset(path).split("train").read("a")
    assert np.isclose(statistics["mean"], values.mean(), rtol=1e-12)
    assert np.isclose(statistics["std"], values.std(), rtol=1e-12)


def _count_pools(monkeypatch) -> dict[int, int]:
    """How many pools of how many processes are started."""
    import storage.processes as processes

    started: dict[int, int] = {}
    pool = processes.pool

    def counted(work, workers):
        started[workers] = started.get(workers, 0) + 1
        return pool(work, workers)

    monkeypatch.setattr(processes, "pool", counted)
    return started


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_shard_makes_no_manifest(workers, tmp_path, monkeypatch):
    monkeypatch.setattr("storage.dataset._WORTH", 1)
    folder = DataFolder(make_dataset(tmp_path, samples=24, shard_size=4, finalise=False))
    shard = folder.shard(0, 3)
    image = bytearray(shard.read_bytes())
    image[-9] ^= 1
    shard.write_bytes(image)
    with pytest.raises(DamagedShard, match=rf"{shard.name}: its SHA-256 is not"):
        build_manifest(folder, COMMON, workers=workers)
    assert not folder.manifest.exists() and not folder.scalars.exists()


def test_a_shard_is_read_for_its_checksum_once(tmp_path, monkeypatch):
    folder = DataFolder(make_dataset(tmp_path, samples=24, shard_size=4, finalise=False))
    hashed: list[Path] = []
    digest = files.sha256_file

    def noted(path: Path) -> str:
        hashed.append(path)
        return digest(path)

    monkeypatch.setattr(files, "sha256_file", noted)
    build_manifest(folder, COMMON)
    first, *others = [folder.shard(0, batch) for batch in range(6)]
    assert sorted(hashed) == [first, first, *others]  # the first once before its columns are read


def _square(number: int) -> tuple[int, int]:
    return number**2, os.getpid()


def _die_at_seven(number: int) -> int:
    if number == 7 and parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return -number


def _refuse_five(number: int) -> int:
    if number == 5:
        raise DamagedShard("five")
    return number


def test_each_item_is_worked_on_once_and_in_order():
    found = list(each(_square, range(20), 2))
    assert [square for square, _ in found] == [k**2 for k in range(20)]
    assert os.getpid() not in {pid for _, pid in found}
    assert {pid for _, pid in each(_square, range(20), 2, least=11)} == {os.getpid()}
    assert list(each(_square, [], 4)) == []


def test_what_a_killed_process_left_is_done_here():
    assert list(each(_die_at_seven, range(12), 2)) == [-k for k in range(12)]


def test_what_fails_elsewhere_fails_here():
    with pytest.raises(DamagedShard, match="five"):
        list(each(_refuse_five, range(12), 2))


@pytest.mark.parametrize(
    "ids", [[], [3], [2, 0, 1], [10**15, 5, 7], [4, 4, 0, 1], [-2, 5, 0], [9, 0, 30, 2]]
)
def test_ids_are_put_in_ascending_order(ids):
    array = np.array(ids, dtype=np.int64)
    assert np.array_equal(array[ascending(array)], np.sort(array))


def test_packed_lists_are_unpacked_wherever_the_pairs_are():
    rng = np.random.default_rng(0)
    parts = [rng.permutation(50) for _ in range(20)] + [np.arange(5, 90), np.array([1, 2, 3, 9])]
    order = rng.permutation(len(parts))
    packed = [pack_ids(parts[k]) for k in order]
    ids, sizes = unpack_many(packed)
    assert ids.tolist() == [i for k in order for i in parts[k].tolist()]
    assert sizes.tolist() == [len(parts[k]) for k in order]
    with pytest.raises(ValueError):
        unpack_many([[1, 2], [[0, 3]], ["x"]])


@pytest.fixture
def long(tmp_path, monkeypatch):
    """A data set whose manifest is opened as a long one is, with ids in no order."""
    monkeypatch.setattr("storage.listed._LONG", 0)
    return make_dataset(tmp_path, samples=60, shard_size=5)


def parsed(folder) -> object:
    """The data set as opened from the whole manifest."""
    return storage.Dataset.from_manifest(DataFolder(folder), read_manifest(DataFolder(folder)))


def test_a_long_manifest_says_what_a_short_one_says(long):
    fast, slow = open_dataset(long), parsed(long)
    assert fast._source.whole is not None and slow._source.whole is None
    for ds in (fast, pickle.loads(pickle.dumps(fast))):
        assert ds.manifest == slow.manifest and ds.statistics == slow.statistics
        assert np.array_equal(ds.ids, slow.ids) and ds.digest == slow.digest
        assert [ds.shard_of(k) for k in range(60)] == [slow.shard_of(k) for k in range(60)]
        for name in ("u", "samples/order"):
            assert np.array_equal(ds.read(name), slow.read(name))
        assert np.array_equal(ds.split("test").ids, slow.split("test").ids)


def test_a_long_manifest_with_runs_or_definitions_is_understood(long):
    folder = DataFolder(long)
    build_manifest(folder, COMMON, split_seed=1, definitions=DEFINITIONS)
    fast, slow = open_dataset(long), parsed(long)
    for split in ("rough/train", "rough/ood"):
        assert np.array_equal(fast.split(split).ids, slow.split(split).ids)
    assert fast.define("rough").statistics == slow.define("rough").statistics
    manifest = json.loads(folder.manifest.read_text())
    manifest["shards"][0]["ids"] = pack_ids(range(100, 105))
    folder.manifest.write_text(json.dumps(manifest))
    assert open_dataset(long)._source.whole is None
    assert np.array_equal(open_dataset(long).ids, parsed(long).ids)


def test_damage_in_a_long_manifest_is_seen_like_that_in_a_short_one(long):
    folder, rng = DataFolder(long), np.random.default_rng(0)
    sound = folder.manifest.read_bytes()
    begin, end = sound.index(b'"shards"'), len(sound)
    odd = list(b'[]{},:"0123456789 -.eE\x00\xff')
    for k in range(400):
        image = bytearray(sound)
        place = rng.integers(begin if k % 2 else 0, end)
        image[place] = rng.choice(odd) if k % 3 else rng.integers(256)
        folder.manifest.write_bytes(image)
        assert outcome(lambda: open_dataset(long)) == outcome(lambda: parsed(long)), (place, image)


def outcome(work) -> object:
    """What a data set says of itself, or that it is damaged."""
    try:
        ds = work()
        return ds.ids.tolist(), ds.manifest, [ds.shard_of(k) for k in range(len(ds))]
    except (DamagedFile, FormatMismatch) as error:
        return type(error)
