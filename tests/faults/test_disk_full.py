"""The disk gets full at any write of any stage: exit code 4, one message, and the run goes on.

Full in the middle of shards, records and the manifest: `tests/pipeline/test_trouble_disk.py`.
"""

import shutil
import sys
from contextlib import suppress

import pytest
from killing import assert_each_once, assert_equal, everything
from runs import assert_sound, committed, folder_of

pytestmark = pytest.mark.timeout(300)

# Fills the disk when a file whose name has some part is about to be written.
FILLED = """
import sys
import storage.files as files
part, disk = sys.argv.pop(1), sys.argv.pop(1)
old = files._write_synced

def write(path, data):
    if part in path.name:
        with open(disk + "/ballast", "ab", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
    return old(path, data)

files._write_synced = write
import pipeline.cli
pipeline.cli.main()
"""


def assert_full(done, name):
    assert done.code == 4, done.text
    full = [line for line in done.messages if "no space left" in line]
    assert len(full) == len(done.messages) == 1 and name in full[0], done.text
    assert "free some space and run the same command again" in full[0]
    assert "Traceback" not in done.text


def filling(place, part):
    return [sys.executable, "-c", FILLED, part, str(place.path)]


def test_before_the_solve(rekrylov, spec, undisturbed, disk):
    """At the spec, the spaces and the order, twice: with ids alone and with the path."""
    place = disk("20m")
    root = place.path / "data"
    line = ["solve", spec, "--root", root]
    for part in (".yaml", "spaces.h5", "order.h5"):
        done = rekrylov(*line, command=filling(place, part), timeout=120)
        assert_full(done, part)
        assert not list(root.rglob("*.tmp"))
        (place.path / "ballast").unlink()
    done = rekrylov("run", spec, "--root", root, timeout=200)
    assert done.code == 0, done.text
    assert_sound(root)
    assert_equal(everything(root), everything(undisturbed[0]))


def test_in_finalise(rekrylov, undisturbed, disk):
    """What was there before still is, and can be read, whatever step met the full disk."""
    place = disk("40m")
    root = shutil.copytree(undisturbed[0], place.path / "data", copy_function=shutil.copy)
    before, folder = committed(root), folder_of(root)
    for part in ("scalars.h5", "manifest.json", "samples.png", "thumbnail"):
        done = rekrylov("finalise", folder.path, command=filling(place, part), timeout=120)
        assert_full(done, part)
        assert not list(root.rglob("*.tmp"))
        assert committed(root) == before
        assert_equal(everything(root), everything(undisturbed[0]))
        (place.path / "ballast").unlink()
    assert rekrylov("finalise", folder.path, timeout=120).code == 0
    assert_sound(root)


def test_without_a_byte_left(rekrylov, spec, undisturbed, disk):
    """Not even the lock of the solve stage can be written; it saves work, no more."""
    place = disk("20m")
    root = place.path / "data"
    done = rekrylov("sample", spec, "--root", root, timeout=120)
    assert done.code == 0, done.text
    assert rekrylov("order", spec, "--root", root, timeout=120).code == 0
    ballast = place.path / "ballast"
    with open(ballast, "ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert_full(rekrylov("solve", spec, "--root", root, timeout=120), ".h5")
    assert not list(root.rglob("*.tmp"))
    ballast.unlink()
    done = rekrylov("run", spec, "--root", root, "--ranks", "2", timeout=200)
    assert done.code == 0, done.text
    assert_each_once(root)
    assert_equal(everything(root), everything(undisturbed[0]))
