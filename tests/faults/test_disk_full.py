"""The disk gets full at any write of any stage: exit code 4, one message, and the run goes on.

Full in the middle of shards, records and the manifest: `tests/pipeline/test_trouble_disk.py`.
"""

import shutil
from contextlib import suppress

import pytest
from inside import command, told_once
from killing import assert_each_once, assert_equal, everything
from runs import committed, folder_of

from storage import files, read_order

pytestmark = pytest.mark.timeout(300)

FREE = "free some space and run the same command again"


class Filling:
    """A real small disk that is full when a file is about to be written."""

    def __init__(self, disk, monkeypatch):
        self._ballast, self._part, self._write = disk.path / "ballast", None, files._write_synced
        monkeypatch.setattr(files, "_write_synced", self._fill_first)

    def _fill_first(self, path, data):
        if self._part is not None and self._part in path.name:
            self.fill()
        return self._write(path, data)

    def fill(self):
        with open(self._ballast, "ab", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass

    def command(self, part, *words):
        """Run a command with the disk full at a file whose name has this part; free it again."""
        self._part = part
        said = command(*words)
        self._part = None
        self._ballast.unlink()
        told_once(said, 4, part, "no space left", FREE)


@pytest.fixture
def place(disk):
    return disk("20m")


@pytest.fixture
def filling(place, monkeypatch):
    return Filling(place, monkeypatch)


def test_before_the_solve(filling, place, spec, undisturbed):
    """At the spec, at the spaces, and twice at the order: ids alone, then their path."""
    root = place.path / "data"
    for part in (".yaml", "spaces.h5", "order.h5"):
        filling.command(part, "sample", spec, "--root", root)
        assert not list(root.rglob("*.tmp"))
    assert command("sample", spec, "--root", root).code == 0
    filling.command("order.h5", "order", spec, "--root", root)
    assert command("order", spec, "--root", root).code == 0
    (found,), (expected,) = (read_order(folder_of(each).order) for each in (root, undisturbed[0]))
    assert found.ids[found.path].tolist() == expected.ids[expected.path].tolist()


def test_in_finalise(filling, place, undisturbed):
    """What was there before still is, and can be read, whatever step met the full disk."""
    root = shutil.copytree(undisturbed[0], place.path / "data", copy_function=shutil.copy)
    before, folder = committed(root), folder_of(root)
    for part in ("scalars.h5", "manifest.json", "samples.png", "thumbnail.png"):
        filling.command(part, "finalise", folder.path)
        assert not list(root.rglob("*.tmp"))
        assert committed(root) == before
        assert_equal(everything(root), everything(undisturbed[0]))
    assert command("finalise", folder.path).code == 0
    assert command("check", folder.path).code == 0


def test_without_a_byte_left(rekrylov, filling, place, spec, undisturbed):
    """Not even the lock of the solve stage can be written; it saves work, no more."""
    root = place.path / "data"
    assert command("sample", spec, "--root", root).code == 0
    assert command("order", spec, "--root", root).code == 0
    filling.fill()
    filling.command(".h5", "solve", spec, "--root", root)
    assert not list(root.rglob("*.tmp"))
    done = rekrylov("run", spec, "--root", root, "--ranks", "2", timeout=200)
    assert done.code == 0, done.text
    assert_each_once(root)
    assert_equal(everything(root), everything(undisturbed[0]))
