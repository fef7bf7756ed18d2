"""Harmonic Ritz vectors of a deflated Krylov cycle: the small dense problems of GCRO-DR."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

Array = NDArray[np.float64]


class Cycle(NamedTuple):
    """The relation A [U V_j] = [C V_i] G of a cycle, G = [[I, B], [0, H]], and H = Q R.

    Attributes:
        B: (k, j) coefficients CᵀA V.
        H: (i, j) upper Hessenberg, i = j + 1, or i = j after a breakdown.
        Q: (i, i) orthogonal.
        R: (j, j) upper triangular.
        regular: R is invertible in double precision.
        broken: The Krylov space is exhausted (H is square).
    """

    B: Array
    H: Array
    Q: Array
    R: Array
    regular: bool
    broken: bool


def factorise(B: Array, H: Array, broken: bool) -> Cycle:
    """The QR factors of the Hessenberg matrix of a cycle. Not collective."""
    Q, R = np.linalg.qr(H, mode="complete")
    R = R[: H.shape[1]]
    scale = np.linalg.norm(H, axis=0)
    regular = bool(np.all(np.abs(np.diag(R)) > 1e-13 * scale))
    return Cycle(B, H, Q, R, regular, broken)


def least_squares(cycle: Cycle, beta: float) -> Array:
    """The y that minimises ‖β e₁ − H y‖₂, of minimal norm if H is rank deficient."""
    if cycle.regular:
        y, _ = lapack.dtrtrs(cycle.R, beta * cycle.Q[0, : cycle.R.shape[0]])
        return y
    e1 = np.zeros(cycle.H.shape[0])
    e1[0] = beta
    return np.linalg.lstsq(cycle.H, e1, rcond=1e-13)[0]


def harmonic_ritz(
    cycle: Cycle, CtU: Array, VtU: Array, k: int
) -> tuple[Array, Array, Array] | None:
    """Coefficients of the recycled space spanned by the k smallest harmonic Ritz vectors.

    Parks et al. (2006), equation (2.16): GᵀG z = θ Gᵀ ŴᵀV̂ z with V̂ = [U V_j], Ŵ = [C V_i]. With
    the QR factors G = Q R, R = [[I, B], [0, R_H]], and t = R z it becomes the ordinary eigenproblem
    K t = θ⁻¹ t, K = Qᵀ (ŴᵀV̂) R⁻¹: nothing is squared, and an orthonormal basis T of the wanted
    invariant subspace gives C = Ŵ Q T with orthonormal columns and U = V̂ R⁻¹ T, A U = C.

    The subspace is taken from the ordered real Schur form of K, so that everything stays real. A
    complex pair is never cut: if the k-th value is the first of a pair, k + 1 vectors are kept.

    Args:
        cycle: The factors of the cycle.
        CtU: (k₀, k₀) products CᵀU of the recycled space before.
        VtU: (i, k₀) products VᵀU.
        k: The number of vectors wanted.

    Returns:
        P (k₀ + j, k'), Q (k₀ + i, k') with U ← V̂ P and C ← Ŵ Q, and CᵀU of the new space; None if
        the cycle gives no usable space.
    """
    if not cycle.regular:
        return None
    k0, j = cycle.B.shape[0], cycle.H.shape[1]
    K = np.zeros((k0 + j, k0 + j))
    K[:k0, :k0] = CtU
    K[k0:, :k0] = cycle.Q[:, :j].T @ VtU
    K[k0:, k0:] = cycle.Q[:j, :j].T
    inverse = np.eye(k0 + j)  # R⁻¹ = [[I, −B R_H⁻¹], [0, R_H⁻¹]]
    inverse[k0:, k0:] = lapack.dtrtri(cycle.R)[0]
    inverse[:k0, k0:] = -cycle.B @ inverse[k0:, k0:]
    K = K @ inverse
    if not np.all(np.isfinite(K)):
        return None
    schur = _largest_invariant_subspace(K, k)
    if schur is None:
        return None
    T, core = schur
    return inverse @ T, np.vstack([T[:k0], cycle.Q[:, :j] @ T[k0:]]), core


def _largest_invariant_subspace(K: Array, k: int) -> tuple[Array, Array] | None:
    """An orthonormal basis T of the invariant subspace of the k largest |eigenvalues|, and TᵀKT."""
    S, _, real, imag, Z, _, info = lapack.dgees(_never, K)
    if info != 0:
        return None
    chosen = choose(real, imag, k)
    count = int(chosen.sum())
    if count < K.shape[0]:
        S, Z, *_, info = lapack.dtrsen(chosen.astype(np.int32), S, Z, job=b"N", lwork=len(K))
        if info != 0:
            return None
    return Z[:, :count], S[:count, :count]


def choose(real: Array, imag: Array, k: int) -> NDArray[np.bool_]:
    """Mark the k eigenvalues of largest modulus; a complex pair is marked whole (k + 1 then).

    `real`, `imag` come from a real Schur form: the members of a pair follow each other, the one
    with positive imaginary part first.
    """
    chosen, count = np.zeros(len(real), dtype=bool), 0
    for index in np.argsort(-np.hypot(real, imag), kind="stable").tolist():
        if count >= k:
            break
        if chosen[index]:
            continue
        part = float(imag[index])
        partner = index + (part > 0) - (part < 0)
        chosen[index] = chosen[partner] = True
        count += 1 + (part != 0)
    return chosen


def _never(real: float, imag: float) -> int:
    return 0
