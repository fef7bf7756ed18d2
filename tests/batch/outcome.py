"""The scripts, and what a job left of a data set."""

import time
from pathlib import Path

import psutil

from storage import check_dataset, open_dataset

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "examples" / "batch"


def dataset_folder(root):
    """The one data set below a root."""
    (path,) = (path for path in Path(root).iterdir() if path.is_dir())
    return path


def shards(root):
    """The shard files below a root: a name and the time it was written."""
    return {path.name: path.stat().st_mtime_ns for path in Path(root).glob("*/shards/*.h5")}


def assert_complete(root, samples):
    """Finalised, every sample there once, nothing damaged and nothing left over."""
    dataset = open_dataset(dataset_folder(root), verify=True)
    assert sorted(int(i) for i in dataset.ids) == list(range(samples))
    assert check_dataset(dataset_folder(root)) == []
    assert not list(Path(root).rglob("*.tmp"))


def wait_for(condition, seconds=240):
    """Wait for something that another process brings about."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def ranks(root):
    """The live MPI ranks that solve below a root: their environment and the cores they may use."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if "solve" in words and str(root) in words and "PMI_RANK" in process.environ():
                found.append((process.environ(), process.cpu_affinity()))
        except (psutil.Error, OSError):
            continue
    return found
