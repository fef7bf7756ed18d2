"""The true residual of a solution as stored."""

from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import DTypeLike, NDArray
from petsc4py import PETSc


def true_residual(
    A: PETSc.Mat,
    b: PETSc.Vec,
    x: NDArray[np.floating],
    free: NDArray[np.bool_] | None = None,
    dtype: DTypeLike = np.float64,
    work: tuple[PETSc.Vec, PETSc.Vec] | None = None,
) -> float:
    """ρ = ‖(A x − b)_free‖₂ / ‖b_free‖₂, or the numerator alone if the denominator is zero.

    `x` is rounded to `dtype` first: what counts is the solution that is stored. Collective.

    Args:
        A: (n, n) matrix with identity rows for constrained dofs.
        b: (n,) lifted right-hand side.
        x: (n_local,) owned values.
        free: (n_local,) mask of the owned free dofs; None: all.
        dtype: The storage dtype.
        work: Two vectors like `b` to work in; made and destroyed here if None.

    Returns:
        ρ, the same on all ranks; NaN or Inf if the data are not finite.
    """
    X, R = work or (b.duplicate(), b.duplicate())
    with np.errstate(over="ignore", invalid="ignore"):
        X.setArray(np.asarray(x).astype(dtype).astype(np.float64))  # type: ignore[arg-type]
        A.mult(X, R)
        residual, right = R.getArray(readonly=True) - b.getArray(readonly=True), b.getArray(True)
        if free is not None:
            residual, right = residual[free], right[free]
        squares = np.array([residual @ residual, right @ right])
    if work is None:
        X.destroy()
        R.destroy()
    top, bottom = np.sqrt(all_sum(b.comm.tompi4py(), squares))
    return float(top / bottom) if bottom > 0 else float(top)


def all_sum(comm: MPI.Comm, values: NDArray[Any]) -> NDArray[Any]:
    """Sum over the ranks, in place. Collective."""
    if comm.size > 1:
        comm.Allreduce(MPI.IN_PLACE, values, MPI.SUM)
    return values
