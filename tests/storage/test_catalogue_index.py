"""The index says what the folders say, whatever happens to it."""

import contextlib
import gc
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import DataFolder, StorageError
from storage.catalogue import FACETS, Catalogue, QueryError, Summary, locate, note, summarise
from storage.catalogue import rows as index_rows
from storage.catalogue.index_file import FILE
from storage.catalogue.rows import Row, in_turn, put
from storage.catalogue.states import data_sets
from storage.catalogue.summary import Entry
from tests.storage.synthetic import make_dataset

SETTLED = 0.08  # seconds after which a change is told apart from the next one


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    for kind in ("scalar", "mixed", "time"):
        make_dataset(root, kind, samples=6, shard_size=3, m=2)
    return root


@pytest.fixture
def root(made, tmp_path):
    shutil.copytree(made, tmp_path / "root")
    time.sleep(SETTLED)
    return tmp_path / "root"


@pytest.fixture
def reads(monkeypatch):
    """Names of the folders that are read."""
    names, read = [], index_rows.read

    def counted(path):
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(index_rows, "read", counted)
    return names


def names(catalogue, query=""):
    return sorted(row.folder for row in catalogue.find(query, limit=None))


def agrees(catalogue, root):
    """Every row is what its folder says, and every folder has a row."""
    folders = sorted(p.name for p in root.iterdir() if not p.name.startswith("."))
    assert names(catalogue) == folders
    for row in catalogue.find(limit=None):
        assert row == summarise(DataFolder(root / row.folder)) == catalogue.get(row.folder)
    return True


def test_folders_are_found_and_not_read_twice(root, reads):
    catalogue = Catalogue(root)
    assert sorted(catalogue.refresh().added) == sorted(reads) == sorted(os.listdir(root))[1:]
    assert agrees(catalogue, root) and catalogue.refresh() == type(catalogue.refresh())()
    assert len(reads) == 3
    assert names(Catalogue(root), "velocity") == ["mixed-0123456789"]


def finalise(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"licence": "MIT"}))


def lose_a_record(folder):
    (folder / "shards" / "0000-000001.json").unlink()


def train(folder):
    (folder / "training" / "spon-1").mkdir(parents=True)
    (folder / "training" / "spon-1" / "report.json").write_text("{}")


def check(folder):
    (folder / "check.json").write_text('{"sound": true, "time": "2099-01-01T00:00:00Z"}')


@pytest.mark.parametrize("change", [finalise, lose_a_record, train, check])
def test_a_changed_folder_is_read_again(root, reads, change):
    catalogue = Catalogue(root)
    catalogue.refresh()
    before = catalogue.get("time-0123456789")
    del reads[:]
    change(root / "time-0123456789")
    assert catalogue.refresh().changed == ("time-0123456789",) and reads == ["time-0123456789"]
    assert agrees(catalogue, root) and catalogue.get("time-0123456789") != before


def test_a_report_in_a_folder_that_was_there_is_noticed(root):
    (root / "time-0123456789" / "training" / "spon-1").mkdir(parents=True)
    time.sleep(SETTLED)
    catalogue = Catalogue(root)
    catalogue.refresh()
    (root / "time-0123456789" / "training" / "spon-1" / "report.json").write_text("{}")
    assert catalogue.refresh().changed and catalogue.get("time-0123456789").trained == 1


def test_changes_within_a_tick_of_the_clock_are_not_missed(root):
    catalogue, path = Catalogue(root), root / "time-0123456789" / "manifest.json"
    text, when = path.read_text(), time.time_ns() + 10**10  # later than any look at it
    for licence in ("AAA", "BBB"):  # of the same size, at the same time
        path.write_text(text.replace('"name": "time"', f'"name": "time", "licence": "{licence}"'))
        os.utime(path, ns=(when, when))
        catalogue.refresh()
        assert catalogue.get("time-0123456789").licence == licence


