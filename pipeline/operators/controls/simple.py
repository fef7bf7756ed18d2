"""What needs no network: the operators that a trained one has to beat.

All see the inputs as the network does (normalised, logarithms where it takes them) and are
fitted on the training split, one chunk of it in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from pipeline.operators.controls.pod_ridge import pod_ridge_control
from pipeline.operators.controls.setting import Control, Setting
from pipeline.operators.fe.normalisation import positions

__all__ = ["CONTROLS", "mean_control", "nearest_control"]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


def mean_control(setting: Setting) -> Control:
    """ū, the mean of the training outputs."""
    return Control(lambda rows: np.tile(setting.mean, (len(rows), 1)))


def nearest_control(setting: Setting) -> Control:
    """The output of the training sample whose input is nearest in the inputs' L2 norms.

    d² = Σ_fields ‖z − z'‖²_M, through the Gram matrices of the input spaces.
    """
    train = setting.splits["train"]

    def predict(rows: Rows) -> Array:
        found = _nearest(setting, rows)
        return setting.outputs(train, found)

    return Control(predict)


def _nearest(setting: Setting, rows: Rows) -> Rows:
    """Positions in the training split of the nearest neighbours of some test samples."""
    train, test = setting.splits["train"], setting.splits["test"]
    names = setting.task.names
    wanted = {name: setting.normalised(test, name, rows) for name in names}
    best, nearest = np.full(len(rows), np.inf), np.zeros(len(rows), np.int64)
    for part in positions(train):
        distance = np.zeros((len(rows), len(part)))
        for name in names:
            known = setting.normalised(train, name, part)
            distance += _squared_distances(setting.input_gram(name), wanted[name], known)
        column = distance.argmin(axis=1)
        least = distance[np.arange(len(rows)), column]
        nearest = np.where(least < best, part[column], nearest)
        best = np.minimum(best, least)
    return nearest


CONTROLS: dict[str, Callable[[Setting], Control]] = {
    "mean": mean_control,
    "nearest": nearest_control,
    "pod_ridge": pod_ridge_control,
}


def _squared_distances(matrix: csr_matrix, x: Array, y: Array) -> Array:
    """‖x_i − y_j‖² in a Gram norm: (len(x), len(y))."""
    weighted, known = (matrix @ x.T).T, (matrix @ y.T).T
    own = np.einsum("ij,ij->i", x, weighted)[:, None] + np.einsum("ij,ij->i", y, known)
    return own - 2 * weighted @ y.T
