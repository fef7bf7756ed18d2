"""HDF5 files as whole images: built in memory, read with damage named."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py

from storage.errors import DamagedFile, StorageError

__all__ = ["build_image", "opened"]


def build_image(fill: Callable[[h5py.File], None], size: int) -> bytes:
    """Return the bytes of the HDF5 file that `fill` writes into; nothing touches the disk.

    Args:
        fill: is given the open, empty file.
        size: expected number of bytes, the step by which memory grows.
    """
    step = max(1 << 16, size + (1 << 16))
    options = {"driver": "core", "backing_store": False, "block_size": step}
    # Version 1.10 and later can read it. No chunk cache: rows go straight into the image.
    with h5py.File("image", "w", libver=("v110", "v110"), rdcc_nbytes=0, **options) as file:
        fill(file)
        file.flush()
        return file.id.get_file_image()


@contextlib.contextmanager
def opened(path: Path, kind: type[DamagedFile] = DamagedFile) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; whatever fails inside is `kind`, naming the file.

    Raises:
        FileNotFoundError: there is none.
        DamagedFile: (or `kind`) it is truncated, altered or lacks what is looked for.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # HDF5 would wait for what a FIFO is given
            raise kind(f"{path}: is no plain file; remove it")
        with h5py.File(path, "r") as file:
            yield file
    except (FileNotFoundError, StorageError):
        raise
    except Exception as error:  # h5py says what is wrong in a damaged file in many ways
        reason = " ".join(str(error).split())
        raise kind(f"{path}: is damaged ({reason}); run `rekrylov check`") from error
