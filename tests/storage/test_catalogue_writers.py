"""Several processes may write to one index at once, and none loses what another wrote."""

import multiprocessing as mp
import shutil
import time

import pytest

from storage import DataFolder
from storage.catalogue import Catalogue, summarise
from tests.storage.synthetic import make_dataset

WORKERS, EACH = 3, 6
SPAWN = mp.get_context("spawn")


@pytest.fixture
def root(tmp_path):
    made = make_dataset(tmp_path / "made", samples=4, shard_size=4, m=1)
    for i in range(WORKERS * EACH):
        shutil.copytree(made, tmp_path / "root" / f"set{i:02d}-0123456789")
    time.sleep(0.08)
    return tmp_path / "root"


def write(root, worker, start):
    """Rows one by one, all that changed, or all."""
    start.wait()
    catalogue = Catalogue(root)
    if worker == 1:
        catalogue.rebuild()
    for i in range(EACH):
        name = f"set{worker * EACH + i:02d}-0123456789"
        catalogue.update(name)
        assert catalogue.get(name).samples == 4
    if worker == 2:
        catalogue.refresh()


def spoil(root, worker, start):
    """One process damages the file while the others work."""
    start.wait()
    for _ in range(4):
        if worker == 0:
            (root / ".catalogue" / "index.sqlite").unlink(missing_ok=True)
            (root / ".catalogue" / "index.sqlite").write_bytes(b"no index" * 1000)
            time.sleep(0.05)
        else:
            Catalogue(root).refresh()


def together(work, root):
    start = SPAWN.Barrier(WORKERS)
    processes = [SPAWN.Process(target=work, args=(root, i, start)) for i in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
    return [process.exitcode for process in processes]


def test_all_rows_are_there_whoever_wrote_them(root):
    assert together(write, root) == [0] * WORKERS
    catalogue = Catalogue(root)
    rows = {row.folder: row for row in catalogue.find(limit=None)}
    assert len(rows) == catalogue.count() == WORKERS * EACH
    assert all(row == summarise(DataFolder(root / name)) for name, row in rows.items())
    assert sum(n for _, n in catalogue.facets()["status"]) == WORKERS * EACH
    changes = catalogue.refresh()
    assert not changes.added and not changes.removed and not changes.changed


def test_a_file_that_is_spoilt_meanwhile_stops_nobody(root):
    Catalogue(root).refresh()
    assert together(spoil, root) == [0] * WORKERS
    catalogue = Catalogue(root)
    catalogue.refresh()
    assert catalogue.count() == WORKERS * EACH and not catalogue.readonly
