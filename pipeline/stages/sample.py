"""Stage `sample`: the spaces, written once, and the features of new samples."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset_folder import data_folder, run_stamp, save_run
from pipeline.discretisation import Discretisation
from pipeline.interrupt import stoppable
from pipeline.progress import progress
from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree
from pipeline.spec import Spec, data_key, parse_spec
from storage import (
    DataFolder,
    StorageError,
    append_segment,
    read_order,
    read_records,
    rebuild_order,
    write_spaces,
)
from storage.processes import each
from storage.spaces import SpaceTree

__all__ = ["sample"]

_BLOCK = 128
"""Samples between two looks at what was asked for meanwhile."""
_WORTH = 64
"""Blocks that are worth a process of their own."""


def sample(spec: Spec, root: str | Path, quiet: bool = False, workers: int = 1) -> Path:
    """Make the data set's folder and add a segment with the samples it does not have yet.

    Not collective: one process does it.

    Args:
        spec: The spec.
        root: Where data sets are kept.
        quiet: Show no progress.
        workers: Number of processes that draw features.

    Returns:
        The data set's folder.

    Raises:
        RevisionMismatch: Another data set stands in the folder.
        Interrupted: A signal came; nothing was added.
    """
    folder = data_folder(spec, root)
    tree = None if folder.spaces.exists() else spaces_tree(spec)
    sampler = None
    if len(_new_ids(spec, folder)):  # made first: a bad spec writes nothing
        sampler = Sampler(spec, SpaceTree(folder.spaces) if tree is None else tree)
    folder.create()
    save_run(folder, spec, run_stamp())
    if tree is not None:
        write_spaces(folder.spaces, tree)
    if not folder.order.exists():
        rebuild_order(folder.order, read_records(folder, data_key(spec)))
    ids = _new_ids(spec, folder)
    if len(ids) and sampler is not None:
        fixed = _has_one_operator(spec, folder)
        draw = _Draw(spec, folder, sampler)
        features = np.zeros((len(ids), 1)) if fixed else _features(draw, ids, quiet, workers)
        _append(spec, folder, ids, features)
    return folder.path


def _has_one_operator(spec: Spec, folder: DataFolder) -> bool:
    """Whether there is nothing to sort for: all samples have one matrix."""
    import meshes  # noqa: F401, I001 - loads h5py, DOLFINx and MPI in the order they need
    from mpi4py import MPI

    return bool(Discretisation(spec, SpaceTree(folder.spaces), MPI.COMM_SELF).problem.fixed)


def _append(spec: Spec, folder: DataFolder, ids: NDArray[np.int64], features: NDArray) -> None:
    """Add a segment with those of the ids that no other run has added meanwhile."""
    new = np.isin(ids, _new_ids(spec, folder))
    while new.any():
        try:
            append_segment(folder.order, ids[new], features[new])
            return
        except StorageError:
            before, new = new, np.isin(ids, _new_ids(spec, folder))
            if np.array_equal(before, new):
                raise


def _new_ids(spec: Spec, folder: DataFolder) -> NDArray[np.int64]:
    known = [segment.ids for segment in read_order(folder.order)]
    asked = np.arange(spec.ids.start, spec.ids.stop)
    return asked[~np.isin(asked, np.concatenate(known))] if known else asked


def _features(draw: "_Draw", ids: NDArray, quiet: bool, workers: int) -> NDArray:
    """The features of samples, (n, d): the same whatever the number of processes."""
    blocks, found, done = np.split(ids, range(_BLOCK, len(ids), _BLOCK)), [], 0
    with stoppable() as stop, progress("sample", len(ids), quiet) as task:
        for features in each(draw, blocks, workers, _WORTH):
            found.append(features)
            done += len(features)
            stop.check()
            task(done)
    return np.concatenate(found)


class _Draw:
    """Draws the features of some samples; sent to other processes as plain data."""

    def __init__(self, spec: Spec, folder: DataFolder, sampler: Sampler) -> None:
        self._raw, self._folder = spec.model_dump(mode="json"), folder
        self._count = spec.order.features
        self._sampler: Sampler | None = sampler

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_sampler": None}

    def __call__(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        if self._sampler is None:
            spec = parse_spec(dict(self._raw), base=Path("/"))
            self._sampler = Sampler(spec, SpaceTree(self._folder.spaces))
        return np.array([self._sampler.features(int(i), self._count) for i in ids])
