"""One cycle of Arnoldi steps with the deflated operator."""

import numpy as np

from solvers.basis import Basis
from solvers.gram_schmidt import GramSchmidt
from solvers.harmonic import Cycle, factorise, least_squares
from solvers.ksp_run import ITERATING, KSPRun


def arnoldi(
    run: KSPRun, basis: Basis, rows: GramSchmidt, k: int, beta: float, steps: int
) -> tuple[Cycle | None, float, int]:
    """Arnoldi steps with (I − CCᵀ)B from V₁ = row k of W, B V_j = C B + V_{j+1} H. Collective.

    The norm of the residual of step j is β/‖u‖ with uᵀH = 0, u₁ = 1 (E. Ayachour, J. Comput.
    Appl. Math. 159 (2003) 269): one short inner product instead of Givens rotations.

    Args:
        run: Counts, shows and tests.
        basis: Rows 0 … k−1 are C; V follows.
        rows: Has begun this cycle.
        k: The number of vectors C.
        beta: The norm of the residual, whose direction is V₁.
        steps: The number of steps at most.

    Returns:
        The cycle (None after NaN), the residual norm, the reason to stop.
    """
    n = basis.layout[0]
    G = np.zeros((k + steps + 1, steps), order="F")  # B above H; the columns are contiguous
    u = np.zeros(steps + 1)
    u[0], norm, reason, broken, used = 1.0, beta, ITERATING, False, 0
    for j in range(steps):
        c, used = k + j + 1, j + 1
        run.operator.apply(basis.w[c - 1], basis.w[c])
        length = rows.orthogonalise(c, k, G[:c, j])
        G[c, j] = length
        if not length < np.inf:
            return None, length, run.record(length)
        broken = length == 0.0 or c >= n
        if broken:
            break
        u[j + 1] = -float(u[:used] @ G[k:c, j]) / length
        norm = beta / float(u[: j + 2] @ u[: j + 2]) ** 0.5
        reason = run.record(norm)
        if reason:
            break
    cycle = factorise(G[:k, :used], G[k : k + used + (not broken), :used], broken)
    if broken:
        e1 = np.zeros(used)
        e1[0] = beta
        norm = float(np.linalg.norm(e1 - cycle.H @ least_squares(cycle, beta)))
        reason = run.record(norm)
    return cycle, norm, reason
