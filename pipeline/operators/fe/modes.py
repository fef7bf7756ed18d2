"""Low-frequency modes of a finite-element space, the long-range channel of the processor.

K φ = λ M φ on the dofs that Dirichlet data leave free, smallest λ first, φᵀMφ = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import eigsh

__all__ = ["Modes", "low_modes"]

SAME = 1e-6
"""Eigenvalues closer than this (relatively) count as one eigenspace."""


@dataclass(frozen=True, eq=False)
class Modes:
    """Modes Φ and the eigenspaces they belong to.

    Attributes:
        vectors: (n, r) Φ, zero on constrained dofs.
        space: (r) number of the eigenspace of each mode, ascending from 0.

    Modes of one eigenspace share their weights, so that Φ W Φᵀ doesn't depend on the basis that
    the eigensolver happened to pick in it, nor on signs: a renumbering only permutes dofs.
    """

    vectors: NDArray[np.float64]
    space: NDArray[np.int64]


def low_modes(
    stiffness: csr_matrix, mass: csr_matrix, free: NDArray[np.bool_], count: int
) -> Modes:
    """Compute about `count` modes: an eigenspace that would be cut is left out.

    Shift-inverted Lanczos (ARPACK) with a fixed start vector; dense for few dofs.
    """
    n, kept = len(free), np.flatnonzero(free)
    count = min(count, len(kept))
    if count == 0:
        return Modes(np.zeros((n, 0)), np.zeros(0, np.int64))
    stiffness = csr_matrix(stiffness[kept][:, kept])
    mass = csr_matrix(mass[kept][:, kept])
    values, vectors = _eigenpairs(stiffness, mass, min(count + 1, len(kept)))
    space = _eigenspaces(values)
    keep = len(space) if len(space) <= count else int(np.searchsorted(space, space[count]))
    full = np.zeros((n, keep))
    full[kept] = vectors[:, :keep]
    return Modes(full, space[:keep])


def _eigenpairs(
    stiffness: csr_matrix, mass: csr_matrix, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The smallest eigenvalues, ascending, and their eigenvectors (n, count)."""
    n = mass.shape[0]
    if count >= n // 2:
        from scipy.linalg import eigh

        values, vectors = eigh(stiffness.toarray(), mass.toarray())
        return values[:count], vectors[:, :count]
    shift = -1e-2 * stiffness.diagonal().sum() / mass.diagonal().sum() / n
    start = np.random.default_rng(0).standard_normal(n)
    values, vectors = eigsh(stiffness, count, mass, sigma=shift, v0=start)
    order = np.argsort(values)
    return values[order], vectors[:, order]


def _eigenspaces(values: NDArray[np.float64]) -> NDArray[np.int64]:
    gaps = np.diff(values) > SAME * np.abs(values[1:])
    return np.concatenate([[0], np.cumsum(gaps)]).astype(np.int64)
