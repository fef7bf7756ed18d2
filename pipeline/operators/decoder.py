"""The decoder D: what a processor says at its places → coefficients in the output space V_h.

    u = b(z) + s (D w + H w̄),    then the exact constraints, in float64

D is a fixed sparse matrix. Plain fields have b = ū, the mean training output, and no H. A flux that
conserves (arXiv 2410.01065 leaves it open; the discrete de Rham complex, Arnold, Falk & Winther
2006) has b(z) = the particular flux of the sample + the mean of what is left, D = the discrete curl
of a potential and H = the cohomology basis, with w̄ the mean of its own channels: div u = f_h for
any w.
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
from pipeline.operators.fe.normalisation import OutputScale, positions
from pipeline.operators.fe.norms import norm
from pipeline.operators.fe.places import Places
from pipeline.operators.fe.sparse import SparseProduct
from pipeline.operators.task import Task
from storage import Dataset, Field
from storage.volumes import volumes

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
    masters: Tensor | None
    offset: Tensor
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
        train: Dataset | None = None,
    ) -> None:
        """Set up the fixed matrices.

        Args:
            field: the output.
            task: the fields.
            places: of the processor.
            scale: ū and s.
            constraint: what holds exactly; None for operators that don't impose it.
            flux: of a field whose divergence is exact.
            train: training samples, with `flux`.
        """
        super().__init__()
        self.field, self.scale, self.constraint, self.flux = field, scale, constraint, flux
        self.steps = task.steps[field.name]
        if flux is None:
            self.linear = _plain(field, task, places)
        else:
            self.linear = _curl(flux, field, task, places)
        self.channels = self.steps * (self.linear.components + self.linear.pooled.shape[1])
        self.product = (
            None if _is_identity(self.linear.matrix) else SparseProduct(self.linear.matrix)
        )
        dim = self.linear.matrix.shape[0]
        free = np.ones(dim)
        if constraint is not None and flux is None:
            free[constraint.dofs] = 0.0
        masters = None
        if constraint is not None and len(constraint.slaves):
            masters = torch.arange(dim)
            masters[constraint.slaves] = torch.from_numpy(constraint.masters)
        self.register_buffer("masters", masters, persistent=False)
        self.register_buffer("free", torch.from_numpy(free).float(), persistent=False)
        if flux is not None and train is not None:
            offset = torch.from_numpy(_mean_offset(flux, task, scale, train))
            self.register_buffer("offset", offset)
        pooled = torch.from_numpy(self.linear.pooled).float()
        self.register_buffer("pooled", pooled, persistent=False)
        integral = None if constraint is None else constraint.integral
        weights = None if integral is None else integral / (integral @ free)
        mean = None if weights is None else torch.from_numpy(weights).float()
        self.register_buffer("integral", mean, persistent=False)

    def forward(self, w: Tensor) -> Tensor:
        """Return normalised deviations (u − b)/s: (B, n, channels) → (B, T, dim), float32."""
        local, mean = self._split(w)
        y = local if self.product is None else self.product(local.T.contiguous()).T
        y = y.reshape(w.shape[0], self.steps, -1)
        if mean is not None:
            y = y + mean @ self.pooled.T
        if self.masters is not None:
            y = y[..., self.masters]
        y = y * self.free
        return y if self.integral is None else y - (y @ self.integral)[..., None] * self.free

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
            return (self.flux.particular(inputs) + self.offset.cpu().numpy())[:, None]
        b = np.tile(self.scale.mean, (count, 1, 1))
        if self.constraint is not None:
            b[..., self.constraint.dofs] = self.constraint.wanted(inputs, count)
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


def _curl(flux: DivergenceConstraint, field: Field, task: Task, places: Places) -> _Linear:
    """D = curl · R⁺ · (coefficients of the potential) and H; w = 1 is a field of size about 1."""
    potential, v = places.coefficients(task.spaces[flux.potential])
    R = csr_matrix(flux.reduction)
    counts = np.asarray(R.multiply(R).sum(axis=0)).ravel()
    inverse = csr_matrix(R.multiply(1.0 / np.maximum(counts, 1e-300)).T)
    matrix = csr_matrix(flux.curl @ inverse @ potential)
    matrix = matrix * float(np.ptp(np.asarray(task.mesh["points"]), axis=0).max())
    H = np.asarray(flux.cohomology, dtype=np.float64)
    if H.size:
        mass = csr_matrix(task.space(field)["grams"]["mass"])
        H = H / (norm(mass, H.T) / np.sqrt(volumes(task.mesh).sum()))
    return _Linear(matrix, v, H)


def _mean_offset(
    flux: DivergenceConstraint, task: Task, scale: OutputScale, train: Dataset
) -> Array:
    """Mean of σ − σ_p over the training samples, as a curl and a harmonic flux, exactly."""
    total = np.zeros(scale.mean.shape[1])
    for rows in positions(train):
        total += flux.particular(task.given(train, rows)).sum(axis=0)
    psi, c = flux.coordinates((scale.mean[0] - total / max(1, len(train)))[None])
    return np.asarray(flux.curl @ psi[0] + flux.cohomology @ c[0])


def _is_identity(matrix: csr_matrix) -> bool:
    return matrix.shape[0] == matrix.shape[1] and (matrix != identity(matrix.shape[0])).nnz == 0
