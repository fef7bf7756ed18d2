"""Gaussian random fields at the points of a mesh."""

from functools import cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import ThreadpoolController

from pipeline.models import SpecModel

__all__ = ["CosineField", "CosineFieldSpec"]

Array = NDArray[np.float64]


class CosineFieldSpec(SpecModel):
    """Mean-zero Gaussian field with covariance C = σ² τ^(2(α−1)) (τ² I − Δ)^(−α).

    Δ is the Laplacian with Neumann conditions on the unit square; its constant mode is left
    out, so the field has zero mean over the square. σ = 1 and (α, τ) = (2, 3) are the
    convention of the Fourier neural operator's Darcy set (Li et al., ICLR 2021, appendix).
    """

    kind: Literal["cosine"] = "cosine"
    alpha: Annotated[float, Field(gt=1, le=20)] = Field(
        2.0, description="Smoothness α of the covariance; samples are in H^s for s < α − 1."
    )
    tau: Annotated[float, Field(gt=0, le=1000)] = Field(
        3.0, description="Inverse length scale τ, in 1/length of the unit square."
    )
    sigma: Annotated[float, Field(gt=0, le=1000)] = Field(
        1.0, description="Amplitude σ, without dimension."
    )
    modes: Annotated[int, Field(ge=2, le=512)] = Field(
        64, description="Cosine modes kept in each direction, 0 … modes − 1."
    )

    REVISION: ClassVar[int] = 1  # raised whenever the same spec would give other samples


class CosineField:
    """The Karhunen–Loève series g(x) = Σ_k √λ_k ξ_k φ_k(x), ξ_k ~ N(0, 1) independent.

    φ_k(x, y) = c_{k₁} c_{k₂} cos(πk₁x) cos(πk₂y), c₀ = 1, c_j = √2 otherwise (orthonormal in
    L²), and √λ_k = σ τ^(α−1) (π²|k|² + τ²)^(−α/2), λ₀ = 0.

    Attributes:
        size: Number of normal variates a sample needs, modes².
    """

    def __init__(self, spec: CosineFieldSpec, points: Array) -> None:
        """Prepare the series.

        Args:
            spec: The covariance.
            points: Where samples are evaluated, shape (n, 2).

        Raises:
            ValueError: The points are not in the plane.
        """
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(
                f"points of shape {points.shape}: a cosine field needs points in the plane, (n, 2)"
            )
        k = np.arange(spec.modes)
        norm2 = (np.pi**2) * (k[:, None] ** 2 + k[None, :] ** 2)
        self._root = spec.sigma * spec.tau ** (spec.alpha - 1)
        self._root = self._root * (norm2 + spec.tau**2) ** (-spec.alpha / 2)
        self._root[0, 0] = 0.0
        self.size = spec.modes**2
        x, self._ix = np.unique(points[:, 0], return_inverse=True)
        y, self._iy = np.unique(points[:, 1], return_inverse=True)
        self._gridded = x.size * y.size <= 4 * len(points)
        if not self._gridded:
            x, y = points[:, 0], points[:, 1]
        self._cos_x, self._cos_y = _cosines(x, spec.modes), _cosines(y, spec.modes)
        self._leading = np.argsort(-self._root.ravel(), kind="stable")

    def draw(self, rng: Generator) -> Array:
        """Return the normal variates ξ of one sample, shape (size,)."""
        return rng.standard_normal(self.size)

    def evaluate(self, xi: Array) -> Array:
        """Return g at the points, shape (n,).

        One sample at a time, in shapes that depend on the points only, on one BLAS thread:
        batched or threaded products change last bits, and a threshold makes flips of those.
        """
        weights = self._root * xi.reshape(self._root.shape)
        with _blas().limit(limits=1, user_api="blas"):
            rows = self._cos_x @ weights
            if self._gridded:
                return (rows @ self._cos_y.T)[self._ix, self._iy]
            return np.einsum("nk,nk->n", rows, self._cos_y)

    def features(self, xi: Array, count: int) -> Array:
        """Return the `count` coefficients √λ_k ξ_k of largest variance.

        Their Euclidean distance is the L² distance of the fields, up to the modes left out.
        """
        leading = self._leading[:count]
        return self._root.ravel()[leading] * xi[leading]


@cache
def _blas() -> ThreadpoolController:
    """The process's BLAS libraries; looking for them costs more than one sample."""
    return ThreadpoolController()


def _cosines(x: Array, modes: int) -> Array:
    """c_k cos(πk x), shape (len(x), modes)."""
    k = np.arange(modes)
    return np.where(k == 0, 1.0, np.sqrt(2.0)) * np.cos(np.pi * np.outer(x, k))
