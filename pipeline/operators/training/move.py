"""A trained operator on another mesh: what of a checkpoint can be moved, and how.

Message-passing weights know of neighbours, not of numbers of nodes, and move as they are. A far
message has one matrix R_s for each eigenspace; on another mesh eigenspaces split or join, and a
new one gets the mean of the matrices that its modes had, in ascending order of frequency. The
mean training output is interpolated as a function.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.operators.errors import CheckpointMismatch
from pipeline.operators.fe.evaluation import interpolation
from pipeline.operators.operator import Operator
from storage import Dataset
from storage.function import StoredFunction

__all__ = ["moved_mean", "moved_weights"]

BUFFERS = ("vectors", "dual", "space", "offset")


def moved_mean(
    mean: NDArray[np.float64], home: Dataset, dataset: Dataset, name: str
) -> NDArray[np.float64]:
    """Interpolate the mean output (T, dim) to the spaces of another data set.

    Points outside of the old mesh take the value of the nearest point inside that is asked for.
    """
    old = home.spaces[home.fields[name].space]
    new = dataset.spaces[dataset.fields[name].space]
    points, matrix = interpolation(new)
    moved = []
    for step in mean:
        function = StoredFunction(home.mesh, old, step)
        cells, X = function.locate(points)
        values = np.zeros((len(points), int(np.prod(function.evaluate(cells[:1], X[:1]).shape))))
        inside = cells >= 0
        if not inside.any():
            raise CheckpointMismatch(
                f"no point of {dataset.path.name} lies in the mesh of {home.path.name}; an "
                "operator can be moved between meshes of about one domain only"
            )
        values[inside] = function.evaluate(cells[inside], X[inside])
        values[~inside] = values[inside][_nearest(points[~inside], points[inside])]
        moved.append(matrix @ values.ravel())
    return np.stack(moved)


def moved_weights(tensors: dict[str, Tensor], operator: Operator, path: Path) -> dict[str, Tensor]:
    """Return the state that fits the operator on its new mesh.

    Raises:
        CheckpointMismatch: some weights belong to the nodes of the old mesh.
    """
    fresh = operator.state_dict()
    if fresh.keys() != tensors.keys():
        raise CheckpointMismatch(
            f"{path}: has other weights than the operator on the new mesh, which may have another "
            "number of levels; move to a mesh with as many"
        )
    moved = {}
    for name, value in fresh.items():
        part = name.rpartition(".")[2]
        if part in BUFFERS:
            moved[name] = value
        elif part == "far" and tensors[name].shape[1:] == value.shape[1:]:
            moved[name] = _far(tensors[name], *_spaces_of(tensors, fresh))
        elif tensors[name].shape == value.shape:
            moved[name] = tensors[name]
        else:
            raise CheckpointMismatch(
                f"{path}: {operator.config.kind} has weights for each node ({name}: "
                f"{tuple(tensors[name].shape)}, here {tuple(value.shape)}); it can't be moved to "
                "another mesh, use spon with messages or multigrid"
            )
    return moved


def _spaces_of(old: dict[str, Tensor], new: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    (name,) = (name for name in new if name.endswith(".space"))
    return old[name], new[name]


def _far(R: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Mean over the modes of each new eigenspace of the matrices that they had."""
    if not len(new) or not len(R):
        return R[:0].new_zeros((int(new[-1]) + 1 if len(new) else 0, *R.shape[1:]))
    known = R[old[torch.arange(len(new)).clamp_max(len(old) - 1)]]
    count = int(new[-1]) + 1
    total = known.new_zeros((count, *R.shape[1:])).index_add(0, new, known)
    return total / torch.bincount(new, minlength=count).view(-1, 1, 1)


def _nearest(points: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.int64]:
    from scipy.spatial import KDTree

    if not len(points):
        return np.zeros(0, np.int64)
    return np.asarray(KDTree(known).query(points)[1])
