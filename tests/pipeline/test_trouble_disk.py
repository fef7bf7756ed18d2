"""Full and read-only disks, real ones: one clear message, nothing lost, and the run goes on."""

import sys

import pytest
from runs import assert_same, assert_sound, committed, folder_of, samples, write_spec

pytestmark = pytest.mark.timeout(120)

# Fills the disk when a rank is about to write its second record (or the manifest).
FILLED = """
import os, sys
import storage.files as files
place, disk = sys.argv.pop(1), sys.argv.pop(1)
old, calls = files.commit_json, []

def commit_json(path, *args, **kwargs):
    calls.append(path)
    if len(calls) == (1 if place == "manifest" else 2):
        with open(disk + "/ballast", "ab", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
    return old(path, *args, **kwargs)

files.commit_json = commit_json
import pipeline.cli
pipeline.cli.main()
"""


@pytest.fixture(scope="session")
def big(tmp_path_factory):
    """A spec with shards of 80 kB: 1 MB in all, beside spaces of 0.4 MB."""
    path = tmp_path_factory.mktemp("disk") / "big.yaml"
    return write_spec(path, samples=120, mesh__resolution=24, storage__shard_size=8)


@pytest.fixture(scope="session")
def expected(rekrylov, big, tmp_path_factory):
    root = tmp_path_factory.mktemp("roomy")
    done = rekrylov("run", big, "--root", root)
    assert done.code == 0, done.text
    return samples(root)


def assert_full(done, *parts):
    """Exit code 4 and a message of each rank that met the full disk, no traceback."""
    assert done.code == 4, done.text
    full = [line for line in done.text.splitlines() if "no space left" in line]
    assert 1 <= len(full) <= 2, done.text
    assert all("free some space and run the same command again" in line for line in full)
    assert all(part in full[0] for part in parts)
    assert "Traceback" not in done.text


def assert_finished(rekrylov, line, options, root, before, expected):
    """The same command goes on to the end, and keeps what there was."""
    done = rekrylov(*line, **options)
    assert done.code == 0, done.text
    assert {name: committed(root)[name] for name in before} == before
    if line[0] == "solve":
        assert rekrylov("finalise", line[1], "--root", root).code == 0
    assert_sound(root)
    assert_same(samples(root), expected)


WAYS = {
    "one rank": (["solve"], {}),
    "two ranks": (["solve"], {"ranks": 2}),
    "run, two ranks": (["run", "--ranks", "2"], {}),
}


@pytest.mark.parametrize(
    "way", ["one rank", "two ranks", pytest.param("run, two ranks", marks=pytest.mark.long)]
)
def test_full_in_the_middle_of_a_shard(rekrylov, big, expected, disk, way):
    (command, *rest), options = WAYS[way]
    place = disk("1200k")
    root = place.path / "data"
    line = [command, big, "--root", root, *rest]
    done = rekrylov(*line, **options)
    assert_full(done, ".h5")
    before = committed(root)
    assert 0 < len(before) < 15
    assert not list(root.rglob("*.tmp"))
    again = rekrylov(*line, **options)
    assert again.code == 4, again.text
    now = committed(root)  # what one rank gave free may do for a shard of the other
    assert {name: now[name] for name in before} == before
    before = now
    status = rekrylov("status", big, "--root", root)
    assert status.code == 0 and f"{8 * len(before)} of 120 samples stored" in status.out
    place.remount("size=20m")
    assert_finished(rekrylov, line, options, root, before, expected)


@pytest.mark.parametrize("way", ["one rank", "two ranks"])
def test_full_at_the_record(rekrylov, big, expected, disk, way):
    (command, *rest), options = WAYS[way]
    place = disk("4m")
    root = place.path / "data"
    line = [command, big, "--root", root, *rest]
    filling = [sys.executable, "-c", FILLED, "record", str(place.path)]
    done = rekrylov(*line, **options, command=filling)
    assert_full(done, *([".json"] if way == "one rank" else []))  # or another rank's shard
    before = committed(root)
    assert len(before) >= 1
    assert len(list(folder_of(root).shards.glob("*.h5"))) > len(before), "a shard without a record"
    place.remount("size=20m")
    assert_finished(rekrylov, line, options, root, before, expected)


def test_full_at_the_manifest(rekrylov, big, expected, disk):
    place = disk("4m")
    root = place.path / "data"
    assert rekrylov("solve", big, "--root", root).code == 0
    before = committed(root)
    filling = [sys.executable, "-c", FILLED, "manifest", str(place.path)]
    done = rekrylov("finalise", big, "--root", root, command=filling)
    assert_full(done, "manifest.json")
    assert not folder_of(root).manifest.exists()
    place.remount("size=20m")
    assert_finished(rekrylov, ["run", big, "--root", root], {}, root, before, expected)


@pytest.mark.parametrize("size", ["4k", "64k"])
def test_full_from_the_start(rekrylov, big, disk, size):
    place = disk(size)
    done = rekrylov("run", big, "--root", place.path / "data", "--ranks", "2")
    assert_full(done)
    place.remount("size=20m")
    assert rekrylov("run", big, "--root", place.path / "data", "--ranks", "2").code == 0


def assert_read_only(done):
    assert done.code == 2, done.text
    assert len(done.messages) == 1, done.text
    assert "cannot be written (Read-only file system)" in done.messages[0]
    assert "make the folder writable or choose another root" in done.messages[0]
    assert "Traceback" not in done.text


def test_read_only(rekrylov, spec, finished, disk):
    place = disk("20m")
    assert rekrylov("run", spec, "--root", place.path / "data").code == 0
    place.remount("ro")
    for root, command in (("data", "solve"), ("new", "run")):
        done = rekrylov(command, spec, "--root", place.path / root, "--set", "samples=60")
        assert_read_only(done)
    assert_read_only(rekrylov("finalise", spec, "--root", place.path / "data"))
    done = rekrylov("solve", spec, "--root", place.path / "data", "--set", "samples=60", ranks=2)
    assert_read_only(done)
    for command in ("status", "check", "show", "solve"):  # nothing is left to solve
        done = rekrylov(command, spec, "--root", place.path / "data")
        assert done.code == 0, done.text
    assert_same(samples(place.path / "data"), samples(finished))
    place.remount("rw")
    assert rekrylov("run", spec, "--root", place.path / "data").code == 0
