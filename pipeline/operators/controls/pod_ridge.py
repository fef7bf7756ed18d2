"""POD of the outputs and ridge regression from the inputs' dofs to its coefficients.

With inputs Z and outputs Y (N, dofs), centred, and Gram matrices M_a, M_u of their spaces: the
POD (method of snapshots, L. Sirovich, Quart. Appl. Math. 45 (1987) 561) has its coefficients in
the leading eigenvectors V_r of S = Y M_u Yᵀ; ridge regression in dual form inverts
G + λ t I with G = Z M_a Zᵀ and t = trace(G)/N. Together

    u(z) = ū + w(z) Y,   w(z) = g(z) (G + λ t I)⁻¹ V_r V_rᵀ,   g(z) = z M_a Zᵀ.

All is done with N × N matrices and passes over the shards; N is capped at 4096.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.operators.controls.setting import Control, Setting
from pipeline.operators.fe.normalisation import positions
from pipeline.operators.fe.norms import norm
from storage import Dataset

__all__ = ["MAX_SAMPLES", "pod_ridge_control"]

Array = NDArray[np.float64]
MAX_SAMPLES = 4096
RIDGES = 10.0 ** np.arange(-8, 3)


@dataclass(frozen=True, eq=False)
class _Regression:
    """Spectral factors: G = Q diag(q) Qᵀ; V the eigenvectors of S, s its eigenvalues, falling."""

    q: Array
    Q: Array
    s: Array
    V: Array

    def coefficients(self, cross: Array, ridge: float) -> Array:
        """POD coordinates g (G + λ t I)⁻¹ V of the prediction, for g (samples, N)."""
        damped = np.maximum(self.q, 0) + ridge * max(float(self.q.mean()), 1e-300)
        return (cross @ self.Q) / damped @ (self.Q.T @ self.V)


def pod_ridge_control(setting: Setting) -> Control:
    """Fit on the training split; λ and r have the least relative L2 error on validation."""
    train = setting.splits["train"]
    train = train.select(train.ids[:MAX_SAMPLES])
    own = _input_products(setting, train, train)
    s, V = np.linalg.eigh(_output_products(setting, train, train))
    model = _Regression(*np.linalg.eigh(_centred(own, own)), s[::-1], V[:, ::-1])
    error, ridge, rank = _pick(setting, train, own, model)
    cross = _centred(_input_products(setting, setting.splits["test"], train), own)
    weights = model.coefficients(cross, ridge)[:, :rank] @ model.V[:, :rank].T
    settings = {"ridge": ridge, "rank": rank, "samples": len(train), "validation_l2": error}
    return Control(lambda rows: _combine(setting, train, weights[rows]), settings)


def _pick(
    setting: Setting, train: Dataset, own: Array, model: _Regression
) -> tuple[float, float, int]:
    """Least mean of ‖d − wY‖/‖u‖ over all λ and r, with d = u − ū and w = C_r V_rᵀ.

    ‖d − wY‖² = ‖d‖² − 2 C_r·(Y M_u d V_r) + C_r diag(s) C_rᵀ is a running sum over r.
    """
    validation, matrix = setting.splits["validation"], setting.output_gram
    cross = _centred(_input_products(setting, validation, train), own)
    mixed = _output_products(setting, validation, train) @ model.V
    squares, size = np.empty((2, len(validation), 1))
    for rows in positions(validation):
        deviations = setting.deviations(validation, rows)
        squares[rows, 0] = norm(matrix, deviations) ** 2
        size[rows, 0] = norm(matrix, deviations + setting.mean)
    found = []
    for ridge in RIDGES:
        C = model.coefficients(cross, float(ridge))
        errors = squares + np.cumsum(C * (C * model.s - 2 * mixed), axis=1)
        mean = (np.sqrt(np.maximum(errors, 0)) / size).mean(axis=0)
        rank = int(mean.argmin())
        found.append((float(mean[rank]), float(ridge), rank + 1))
    return min(found)


def _input_products(setting: Setting, left: Dataset, right: Dataset) -> Array:
    """Σ_fields z M_a z'ᵀ of all pairs of samples: (len(left), len(right))."""
    products = np.zeros((len(left), len(right)))
    for name in setting.task.names:
        matrix = setting.input_gram(name)
        for j in positions(right):
            known = matrix @ setting.normalised(right, name, j).T
            for i in positions(left):
                products[np.ix_(i, j)] += setting.normalised(left, name, i) @ known
    return products


def _output_products(setting: Setting, left: Dataset, right: Dataset) -> Array:
    """(u − ū) M_u (u' − ū)ᵀ of all pairs of samples."""
    matrix = setting.output_gram
    products = np.zeros((len(left), len(right)))
    for j in positions(right):
        known = matrix @ setting.deviations(right, j).T
        for i in positions(left):
            products[np.ix_(i, j)] = setting.deviations(left, i) @ known
    return products


def _centred(cross: Array, own: Array) -> Array:
    """Products of deviations from the mean training input, from plain products."""
    return cross - cross.mean(axis=1, keepdims=True) - own.mean(axis=0) + own.mean()


def _combine(setting: Setting, train: Dataset, weights: Array) -> Array:
    """ū + w (Y − ū): one pass over the training outputs."""
    predicted = np.tile(setting.mean, (len(weights), 1))
    for rows in positions(train):
        predicted += weights[:, rows] @ setting.deviations(train, rows)
    return predicted
