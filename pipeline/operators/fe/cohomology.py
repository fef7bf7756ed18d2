"""Fluxes without divergence: curls of potentials, and what is no curl (cohomology).

In a flux space V with mass matrix M, B = (∫ q_i ∇·φ_j) and walls, the dofs on which σ·n = 0,

    Z = {σ ∈ V : Bσ = 0, σ = 0 on walls} = range(C) ⊕ H,    Cᵀ M h = 0 for h ∈ H,

where C takes admissible potentials to their curls (rot in the plane). H holds the discrete
harmonic fluxes: the net flows from one open part of the boundary to another that no potential
gives, dim H = dim H^{n−1}(Ω, walls) in the plane less what wall constants give. Its definition by
M-orthogonality doesn't depend on the numbering, a basis of it on nothing but a rotation.
D. Arnold, R. Falk, R. Winther, Acta Numerica 15 (2006) 1, section 2.

All matrices are factorised by SuperLU without pivoting, as they are symmetric and positive.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, hstack, identity
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from pipeline.operators.errors import TrainingError

__all__ = [
    "CurlProjection",
    "DivergenceInverse",
    "Semidefinite",
    "admissible_potentials",
    "harmonic_fluxes",
]

Array = NDArray[np.float64]
SHIFT = 1e-9  # of the largest eigenvalue, about: leaves 8 digits in the null space, takes ~3 steps
STEPS = 40
VANISHED = 1e-7  # ‖h‖/‖z‖: for dim H > 0 and random z about (dim Z)^−½, else round-off
MOST = 512


class Semidefinite:
    """Solves A x = b with A symmetric positive semidefinite and b in its range.

    Proximal-point iteration x ← x + (A + δR)⁻¹(b − A x) to round-off, with one factorisation: its
    limit is the solution of least R-norm, and A may have any null space (constants, gradients).
    """

    def __init__(self, A: csr_matrix, R: csr_matrix) -> None:
        """Factorise A + δR; A, R are (n, n), R positive definite."""
        self._A = A
        if A.shape[0]:
            shift = SHIFT * float((A.diagonal() / R.diagonal()).max()) or 1.0
            self._factors = splu(
                (A + shift * R).tocsc(),
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )

    def __call__(self, b: Array) -> Array:
        """Return x (n, m) of b (n, m); of the part of b in the range of A if there is another."""
        x, left = np.zeros_like(b), b
        for _ in range(STEPS if b.size else 0):
            step = self._factors.solve(np.ascontiguousarray(left))
            rest = b - self._A @ (x + step)
            if not np.linalg.norm(rest) < 0.5 * np.linalg.norm(left):
                break
            x, left = x + step, rest
        return x


class DivergenceInverse:
    """σ with B σ = b and σ = 0 on walls: W⁻¹Bᵀ(B W⁻¹Bᵀ)⁻¹ b, W the diagonal of M."""

    def __init__(self, B: csr_matrix, M: csr_matrix, Q: csr_matrix, walls: NDArray) -> None:
        """Factorise.

        Args:
            B: (dim Q, dim V) ∫ q_i ∇·φ_j.
            M: (dim V, dim V) mass matrix of the fluxes.
            Q: (dim Q, dim Q) mass matrix of the divergences.
            walls: (k) constrained dofs.
        """
        weights = 1.0 / M.diagonal()
        weights[walls] = 0.0
        self._lift = csr_matrix(diags(weights) @ B.T)
        self._solve = Semidefinite(csr_matrix(B @ self._lift), Q)

    def __call__(self, b: Array) -> Array:
        """Return σ (dim V, m) of b (dim Q, m)."""
        return self._lift @ self._solve(b)


class CurlProjection:
    """The M-orthogonal projection onto curls: C (CᵀMC)⁺ CᵀM."""

    def __init__(self, C: csr_matrix, M: csr_matrix, R: csr_matrix) -> None:
        """Factorise CᵀMC; R is the mass matrix of the admissible potentials."""
        self._C, self._CtM = C, csr_matrix(C.T @ M)
        self._solve = Semidefinite(csr_matrix(self._CtM @ C), R)

    def potentials(self, sigma: Array) -> Array:
        """Return ψ (columns of C, m) of least R-norm, Cψ closest to σ (dim V, m)."""
        return self._solve(self._CtM @ sigma)

    def __call__(self, sigma: Array) -> Array:
        """Return Cψ (dim V, m)."""
        return self._C @ self.potentials(sigma)


def admissible_potentials(C: csr_matrix, walls: NDArray, plane: bool) -> csr_matrix:
    """Return the columns that span potentials without flow through walls.

    In the plane ψ is one constant on each connected component of the walls, in space A × n = 0
    there (any other A without flow differs by a gradient, or by what H holds).

    Args:
        C: (dim V, dim Ψ) discrete rot or curl.
        walls: (k) constrained flux dofs.
        plane: Ψ is scalar Lagrange; a constant has equal coefficients.

    Returns:
        (dim Ψ, columns): free dofs, in the plane with one column a component of the walls.
    """
    on_walls = csr_matrix(C[walls])
    touched = np.unique(on_walls.indices)
    free = np.setdiff1d(np.arange(C.shape[1]), touched)
    columns = csr_matrix(identity(C.shape[1], format="csr")[:, free])
    if not (plane and len(touched)):
        return columns
    pattern = csr_matrix(abs(on_walls[:, touched]))
    count, part = connected_components(pattern.T @ pattern, directed=False)
    constants = csr_matrix(
        (np.ones(len(touched)), (touched, part)), shape=(C.shape[1], count), dtype=np.float64
    )
    return csr_matrix(hstack([columns, constants]))


def harmonic_fluxes(
    inverse: DivergenceInverse,
    curls: CurlProjection,
    B: csr_matrix,
    M: csr_matrix,
    walls: NDArray,
) -> Array:
    """Return an M-orthonormal basis (dim V, q) of H, q ≥ 0.

    Random fluxes z of Z, less their curls and what is found of H, until nothing is left: the first
    that vanishes is in the span, with probability 1. Takes q + 1 of them, and needs no topology.

    Raises:
        TrainingError: q is beyond 512: the potentials don't fit the fluxes.
    """
    rng, root = np.random.default_rng(0), 1.0 / np.sqrt(M.diagonal())
    found = np.zeros((M.shape[0], 0))

    def harmonic(z: Array) -> Array:
        z = z - inverse(B @ z)
        z = z - curls(z)
        return z - found @ (found.T @ (M @ z))

    while True:
        z = (root * rng.standard_normal(M.shape[0]))[:, None]
        z[walls] = 0.0
        h = harmonic(z)
        if not _norm(h, M) > VANISHED * _norm(z, M):
            return found
        for _ in range(2):  # round-off of z is (dim Z)^½ larger beside h
            h = harmonic(h / _norm(h, M))
        h = h / _norm(h, M)
        found = np.hstack([found, h])
        if found.shape[1] > MOST:
            raise TrainingError(
                f"more than {MOST} fluxes without divergence are no curls of the potential space; "
                "expected one a hole: run the spec again to make `spaces.h5` anew"
            )


def _norm(z: Array, M: csr_matrix) -> float:
    return float(np.sqrt((z * (M @ z)).sum()))
