"""Files made to lead out of the root, or to claim what would exhaust a reader, are refused."""

import json
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from synthetic import make_dataset

from storage.errors import DamagedFile
from storage.web import limits
from storage.web.opened import NotThere, Opened
from storage.web.pool import Damaged, Missing, Pool


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["values"] = np.full((8, 25), 42.0)
    return path


def soft_link(file, secret):
    file["inputs/b"] = h5py.SoftLink("/inputs/a")


def external_link(file, secret):
    file["inputs/b"] = h5py.ExternalLink(str(secret), "/values")


def external_storage(file, secret):
    file.create_dataset("inputs/b", (8, 25), "f8", external=[(str(secret), 0, 1600)])


def virtual(file, secret):
    layout = h5py.VirtualLayout((8, 25), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "values", shape=(8, 25))
    file.create_virtual_dataset("inputs/b", layout)


def huge_chunk(file, secret):
    file.create_dataset("b", (1 << 25,), "f8", chunks=(1 << 25,), compression="gzip")


def huge_table(file, secret):
    file.create_dataset("b", (1 << 40,), "u1", chunks=(1 << 16,))


def many_tables(file, secret):
    for i in range(9):
        file.create_dataset(f"b{i}", (1 << 24,), "f8", chunks=(1 << 16,))


def unknown_filter(file, secret):
    file.create_dataset("b", (64, 64), "f8", chunks=(8, 8), compression="lzf")


def objects(file, secret):
    file.create_dataset("b", (3,), h5py.string_dtype())


def loop(file, secret):
    file["inputs/b"] = file["/"]


CRAFTED = [soft_link, external_link, external_storage, virtual, huge_chunk, huge_table]
CRAFTED += [many_tables, unknown_filter, objects, loop]


@pytest.mark.parametrize("craft", CRAFTED, ids=lambda f: f.__name__)
def test_a_crafted_hdf5_file_is_refused(craft, tmp_path, secret, monkeypatch):
    folder = make_dataset(tmp_path / "root")
    monkeypatch.setattr(limits, "OBJECTS", 500)
    for made in (folder / "shards" / "0000-000000.h5", folder / "spaces.h5"):
        path = tmp_path / made.name  # the data set's own is open
        path.write_bytes(made.read_bytes())
        limits.check_hdf5(path)
        with h5py.File(path, "a") as file:
            craft(file, secret)
        with pytest.raises(DamagedFile):
            limits.check_hdf5(path)


def test_what_is_no_hdf5_file_is_damaged(tmp_path):
    path = tmp_path / "a.h5"
    for data in (b"", b"\x89HDF\r\n\x1a\n" + bytes(200), os.urandom(4000)):
        path.write_bytes(data)
        with pytest.raises(DamagedFile):
            limits.check_hdf5(path)
    os.unlink(path)
    os.mkfifo(path)
    with pytest.raises(DamagedFile, match="no file"):
        limits.check_hdf5(path)


def altered(tmp_path, change):
    folder = make_dataset(tmp_path / "root")
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    return Opened(tmp_path / "root").get(folder.name, "")


def test_a_manifest_that_claims_too_much_is_refused(tmp_path):
    def samples(manifest):
        manifest["shards"][0]["ids"] = [[0, 10**9]]

    with pytest.raises(DamagedFile, match="claims 1000000016 samples"):
        altered(tmp_path, samples)

    def shape(manifest):
        manifest["columns"]["inputs/a"]["shape"] = [10**9]

    with pytest.raises(DamagedFile, match="claims 8000000000 bytes"):
        altered(tmp_path, shape)

    def strings(manifest):
        manifest["columns"]["inputs/a"]["dtype"] = "O"

    with pytest.raises(DamagedFile):
        altered(tmp_path, strings)


@pytest.mark.parametrize("name", ["manifest.json", "spaces.h5", "shards", "scalars.h5"])
def test_links_out_of_the_root_are_not_followed(name, tmp_path):
    folder = make_dataset(tmp_path / "root")
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / name).rename(outside / name)
    (folder / name).symlink_to(outside / name)
    with pytest.raises(DamagedFile, match="leads out of the root"):
        opened = Opened(tmp_path / "root").get(folder.name, "")
        opened.scalars()


def test_a_linked_shard_is_not_read(tmp_path):
    folder = make_dataset(tmp_path / "root")
    shard = folder / "shards" / "0000-000001.h5"
    shard.rename(tmp_path / "shard.h5")
    shard.symlink_to(tmp_path / "shard.h5")
    opened = Opened(tmp_path / "root").get(folder.name, "")
    rows = [row for row in range(24) if opened.data.shard_of(row) == 1]
    with pytest.raises(DamagedFile, match="leads out of the root"):
        opened.row(rows[0])
    with pytest.raises(NotThere):
        opened.row(24)


def test_a_link_within_the_root_is_fine(tmp_path):
    folder = make_dataset(tmp_path / "root")
    (folder / "spaces.h5").rename(tmp_path / "root" / "shared.h5")
    (folder / "spaces.h5").symlink_to(tmp_path / "root" / "shared.h5")
    assert len(Opened(tmp_path / "root").get(folder.name, "").data) == 24


def test_workers_are_bounded_and_replaced(tmp_path):
    folder = make_dataset(tmp_path).name
    pool = Pool(tmp_path, size=1)
    try:
        assert pool.call("facts", folder, "1")["samples"] == 24
        with pytest.raises(Missing, match="position 99"):
            pool.call("sample", folder, "1", 99)
        (worker,) = pool._all
        told = Path(f"/proc/{worker.process.pid}/limits").read_text()
        assert re.search(r"Max file size +0 ", told) and not re.search(
            r"Max address space +unl", told
        )
        worker.process.kill()
        worker.process.join()
        assert pool.call("facts", folder, "1")["samples"] == 24
        pool._timeout = 0.0
        with pytest.raises(Damaged, match="too long"):
            pool.call("picture", folder, "1", 0, "u", -1, None, 0.5, "light")
        pool._timeout = 30.0
        assert pool.call("sample", folder, "1", 0)["id"] == 0
    finally:
        pool.close()


def test_a_report_that_takes_for_ever_is_not_waited_for(tmp_path):
    folder = make_dataset(tmp_path)
    report = folder / "training" / "spon-1" / "report.md"
    report.parent.mkdir(parents=True)
    report.write_text("[" * 250_000)
    pool = Pool(tmp_path, size=1, timeout=2.0)
    try:
        with pytest.raises(Damaged, match="too long"):
            pool.call("report", folder.name, "1", "training", "spon-1", "/here", "2")
        report.write_text("![a](b.png) ![c](d.png) <b>")
        (report.parent / "b.png").write_bytes(b"")
        (text,) = pool.call("report", folder.name, "1", "training", "spon-1", "/here", "2")
        assert 'src="/here/b.png?v=2"' in text and 'src=""' in text and "<b>" not in text
    finally:
        pool.close()


def test_damage_is_told_without_the_root(tmp_path):
    folder = make_dataset(tmp_path)
    shard = folder / "shards" / "0000-000000.h5"
    shard.write_bytes(shard.read_bytes()[:-100])
    pool = Pool(tmp_path, size=1)
    try:
        rows = range(24)
        found = []
        for row in rows:
            try:
                pool.call("picture", folder.name, "1", row, "u", -1, None, 0.5, "light")
            except Damaged as error:
                found.append(str(error))
        assert len(found) == 8 and str(tmp_path) not in found[0] and "0000-000000.h5" in found[0]
    finally:
        pool.close()
