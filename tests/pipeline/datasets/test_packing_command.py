"""`rekrylov pack`: made, kept, made again, removed; killed in the middle."""

import json
import shutil
import signal

import numpy as np
from runs import folder_of, wait_until

from storage import open_dataset


def test_pack_and_remove(rekrylov, finished, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(finished, root)
    path = folder_of(root).path
    done = rekrylov("pack", path)
    assert done.code == 0 and "48 samples packed" in done.out and "pack: 48/48" in done.err
    ds = open_dataset(path)
    np.testing.assert_array_equal(ds.packed().read("u"), ds.read("u").astype("f4"))
    inodes = {file.name: file.stat().st_ino for file in (path / "packed").glob("*.npy")}
    again = json.loads(rekrylov("pack", path, "--fields", "u", "--json").out)
    assert again["samples"] == 48 and set(again["bytes"]) >= {"inputs/a", "outputs/u"}
    assert inodes == {file.name: file.stat().st_ino for file in (path / "packed").glob("*.npy")}
    assert "packed copy removed" in rekrylov("pack", path, "--remove").out
    assert not (path / "packed").exists()
    assert "not found" in rekrylov("pack", path, "--remove").out


def test_what_cant_be_packed(rekrylov, finished, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(finished, root)
    path = folder_of(root).path
    done = rekrylov("pack", path, "--fields", "a,b")
    assert (done.code, done.messages) == (2, ["rekrylov: --fields: 'b' is not one of ['a', 'u']"])
    assert rekrylov("pack", tmp_path / "nothing").code == 2
    shard = next((path / "shards").glob("*.h5"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    done = rekrylov("pack", path)
    assert done.code == 3 and shard.name in done.err
    assert not (path / "packed" / "index.json").exists()


def test_killed_while_packing(rekrylov, finished, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(finished, root)
    path = folder_of(root).path
    process = rekrylov.start("pack", path)
    wait_until(lambda: list((path / "packed").glob("*.tmp")), process)
    process.send(signal.SIGKILL)
    process.wait()
    done = rekrylov("pack", path)
    assert done.code == 0 and not list((path / "packed").glob("*.tmp"))
    ds = open_dataset(path)
    np.testing.assert_array_equal(ds.packed().read("a"), ds.read("a").astype("f4"))
