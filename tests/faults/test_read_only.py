"""A read-only data set: reading works; what would write says so in one line and changes nothing."""

import hashlib
import shutil

import pytest
from inside import command, told_once
from runs import folder_of

pytestmark = pytest.mark.timeout(240)

WRITE = {
    "sample": ["sample", "{spec}", "--root", "{root}", "--set", "samples=300"],
    "solve": ["solve", "{spec}", "--root", "{root}", "--set", "samples=300"],
    "run": ["run", "{spec}", "--root", "{root}", "--set", "samples=300"],
    "run elsewhere": ["run", "{spec}", "--root", "{root}/new"],
    "finalise": ["finalise", "{folder}"],
    "train": ["train", "{folder}", "--set", "train.epochs=1"],
    "pack": ["pack", "{folder}"],
    "export": ["export", "{folder}", "--to", "npz", "--out", "{root}/out"],
    "delete": ["delete", "{name}", "--yes", "--root", "{root}"],
}
READ = {
    "status": ["status", "{spec}", "--root", "{root}"],
    "solve": ["solve", "{spec}", "--root", "{root}"],
    "check": ["check", "{folder}"],
    "repair": ["repair", "{folder}"],
    "show": ["show", "{folder}", "--root", "{root}"],
    "list": ["list", "--root", "{root}"],
    "search": ["search", "darcy", "--root", "{root}"],
    "index": ["index", "--root", "{root}"],
    "stats": ["stats", "{folder}", "--root", "{root}"],
    "lineage": ["lineage", "{folder}", "--root", "{root}"],
    "diff": ["diff", "{folder}", "{folder}", "--root", "{root}"],
    "cite": ["cite", "{folder}", "--root", "{root}"],
}


def state(root):
    """Path → time and content of all files."""
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def fixed(undisturbed, spec, disk):
    """Runs commands on a data set that can't be written."""
    place = disk("40m")
    root = shutil.copytree(undisturbed[0], place.path / "data", copy_function=shutil.copy)
    folder = folder_of(root)
    names = {"spec": spec, "root": root, "folder": folder.path, "name": folder.path.name}

    def run(words, harm=lambda folder: None):
        harm(folder)
        place.remount("ro")
        before = state(root)
        said = command(*(word.format(**names) for word in words))
        assert state(root) == before and not list(root.rglob("*.tmp"))
        place.remount("rw")
        return said

    return run


def test_what_writes_says_so(fixed):
    for words in WRITE.values():
        told_once(fixed(words), 2, "(Read-only file system)", "choose another")


def test_what_reads_works(fixed):
    for name, words in READ.items():
        said = fixed(words)
        assert said.code == 0 and not said.messages, (name, said)


def test_damage_is_found_and_can_not_be_repaired(fixed):
    damaged = fixed(["check", "{folder}"], lambda folder: folder.shard(0, 3).unlink())
    assert damaged.code == 3 and "shard.missing shards/0000-000003.h5" in damaged.out
    said = fixed(["repair", "{folder}"])
    print(said)
    assert said.code in (2, 3)
    assert "(Read-only file system)" in said.out + said.err and "Traceback" not in said.err
