"""The decoder D: what a processor says at its places → coefficients in the output space V_h.

    u = b(z) + s (D w + H w̄),    then the exact constraints, in float64

D is a fixed sparse matrix. Plain fields have b = ū, the mean training output, and no H. A flux that
conserves (arXiv 2410.01065 leaves it open; the discrete de Rham complex, Arnold, Falk & Winther
2006) has the particular flux b(z) of the sample, D = the discrete curl of a potential and H = the
cohomology basis, with w̄ the mean of its own channels: div u = f_h for any w.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity
from torch import Tensor, nn

from pipeline.operators.fe.constraints import Constraint
from pipeline.operators.fe.flux import DivergenceConstraint
from pipeline.operators.fe.normalisation import OutputScale
from pipeline.operators.fe.places import Places
from pipeline.operators.fe.sparse import SparseProduct
from pipeline.operators.task import Task
from storage import Field

__all__ = ["FieldDecoder"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Linear:
    """D (dim, n·v), v, H (dim, q)."""

    matrix: csr_matrix
    components: int
    pooled: Array


class FieldDecoder(nn.Module):
    """The decoder of one output field.

    Attributes:
        channels: what it reads of the processor's output, T·(v + q).
    """

    free: Tensor
    pooled: Tensor
    integral: Tensor | None

    def __init__(
        self,
        field: Field,
        task: Task,
        places: Places,
        scale: OutputScale,
        constraint: Constraint | None,
        flux: DivergenceConstraint | None = None,
    ) -> None:
        """Set up the fixed matrices.

        Args:
            field: the output.
            task: the fields.
            places: of the processor.
            scale: ū and s.
            constraint: what holds exactly; None for operators that don't impose it.
            flux: of a field whose divergence is exact.
        """
        super().__init__()
        self.field, self.scale, self.constraint, self.flux = field, scale, constraint, flux
        self.steps = task.steps[field.name]
        self.linear = _plain(field, task, places) if flux is None else _curl(flux, task, places)
        self.channels = self.steps * (self.linear.components + self.linear.pooled.shape[1])
        self.product = (
            None if _is_identity(self.linear.matrix) else SparseProduct(self.linear.matrix)
        )
        dim = self.linear.matrix.shape[0]
        free = np.ones(dim)
        if constraint is not None and flux is None:
            free[constraint.dofs] = 0.0
        self.register_buffer("free", torch.from_numpy(free).float(), persistent=False)
        pooled = torch.from_numpy(self.linear.pooled).float()
        self.register_buffer("pooled", pooled, persistent=False)
        integral = None if constraint is None else constraint.integral
        weights = None if integral is None else torch.from_numpy(integral / integral.sum()).float()
        self.register_buffer("integral", weights, persistent=False)

    def forward(self, w: Tensor) -> Tensor:
        """Return normalised deviations (u − b)/s: (B, n, channels) → (B, T, dim), float32."""
        local, mean = self._split(w)
        y = local if self.product is None else self.product(local.T.contiguous()).T
        y = y.reshape(w.shape[0], self.steps, -1)
        if mean is not None:
            y = y + mean @ self.pooled.T
        y = y * self.free
        return y if self.integral is None else y - (y @ self.integral)[..., None]

    def decode(self, w: Tensor, inputs: Mapping[str, Array]) -> Array:
        """Return the coefficients (B, T, dim) in float64, constraints imposed."""
        local, mean = self._split(w.double())
        y = (self.linear.matrix @ local.numpy().T).T.reshape(len(w), self.steps, -1)
        if mean is not None:
            y = y + mean.numpy() @ self.linear.pooled.T
        u = self.base(inputs, len(w)) + self.scale.scale * y
        if self.constraint is not None and self.flux is None:
            self.constraint.apply(u, inputs)
        return u

    def base(self, inputs: Mapping[str, Array], count: int) -> Array:
        """Return b (B, T, dim).

        The mean output with the sample's own values on fixed dofs, or its particular flux.
        """
        if self.flux is not None:
            return self.flux.particular(dict(inputs))[:, None]
        b = np.tile(self.scale.mean, (count, 1, 1))
        if self.constraint is not None:
            b[..., self.constraint.dofs] = self.constraint.wanted(inputs, count)[:, None]
        return b

    def _split(self, w: Tensor) -> tuple[Tensor, Tensor | None]:
        """Channels (B, n, T·(v + q)) → values (B·T, n·v), means (B, T, q)."""
        batch, n, _ = w.shape
        v, q = self.linear.components, self.linear.pooled.shape[1]
        w = w.reshape(batch, n, self.steps, v + q).transpose(1, 2)
        local = w[..., :v].reshape(batch * self.steps, n * v)
        return local, w[..., v:].mean(dim=2) if q else None


def _plain(field: Field, task: Task, places: Places) -> _Linear:
    matrix, v = places.coefficients(task.space(field))
    return _Linear(matrix, v, np.zeros((matrix.shape[0], 0)))


def _curl(flux: DivergenceConstraint, task: Task, places: Places) -> _Linear:
    """D = curl · R⁺ · (coefficients of the potential), scaled to entries that matter."""
    potential, v = places.coefficients(task.spaces[flux.potential])
    R = csr_matrix(flux.reduction)
    counts = np.asarray(R.multiply(R).sum(axis=0)).ravel()
    inverse = csr_matrix(R.multiply(1.0 / np.maximum(counts, 1e-300)).T)
    matrix = csr_matrix(flux.curl @ inverse @ potential)
    # A potential varies over the domain, its curl over an edge: one unit of ψ is n_axis of flux.
    matrix = (
        matrix * float(np.sqrt(matrix.shape[0])) / max(float(np.abs(matrix.data).max()), 1e-300)
    )
    H = np.asarray(flux.cohomology, dtype=np.float64)
    size = np.sqrt((H**2).mean(axis=0, keepdims=True)) if H.size else 1.0
    return _Linear(matrix, v, H / size)


def _is_identity(matrix: csr_matrix) -> bool:
    return matrix.shape[0] == matrix.shape[1] and (matrix != identity(matrix.shape[0])).nnz == 0