def test_removed_and_hidden_folders_links_and_files_are_no_rows(root, tmp_path):
    catalogue = Catalogue(root)
    catalogue.refresh()
    shutil.move(root / "mixed-0123456789", tmp_path / "elsewhere")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / ".trash").mkdir()
    shutil.copytree(root / "time-0123456789", root / ".trash" / "time-0123456789")
    (root / "notes.txt").write_text("")
    (root / "empty").mkdir()
    (root / os.fsdecode(b"\xff-0123456789") / "shards").mkdir(parents=True)
    assert catalogue.refresh().removed == ("mixed-0123456789",)
    assert names(catalogue) == ["scalar-0123456789", "time-0123456789"]
    assert catalogue.get("mixed-0123456789") is None
    assert catalogue.rebuild().added == ()


def test_update_brings_one_row_up_to_date(root, reads):
    catalogue = Catalogue(root)
    catalogue.update("time-0123456789")
    assert names(catalogue) == ["time-0123456789"] and reads == ["time-0123456789"]
    shutil.rmtree(root / "time-0123456789")
    catalogue.update("time-0123456789")
    catalogue.update("never-there")
    assert names(catalogue) == []


def test_note_never_makes_an_index_and_never_raises(root):
    note(root / "time-0123456789")
    assert not (root / ".catalogue").exists()
    Catalogue(root)
    note(root / "time-0123456789")
    assert names(Catalogue(root)) == ["time-0123456789"]
    (root / FILE).write_bytes(b"x" * 5000)
    note(root / "scalar-0123456789")
    note("/nowhere/at/all")


def truncated(path):
    os.truncate(path, 4096 * 3 + 100)


def zeroed(path):
    data = bytearray(path.read_bytes())
    data[4096 : len(data)] = bytes(len(data) - 4096)
    path.write_bytes(data)


def garbage(path):
    path.write_bytes(os.urandom(20_000))


def empty(path):
    path.write_bytes(b"")


def foreign(path):
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE entry (id, folder)")


def older(path):
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")


def tables_gone(path):
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE detail")


@pytest.mark.parametrize(
    "damage",
    [truncated, zeroed, garbage, empty, foreign, older, tables_gone],
    ids=lambda d: d.__name__,
)
@pytest.mark.parametrize("open_before", [True, False], ids=["open", "closed"])
def test_a_bad_index_is_made_again_by_itself(root, damage, open_before):
    catalogue = Catalogue(root)
    catalogue.refresh()
    catalogue._index._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if not open_before:
        catalogue._index._connection().close()
        for suffix in ("-wal", "-shm"):
            Path(f"{root / FILE}{suffix}").unlink(missing_ok=True)
    damage(root / FILE)
    catalogue = catalogue if open_before else Catalogue(root)
    if open_before:
        del catalogue._index._local.connection  # as another thread or process finds it
    catalogue.refresh()
    assert agrees(catalogue, root) and catalogue.count("coefficient") == 3
    assert agrees(Catalogue(root), root)


def test_damage_to_the_file_while_it_is_served_doesnt_stop_the_service(root):
    catalogue = Catalogue(root)
    catalogue.refresh()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{root / FILE}{suffix}").unlink()
    garbage(root / FILE)
    assert names(catalogue) == sorted(set(os.listdir(root)) - {".catalogue"})


def test_rebuild_repairs_what_is_wrong_inside(root):
    catalogue = Catalogue(root)
    catalogue.refresh()
    with sqlite3.connect(root / FILE) as connection:
        connection.execute("UPDATE entry SET samples = 999, family = 'wrong'")
        connection.execute("DELETE FROM words")
    connection.close()
    assert catalogue.count("samples=999") == 3
    assert len(catalogue.rebuild().changed) == 3
    assert agrees(catalogue, root) and catalogue.count("solution") == 2


REBUILD = """
import sys, time
from storage.catalogue import Catalogue, rows
read = rows.read
def slow(path):
    print(path.name, flush=True)
    time.sleep(0.3)
    return read(path)
rows.read = slow
import storage.catalogue.index as index
index._CHUNK = 1
Catalogue(sys.argv[1]).rebuild()
"""


