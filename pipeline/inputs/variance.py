"""The exact diagonal of A⁻¹ (M A⁻¹)^p for sparse symmetric A: variances of Matérn fields."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import breadth_first_order

from pipeline.inputs.blas import one_thread

__all__ = ["inverse_power_diagonal"]

Array = NDArray[np.float64]
Blocks = list[Any]
Taylor = list[Array]
"""Coefficients of a matrix polynomial in t, lowest first, cut off above t^p."""

_MOST_BYTES = 2**32


def inverse_power_diagonal(A: Any, mass: Array, power: int) -> Array:
    """Return the diagonal of A⁻¹ (M A⁻¹)^p, M = diag(mass). Not collective.

    (A + t M)⁻¹ has (−1)^p A⁻¹ (M A⁻¹)^p as its t^p coefficient. In breadth-first order A is
    block tridiagonal, and the diagonal blocks of its inverse follow from two sweeps of Schur
    complements (Takahashi, Fagan & Chen 1973, in blocks), done here with polynomials in t.
    The work is O(n b²) for blocks of size b (about √n in the plane, n^⅔ in space), the memory
    16 (p + 1) n b bytes.

    Args:
        A: Symmetric positive definite, SciPy CSR (n, n).
        mass: Diagonal of M, (n,).
        power: p ≥ 0.

    Raises:
        ValueError: It would take more than 4 GiB.
    """
    order, levels = _levels(A)
    sizes = np.diff(levels)
    if (need := 16 * (power + 1) * float(np.sum(sizes.astype(float) ** 2))) > _MOST_BYTES:
        raise ValueError(f"exact variances on {len(mass)} nodes take {need / 2**30:.0f} GiB")
    permuted, mass = A[order][:, order].tocsr(), mass[order]
    cuts = [slice(a, b) for a, b in zip(levels[:-1], levels[1:], strict=True)]
    diagonal = [_pencil(permuted[s, s].toarray(), mass[s], power) for s in cuts]
    lower = [permuted[b, a] for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
    result = np.empty(len(mass))
    with one_thread():
        below = list(_schur(diagonal[::-1], [block.T.tocsr() for block in lower[::-1]]))[::-1]
        for s, block, left, right in zip(
            cuts, diagonal, _schur(diagonal, lower), below, strict=True
        ):
            total = [c - x - y for c, x, y in zip(block, left, right, strict=True)]
            result[order[s]] = np.diagonal(_inverse(total)[power])
    return (-1) ** power * result


def _schur(diagonal: list[Taylor], lower: Blocks) -> Iterator[Taylor]:
    """For each block, what elimination of all blocks before it takes from its diagonal."""
    size = len(diagonal[0][0])
    taken: Taylor = [np.zeros((size, size)) for _ in diagonal[0]]
    for i, block in enumerate(diagonal):
        yield taken
        if i < len(lower):
            inverse = _inverse([c - x for c, x in zip(block, taken, strict=True)])
            taken = [lower[i] @ (lower[i] @ c.T).T for c in inverse]


def _pencil(a: Array, mass: Array, power: int) -> Taylor:
    """A + t M as a polynomial."""
    higher = [np.diag(mass)] + [np.zeros_like(a)] * power
    return [a, *higher[:power]]


def _inverse(x: Taylor) -> Taylor:
    """The inverse of a matrix polynomial: Y₀ = X₀⁻¹, Y_k = −Y₀ Σ_{j ≥ 1} X_j Y_{k−j}."""
    y = [np.linalg.inv(x[0])]
    for k in range(1, len(x)):
        y.append(-y[0] @ sum(x[j] @ y[k - j] for j in range(1, k + 1)))
    return y


def _levels(A: Any) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A breadth-first order of the nodes, and where each level starts in it (and the end)."""
    n = A.shape[0]
    order: list[NDArray[np.intp]] = []
    starts = [0]
    left = np.ones(n, dtype=bool)
    while left.any():  # once for each connected part
        seed = int(np.argmax(left))
        for _ in range(2):  # the far end of the far end gives long, narrow levels
            nodes, parents = breadth_first_order(A, seed, directed=False)
            seed = int(nodes[-1])
        nodes, parents = breadth_first_order(A, seed, directed=False)
        depth = np.zeros(n, dtype=np.intp)
        for node in nodes[1:]:
            depth[node] = depth[parents[node]] + 1
        starts.extend(starts[-1] + np.cumsum(np.bincount(depth[nodes])))
        order.append(nodes)
        left[nodes] = False
    return np.concatenate(order), np.array(starts)
