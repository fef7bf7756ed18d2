"""The environment of all tests, what runs alone, and real small disks for the tests of trouble."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# mpi-pytest takes the first mpiexec on PATH: it has to be this environment's.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")

# Folders and modules that are about ranks which wait for each other, and about signals, kills and
# clocks. All else may start ranks as well: that is slower beside another test, but never too slow.
ALONE = {"batch", "faults", "flows"}
ALONE |= {"test_jit_cache", "test_launch", "test_mpi_modes", "test_ranks", "test_restart"}
ALONE |= {"test_same_data", "test_trouble_signals", "test_two_runs"}


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items):
    """Mark what has the machine for itself: two cores are there, and MPI waits busily."""
    for item in items:
        if item.get_closest_marker("parallel") or {item.path.stem, item.path.parent.name} & ALONE:
            item.add_marker(pytest.mark.alone)


class Disk:
    """A tmpfs of a given size; needs the right to mount."""

    def __init__(self, path, size):
        self.path = path
        path.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs")

    def remount(self, options):
        """Change it in place: `size=8m`, `ro`."""
        self._mount("-o", f"remount,{options}")

    def close(self):
        subprocess.run(["umount", "-l", str(self.path)], check=True, capture_output=True)

    def _mount(self, *arguments):
        command = ["mount", *arguments, str(self.path)]
        subprocess.run(command, check=True, capture_output=True, text=True)


@pytest.fixture(scope="session")
def _own_mounts():
    """Mounts that only this process and its children see: they go with it, however it ends."""
    try:
        os.unshare(os.CLONE_NEWNS)
        subprocess.run(["mount", "--make-rprivate", "/"], check=True, capture_output=True)
    except (AttributeError, OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no mounts of our own here: {error}")


@pytest.fixture
def disk(tmp_path, _own_mounts):
    """Make small disks: `disk("2m")`."""
    made = []

    def make(size):
        try:
            made.append(Disk(tmp_path / f"disk{len(made)}", size))
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"mount refused: {error}")
        return made[-1]

    yield make
    for each in made:
        each.close()