def test_a_killed_rebuild_leaves_an_index_that_can_be_used(root):
    Catalogue(root).refresh()
    process = subprocess.Popen([sys.executable, "-c", REBUILD, str(root)], stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.readline()  # one is written, the second is being read
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    catalogue = Catalogue(root)
    assert len(names(catalogue)) == 3
    catalogue.refresh()
    assert agrees(catalogue, root)


def test_readonly_writes_nothing_and_starts_with_the_index_that_is_there(root, reads):
    catalogue = Catalogue(root, readonly=True)
    catalogue.refresh()
    assert catalogue.readonly and agrees(catalogue, root)
    assert not (root / ".catalogue").exists()
    Catalogue(root).refresh()
    before = sorted((p, p.stat().st_mtime_ns) for p in root.rglob("*") if p.suffix != ".sqlite-shm")
    del reads[:]
    second = Catalogue(root, readonly=True)
    assert agrees(second, root) and second.refresh().added == () and not reads
    second.rebuild()
    after = sorted((p, p.stat().st_mtime_ns) for p in root.rglob("*") if p.suffix != ".sqlite-shm")
    assert [p for p, _ in after if not p.name.endswith("-wal")] == [
        p for p, _ in before if not p.name.endswith("-wal")
    ]


def test_a_root_that_isnt_there_stays_so(tmp_path):
    catalogue = Catalogue(tmp_path / "none")
    catalogue.refresh()
    assert catalogue.find() == [] and catalogue.count() == 0 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("with_index", [False, True])
def test_a_read_only_disk_is_listed(disk, made, with_index):
    place = disk("16m")
    shutil.copytree(made, place.path / "root")
    if with_index:
        time.sleep(SETTLED)
        Catalogue(place.path / "root").refresh()
        gc.collect()  # closes the file
    place.remount("ro")
    catalogue = Catalogue(place.path / "root")
    catalogue.refresh()
    assert catalogue.readonly and agrees(catalogue, place.path / "root")


def test_a_disk_that_fills_up_is_listed(disk, made):
    place = disk("4m")
    shutil.copytree(made, place.path / "root")
    (place.path / "root" / ".catalogue").mkdir()
    with contextlib.suppress(OSError):
        (place.path / "full").write_bytes(bytes(1 << 23))
    catalogue = Catalogue(place.path / "root")
    catalogue.refresh()
    assert agrees(catalogue, place.path / "root")


def test_several_threads_share_one(root):
    catalogue, errors = Catalogue(root), []
    catalogue.refresh()

    def work():
        try:
            for _ in range(20):
                assert catalogue.count() == 3 and len(catalogue.find("solution")) == 2
                catalogue.update("time-0123456789")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_a_row_that_is_replaced_while_one_asks_is_found(root, monkeypatch):
    asked, other = Catalogue(root), Catalogue(root)
    asked.refresh()
    before = asked.find("solution")
    read = index_rows.rows

    def replaced_meanwhile(connection, ids):
        for folder in data_sets(root):
            other.update(folder)
        return read(connection, ids)

    monkeypatch.setattr(index_rows, "rows", replaced_meanwhile)
    assert asked.find("solution") == before and len(before) == 2


def test_locate_takes_names_and_beginnings(root):
    assert locate(root, "time-0123456789") == locate(root, "ti") == root / "time-0123456789"
    shutil.copytree(root / "time-0123456789", root / "time-two-0123456789")
    assert locate(root, "time") == root / "time-0123456789"
    with pytest.raises(StorageError, match="2 data sets begin so"):
        locate(root, "tim")
    for bad in ("", "none", "../x", ".catalogue"):
        with pytest.raises(StorageError, match="no data set of that name"):
            locate(root, bad)


values = st.fixed_dictionaries(
    {
        "family": st.sampled_from(["darcy", "heat", ""]),
        "dimension": st.sampled_from([1, 2]),
        "geometry": st.sampled_from(["disc", "square"]),
        "strategy": st.sampled_from(["cg+icc", "gcrodr+ilu"]),
        "status": st.sampled_from(["complete", "failures"]),
        "samples": st.integers(0, 3),
    }
)
chosen = st.fixed_dictionaries(
    {},
    optional={
        "family": st.sampled_from(["DARCY", ["darcy", "heat"], "none", ""]),
        "dimension": st.sampled_from([1, "2", ["1", "2"]]),
        "geometry": st.just("disc"),
        "status": st.sampled_from(["failures", ["complete"], []]),
    },
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(values, max_size=8), chosen, st.sampled_from(["", "samples>1", "word0", "not word1"])
)
def test_facets_count_what_is_there(tmp_path_factory, made_up, wanted, query):
    catalogue = Catalogue(tmp_path_factory.mktemp("none") / "none")
    new = [Summary(folder=f"set{i}", name="", **value) for i, value in enumerate(made_up)]
    entries = [Row("", Entry(row, f"word{row.samples}")) for row in new]
    catalogue._index.run(lambda connection: in_turn(put, entries, connection))
    holds = {
        "": lambda row: True,
        "samples>1": lambda row: row.samples > 1,
        "word0": lambda row: row.samples == 0,
        "not word1": lambda row: row.samples != 1,
    }[query]

    def picked(without=None):
        lists = {k: v if isinstance(v, list) else [v] for k, v in wanted.items() if k != without}
        texts = {k: {str(x).lower() for x in v if x != ""} for k, v in lists.items()}
        return [
            row
            for row in new
            if holds(row) and all(str(getattr(row, k)).lower() in v for k, v in texts.items() if v)
        ]

    assert names(catalogue) == sorted(row.folder for row in new)
    assert {row.folder for row in catalogue.find(query, **wanted)} == {r.folder for r in picked()}
    assert catalogue.count(query, **wanted) == len(picked())
    for name, counts in catalogue.facets(query, **wanted).items():
        expected = [str(getattr(row, name)) for row in picked(without=name)]
        assert dict(counts) == {value: expected.count(value) for value in expected}
        assert [n for _, n in counts] == sorted((n for _, n in counts), reverse=True)


def test_unknown_facets_are_refused(root):
    catalogue = Catalogue(root)
    assert set(catalogue.facets()) == set(FACETS)
    for method in (catalogue.find, catalogue.count, catalogue.facets):
        with pytest.raises(QueryError, match="facet 'colour'"):
            method(colour="red")


def test_pages_follow_each_other(root):
    catalogue = Catalogue(root)
    catalogue.refresh()
    whole = [row.folder for row in catalogue.find(sort="folder", limit=None)]
    pages = [catalogue.find(sort="folder", limit=1, offset=i)[0].folder for i in range(3)]
    assert whole == pages == sorted(whole) and catalogue.find(limit=1, offset=3) == []


def test_many_data_sets_are_not_all_looked_at(root, reads, monkeypatch):
    monkeypatch.setattr("storage.catalogue.index._FEW", 2)
    catalogue = Catalogue(root)
    assert len(catalogue.catch_up().added) == 3  # a new index: like `refresh`
    time.sleep(SETTLED)
    catalogue.catch_up()  # the index's own folder was new in the root
    finalise(root / "time-0123456789")
    scans = []
    monkeypatch.setattr(
        "storage.catalogue.index.data_sets", lambda *a: scans.append(a) or data_sets(*a)
    )
    del reads[:]
    assert catalogue.catch_up() == type(catalogue.catch_up())()
    assert not reads and not scans  # the root is as it was
    shutil.copytree(root / "time-0123456789", root / "copy-0123456789")
    shutil.rmtree(root / "mixed-0123456789")
    found = catalogue.catch_up()
    assert found.added == ("copy-0123456789",) and found.removed == ("mixed-0123456789",)
    assert reads == ["copy-0123456789"] and scans
    assert "time-0123456789" in catalogue.refresh().changed
    assert agrees(catalogue, root)


@pytest.mark.parametrize(
    "altered",
    [
        "UPDATE entry SET name = NULL",
        "UPDATE entry SET samples = 'many'",
        "CREATE VIEW more AS SELECT 1",
        "CREATE TRIGGER t AFTER DELETE ON entry BEGIN DELETE FROM words; END",
        "ALTER TABLE entry ADD COLUMN more TEXT",
    ],
)
def test_an_index_that_came_with_a_root_is_not_trusted(root, altered):
    Catalogue(root).refresh()
    with contextlib.closing(sqlite3.connect(root / ".catalogue" / "index.sqlite")) as file:
        file.execute(altered)
        file.commit()
    catalogue = Catalogue(root, readonly=True)
    assert catalogue.count() == 0
    catalogue.refresh()
    assert agrees(catalogue, root)
