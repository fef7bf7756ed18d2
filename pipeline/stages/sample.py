"""Stage `sample`: the spaces, written once, and the features of new samples."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset_folder import data_folder, run_stamp, save_run
from pipeline.discretisation import Discretisation
from pipeline.interrupt import stoppable
from pipeline.progress import progress
from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree
from pipeline.spec import Spec, data_key
from storage import (
    DataFolder,
    StorageError,
    append_segment,
    read_order,
    read_records,
    rebuild_order,
    write_spaces,
)
from storage.spaces import SpaceTree

__all__ = ["sample"]


def sample(spec: Spec, root: str | Path, quiet: bool = False) -> Path:
    """Make the data set's folder and add a segment with the samples it does not have yet.

    Not collective: one process does it.

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
        features = np.zeros((len(ids), 1)) if fixed else _features(spec, sampler, ids, quiet)
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
    known = {int(i) for segment in read_order(folder.order) for i in segment.ids}
    return np.array([i for i in spec.ids if i not in known], dtype=np.int64)


def _features(spec: Spec, sampler: Sampler, ids: NDArray, quiet: bool) -> NDArray:
    rows = []
    with stoppable() as stop, progress("sample", len(ids), quiet) as task:
        for done, i in enumerate(ids, start=1):
            rows.append(sampler.features(int(i), spec.order.features))
            stop.check()
            task(done)
    return np.array(rows)
