"""A loss without labels: the residual of the assembled equations at what an operator predicts.

For a problem whose system is affine in the data z of a sample, assembled once,

    A(z) = s₀ + S z,    b(z) = b₀ + B z,    F(u; z) = b(z) − A(z) u    on the free dofs,

the loss is the mean over samples of ‖F(u; z)‖_* / ‖F(u_D; z)‖_*, u_D the Dirichlet values alone:
FEONet's (Lee, Ko and Hong, arXiv 2308.04690), but in the dual norm of the space of tests,

    ‖F‖_* = sup_v F(v) / ‖v‖_G = √(Fᵀ G⁻¹ F).

Where A is bounded by β and coercive (or inf-sup stable) with α in the norm of G, the error e obeys
α ‖e‖_G ≤ ‖F‖_* ≤ β ‖e‖_G on every mesh; the 2-norm of F would bound it up to h⁻² only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import splu
from torch import Tensor, nn

from pipeline.operators.errors import TrainingError

__all__ = ["AssembledOperators", "ResidualLoss", "pattern_product"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AssembledOperators:
    """Plain tables of A(z) and b(z), in the numbering of `spaces.h5`.

    u is the vector of all outputs' coefficients, one field after the other (`blocks/w` in
    `spaces.h5`), z that of all inputs' and parameters'. Row i of A and b is that of dof free[i].

    Attributes:
        inputs: Column of the data set → (start, stop) in z.
        outputs: Field → (start, stop) in u.
        free: (k) dofs without a Dirichlet condition, ascending.
        indptr: (k + 1) of the CSR pattern of A (k, dim): free rows, all columns.
        indices: (entries) columns of A.
        S: (entries, m) CSR: A(z).data = S z + s0.
        s0: (entries).
        B: (k, m) CSR: b(z) = B z + b0.
        b0: (k).
        gram: (k, k) CSR, G: a block for each field, weighted so that fields of different units
            count alike.
    """

    inputs: dict[str, tuple[int, int]]
    outputs: dict[str, tuple[int, int]]
    free: NDArray[np.integer]
    indptr: NDArray[np.integer]
    indices: NDArray[np.integer]
    S: csr_matrix
    s0: Array
    B: csr_matrix
    b0: Array
    gram: csr_matrix

    @property
    def dim(self) -> int:
        """Length of u."""
        return max(stop for _, stop in self.outputs.values())

    def data(self, columns: Mapping[str, Any]) -> Array:
        """Return z (samples, m) of columns {"inputs/a": (samples, dofs), "parameters/k": …}.

        Raises:
            TrainingError: A column is missing, or has another length.
        """
        parts = []
        for name, (start, stop) in self.inputs.items():
            if name not in columns:
                raise TrainingError(
                    f"residual loss: columns {sorted(columns)}; expected {name!r} among them, "
                    "the system depends on it"
                )
            part = np.asarray(columns[name], dtype=np.float64)
            parts.append(part.reshape(len(part), -1))
            if parts[-1].shape[1] != stop - start:
                raise TrainingError(
                    f"residual loss: {name!r} has {parts[-1].shape[1]} values a sample, expected "
                    f"{stop - start}; use the tables of this data set"
                )
        return np.concatenate(parts, axis=1)

    def solution(self, fields: Mapping[str, Tensor]) -> Tensor:
        """Return u (samples, dim) of the coefficients of all output fields, (samples, …) each."""
        return torch.cat([fields[name].flatten(1) for name in self.outputs], dim=1)

    def matrix(self, z: Array) -> csr_matrix:
        """Return A(z) (k, dim) of one sample."""
        parts = (self.S @ z + self.s0, self.indices, self.indptr)
        return csr_matrix(parts, shape=(len(self.free), self.dim))


class ResidualLoss(nn.Module):
    """Mean over samples of ‖F(u; z)‖_* / ‖F(u_D; z)‖_*; differentiable in u, in float64.

    u has to hold the Dirichlet values: they are data, so no gradient goes to them. Where the
    Dirichlet values alone solve the equations, ‖F(u; z)‖_* itself counts.
    """

    def __init__(self, operators: AssembledOperators) -> None:
        """Split A by free and constrained columns, and factorise G.

        Args:
            operators: The assembled operators.
        """
        super().__init__()
        self.operators = operators
        self._factor = _factor(operators.gram)
        rows = np.repeat(np.arange(len(operators.free)), np.diff(operators.indptr))
        place = np.full(operators.dim, -1)
        place[operators.free] = np.arange(len(operators.free))
        columns = place[operators.indices]
        inside = columns >= 0
        self._order = np.concatenate([np.flatnonzero(inside), np.flatnonzero(~inside)])
        self._split = int(inside.sum())
        self._s0, self._S = operators.s0[self._order], operators.S[self._order]
        self._inside = _indices(rows[inside]), _indices(columns[inside])
        self._beside = _indices(rows[~inside]), _indices(operators.indices[~inside])
        self._free = _indices(operators.free)

    def residuals(self, u: Tensor, z: Array | Tensor) -> tuple[Tensor, Tensor]:
        """Return F(u; z) and F(u_D; z), (samples, k) each, in float64.

        Args:
            u: (samples, dim) coefficients.
            z: (samples, m) data.

        Raises:
            TrainingError: Another number of coefficients or data.
        """
        z = np.asarray(z.detach().cpu() if isinstance(z, Tensor) else z, dtype=np.float64)
        expected = (len(z), self.operators.dim), (len(u), self.operators.S.shape[1])
        if (tuple(u.shape), z.shape) != expected:
            raise TrainingError(
                f"residual loss: u {tuple(u.shape)} and z {z.shape}; expected {expected[0]} and "
                f"{expected[1]}: use `solution` and `data` of the assembled operators"
            )
        u = u.double()  # b − A u cancels: float32 would leave 1e-7 ‖A‖ ‖u‖
        values = torch.from_numpy(self._S @ z.T + self._s0[:, None])
        right = torch.from_numpy(self.operators.B @ z.T + self.operators.b0[:, None])
        constrained, free = u.detach().T, u[:, self._free].T
        n, split = len(right), self._split
        at_zero = right - pattern_product(values[split:], self._beside, constrained, n)
        inside = pattern_product(values[:split], self._inside, free, n)
        return (at_zero - inside).T, at_zero.T

    def relative(self, u: Tensor, z: Array | Tensor) -> Tensor:
        """Return ‖F(u; z)‖_* / ‖F(u_D; z)‖_* (samples); arguments as of `residuals`."""
        F, at_zero = self.residuals(u, z)
        size = self._norm(at_zero)
        return self._norm(F) / torch.where(size > 0, size, 1.0)

    def forward(self, u: Tensor, z: Array | Tensor) -> Tensor:
        """Return the mean of `relative`."""
        return self.relative(u, z).mean()

    def _norm(self, F: Tensor) -> Tensor:
        return _DualNorm.apply(F, self._factor)  # type: ignore[no-any-return,no-untyped-call]


def pattern_product(values: Tensor, pattern: tuple[Tensor, Tensor], u: Tensor, n: int) -> Tensor:
    """Return A u (n, samples) for matrices of one pattern; differentiable in u and the values.

    Samples are the last axis, so that each entry works on a row in memory.

    Args:
        values: (entries, samples) of A, each sample its own.
        pattern: Row and column of each entry, (entries).
        u: (columns of A, samples).
        n: Number of rows.
    """
    rows, columns = pattern
    zeros = torch.zeros(n, u.shape[1], dtype=values.dtype)
    return zeros.index_add(0, rows, values * u.index_select(0, columns))


def _indices(found: NDArray[Any]) -> Tensor:
    return torch.from_numpy(found.astype(np.int64))


def _factor(gram: csr_matrix) -> Any:
    """The factors of G, symmetric and positive definite: no pivots are looked for."""
    options = {"SymmetricMode": True}
    return splu(gram.tocsc(), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)


class _DualNorm(torch.autograd.Function):
    """√(FᵀG⁻¹F) of each row F; its gradient is G⁻¹F over the norm."""

    @staticmethod
    def forward(ctx: Any, F: Tensor, factor: Any) -> Tensor:
        riesz = torch.from_numpy(factor.solve(F.detach().numpy().T)).T
        norm = (F * riesz).sum(1).clamp(min=0.0).sqrt()
        ctx.save_for_backward(riesz, norm)
        return norm

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        riesz, norm = ctx.saved_tensors
        # F = 0 is a minimum: its subgradient 0, not 0/0
        return gradient[:, None] * riesz / torch.where(norm > 0, norm, 1.0)[:, None], None
