"""Gaussian fields on boxes as Karhunen–Loève series of cosines."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from pipeline.inputs.series import TensorSeries
from pipeline.inputs.where import Where
from pipeline.models import SpecModel
from pipeline.spec_errors import SpecError

__all__ = ["CosineField", "CosineFieldSpec"]

Array = NDArray[np.float64]

_MOST_MODES = 2**22


class CosineFieldSpec(SpecModel):
    """Mean-zero Gaussian field with covariance C = σ² τ^(2α−d) (τ² I − Δ)^(−α) on the unit box.

    d is the dimension, Δ the Laplacian with Neumann conditions on the unit box, to which the
    mesh's bounding box is scaled side by side: lengths count in its sides. The constant mode is
    left out, so the field has zero mean over the box. σ = 1 and (α, τ) = (2, 3) are the
    convention of the Fourier neural operator's Darcy set (Li et al., ICLR 2021, appendix), where
    d = 2 and the factor is τ^(2(α−1)).
    """

    kind: Literal["cosine"] = Field("cosine", description="Series of cosines on a box.")
    alpha: Annotated[float, Field(gt=0.5, le=20)] = Field(
        2.0, description="Smoothness α > d/2; samples are in H^s for s < α − d/2."
    )
    tau: Annotated[float, Field(gt=0, le=1000)] = Field(
        3.0, description="Inverse length scale τ, in 1/length of the unit box."
    )
    sigma: Annotated[float, Field(gt=0, le=1e15)] = Field(
        1.0, description="Amplitude σ, in units of the field."
    )
    modes: Annotated[int, Field(ge=2, le=512)] = Field(
        64,
        description="Cosine modes kept in each direction, 0 … modes − 1; in 3-D take 16 or 32, "
        "as the cost grows with modes³.",
    )

    REVISION: ClassVar[int] = 1  # raised whenever the same spec would give other samples

    def at(self, where: Where) -> "CosineField":
        """Return the sampler. See `CosineField`."""
        return CosineField(self, where)


class CosineField:
    """The Karhunen–Loève series g(x) = Σ_k √λ_k ξ_k φ_k(x), ξ_k ~ N(0, 1) independent.

    φ_k(x) = Π_i c_{k_i} cos(π k_i x_i), c₀ = 1, c_j = √2 otherwise (orthonormal in L² of the
    unit box), and √λ_k = σ τ^(α−d/2) (π²|k|² + τ²)^(−α/2), λ₀ = 0.
    """

    uniforms = 0

    def __init__(self, spec: CosineFieldSpec, where: Where) -> None:
        """Prepare the series.

        Raises:
            SpecError: α ≤ d/2 (no function), or more than 2²² modes in all.
        """
        d = where.gdim
        if spec.alpha <= d / 2:
            raise SpecError(
                [f"alpha: got {spec.alpha:g}; a cosine field in {d}-D needs alpha > {d / 2:g}"]
            )
        if spec.modes**d > _MOST_MODES:
            most = int(_MOST_MODES ** (1 / d) + 1e-9)
            raise SpecError([f"modes: got {spec.modes}; at most {most} in {d}-D"])
        k = np.arange(spec.modes)
        norm2 = (np.pi**2) * sum(np.ix_(*[k**2] * d))
        self._root = spec.sigma * spec.tau ** (spec.alpha - d / 2)
        self._root = self._root * (norm2 + spec.tau**2) ** (-spec.alpha / 2)
        self._root[(0,) * d] = 0.0
        self._series = TensorSeries(where.scaled(), lambda x: _cosines(x, spec.modes))
        self._leading = np.argsort(-self._root.ravel(), kind="stable")

    def draw(self, rng: Generator, uniforms: Array, index: int) -> Array:
        """Return the normal variates ξ of one sample, (modes^d,)."""
        return rng.standard_normal(self._root.size)

    def evaluate(self, latent: Array) -> Array:
        """Return g at the points, (n,)."""
        return self._series(self._root * latent.reshape(self._root.shape))

    def features(self, latent: Array, count: int) -> Array:
        """Return the `count` coefficients √λ_k ξ_k of largest variance.

        Their Euclidean distance is the L² distance of the fields on the unit box, up to the
        modes left out.
        """
        leading = self._leading[:count]
        return self._root.ravel()[leading] * latent[leading]


def _cosines(x: Array, modes: int) -> Array:
    """c_k cos(πk x), shape (len(x), modes)."""
    k = np.arange(modes)
    return np.where(k == 0, 1.0, np.sqrt(2.0)) * np.cos(np.pi * np.outer(x, k))
