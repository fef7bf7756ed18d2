"""Stage `order`: a short path through each new segment, cut into batches."""

from pathlib import Path

import numpy as np

from pipeline.dataset_folder import data_folder
from pipeline.ordering import sort_features
from pipeline.spec import Spec
from storage import DataFolder, StorageError, read_features, read_order, set_path
from storage.spaces import SpaceTree

__all__ = ["order"]

_SHARD_BYTES = 32 * 2**20
_SHARD_SAMPLES = 256
_BATCHES = 16


def order(spec: Spec, root: str | Path) -> None:
    """Sort every segment that has no path yet; segments with a path never change.

    Raises:
        StorageError: There is no sample stage's output yet, or it is damaged.
    """
    folder = data_folder(spec, root)
    segments = read_order(folder.order)
    if not segments:
        raise StorageError(f"{folder.path}: nothing sampled yet; run `rekrylov sample` first")
    for segment in segments:
        if segment.path is not None:
            continue
        features = read_features(folder.order, segment.index)
        if features is None:
            raise StorageError(f"{folder.order}: segment {segment.index} has no features")
        path = sort_features(features, spec.order.sort, spec.order.group_size)
        size = shard_size(spec, folder, len(path))
        offsets = np.append(np.arange(0, len(path), size), len(path))
        set_path(folder.order, segment.index, path, offsets)


def shard_size(spec: Spec, folder: DataFolder, samples: int) -> int:
    """Return the samples a shard: the spec's, or a sixteenth within 256 samples and 32 MiB."""
    if spec.storage.shard_size is not None:
        return spec.storage.shard_size
    spaces = SpaceTree(folder.spaces)
    dofs = sum(spaces["spaces"][field["space"]]["dim"] for field in spaces["fields"].values())
    fitting = _SHARD_BYTES // (dofs * np.dtype(spec.dtype).itemsize)
    return max(1, min(_SHARD_SAMPLES, fitting, -(-samples // _BATCHES)))
