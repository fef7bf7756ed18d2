"""`finalise` is killed at each of its renames: what is left can be used, or says so."""

import shutil
import sys

import pytest
from inside import command
from killing import assert_equal, everything
from runs import assert_sound, committed, folder_of

from storage import open_dataset

pytestmark = pytest.mark.timeout(300)

# SIGKILL to itself at the n-th file that gets its name, before or after that.
KILLED = """
import os, signal, sys
import storage.files as files
left, after = int(sys.argv.pop(1)), sys.argv.pop(1) == "after"
old = files._publish

def publish(*arguments):
    global left
    left -= 1
    if not left and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    done = old(*arguments)
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return done

files._publish = publish
import pipeline.cli
pipeline.cli.main()
"""


@pytest.fixture
def extended(root, spec):
    """A finished data set with 40 samples more, which are solved but not in its manifest."""
    said = command("solve", spec, "--root", root, "--set", "samples=280")
    assert said.code == 0, said
    assert len(open_dataset(folder_of(root).path)) == 240
    return root


LONG = pytest.mark.long


@pytest.mark.parametrize("step", [2, *(pytest.param(n, marks=LONG) for n in (1, 3, 4))])
def test_what_is_left_can_be_used(rekrylov, extended, undisturbed, step):
    """Before: nothing new, then `scalars.h5`, `manifest.json`, a picture."""
    folder, before = folder_of(extended), committed(extended)
    killed = [sys.executable, "-c", KILLED, str(step), "before"]
    done = rekrylov("finalise", folder.path, command=killed, timeout=120)
    assert done.code == -9, done.text
    assert len(list(extended.rglob("*.tmp"))) == 1
    assert len(open_dataset(folder.path)) == (240 if step <= 2 else 280)
    for words in (["show"], ["stats"], ["status"]):
        said = command(*words, folder.path)
        assert said.code == 0 and "Traceback" not in said.err, said
    said = command("check", folder.path)
    assert "Traceback" not in said.err and said.code in (0, 3), said
    assert command("finalise", folder.path).code == 0
    assert committed(extended) == before
    assert_sound(extended)
    found, expected = everything(extended), everything(undisturbed[0])
    shorter = [{name: {i: v[i] for i in range(240)} for name, v in part.items()} for part in found]
    assert_equal(shorter, expected)
    assert sorted(found[1]["u"]) == list(range(280))


def test_a_kill_of_the_first_finalise(rekrylov, root):
    """No manifest yet: the data set is listed as unfinished."""
    folder = folder_of(root)
    for path in (folder.manifest, folder.scalars):
        path.unlink()
    shutil.rmtree(folder.previews)
    killed = [sys.executable, "-c", KILLED, "1", "after"]
    assert rekrylov("finalise", folder.path, command=killed, timeout=120).code == -9
    assert folder.scalars.exists() and not folder.manifest.exists()
    said = command("list", "--root", root)
    assert said.code == 0 and "unfinished" in said.out, said
    assert command("finalise", folder.path).code == 0
    assert command("check", folder.path).code == 0
