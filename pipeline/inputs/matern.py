"""Matérn fields on any mesh, by one finite-element solve a sample."""

import math
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import diags_array
from scipy.sparse.linalg import LinearOperator, eigsh, splu

from pipeline.inputs.blas import one_thread
from pipeline.inputs.variance import inverse_power_diagonal
from pipeline.inputs.where import Where
from pipeline.models import SpecModel
from pipeline.spec_errors import SpecError

__all__ = ["MaternField", "MaternFieldSpec"]

Array = NDArray[np.float64]


class MaternFieldSpec(SpecModel):
    """Mean-zero Gaussian field with the Matérn covariance, on any mesh, curved or in 3-D.

    (κ² − Δ)^(α/2) g = s W with white noise W (Lindgren, Rue & Lindström, JRSS B 73, 2011), on
    the mesh's P1 space with lumped mass and natural boundary conditions ∂g/∂n = 0. Far from the
    boundary cov(g(x), g(y)) = σ² 2^(1−ν) / Γ(ν) (κr)^ν K_ν(κr), r = |x − y|, with ν = α − d/2 in
    d dimensions and κ = √(8ν) / length: the correlation at r = length is 0.14.
    Within about one length of the boundary the natural condition raises the variance (twofold on
    a straight side, fourfold in a square's corner) and the correlations; `normalise` takes the
    first away. The mesh should resolve the length: h ≤ length / 5.
    """

    kind: Literal["matern"] = Field(description="Matérn covariance on any mesh.")
    sigma: Annotated[float, Field(gt=0, le=1e15)] = Field(
        1.0, description="Standard deviation σ, in units of the field."
    )
    length: Annotated[float, Field(gt=0)] = Field(
        0.25, description="Correlation length √(8ν)/κ, in units of the mesh's coordinates."
    )
    alpha: Literal[2, 4] = Field(
        2, description="Order α of the equation; the smoothness is ν = α − d/2."
    )
    normalise: bool = Field(
        True,
        description="Divide by the exact standard deviation of the discrete field, so that it is "
        "σ at every vertex; computed once a process (seconds at 20,000 vertices).",
    )

    REVISION: ClassVar[int] = 1

    def at(self, where: Where) -> "MaternField":
        """Return the sampler. See `MaternField`."""
        return MaternField(self, where)

    def kappa(self, d: int) -> float:
        """Return κ = √(8ν) / length in d dimensions."""
        return math.sqrt(8 * (self.alpha - d / 2)) / self.length

    def noise(self, d: int) -> float:
        """Return s, for which the field on all of R^d has variance σ².

        s² = σ² Γ(ν + d/2) (4π)^(d/2) κ^(2ν) / Γ(ν).
        """
        nu = self.alpha - d / 2
        ratio = math.gamma(self.alpha) / math.gamma(nu) * (4 * math.pi) ** (d / 2)
        return self.sigma * math.sqrt(ratio) * self.kappa(d) ** nu


class MaternField:
    """g = s D (A⁻¹ M)^(α/2) M^(−½) w at the vertices, w ~ N(0, I), A = κ² M + K.

    M is the lumped mass matrix, K the stiffness matrix, D the diagonal of `normalise` or I.
    A is factored once; a sample costs α/2 triangular solves.
    """

    uniforms = 0

    def __init__(self, spec: MaternFieldSpec, where: Where) -> None:
        """Assemble and factor.

        Raises:
            SpecError: There is no P1 space, or too many vertices for `normalise`.
        """
        if where.p1 is None:
            raise SpecError(["kind: got matern; this place has no P1 space: take cosine"])
        tables = where.p1()
        mass = np.asarray(tables.mass.sum(axis=1)).ravel()
        self._solves, self._mass = spec.alpha // 2, mass
        A = (tables.stiffness + diags_array(spec.kappa(where.gdim) ** 2 * mass)).tocsc()
        with one_thread():
            # Symmetric mode without pivoting: A is an SPD matrix, its order one of its pattern.
            self._factor = splu(
                A, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
            )
        self._scale = np.full(len(mass), spec.noise(where.gdim))
        if spec.normalise:
            self._scale = spec.sigma / np.sqrt(_variances(A, mass, spec.alpha))
        self._to_points = tables.to_points
        assert self._to_points is not None or len(mass) == len(where.points)
        self._basis: Array | None = None

    def draw(self, rng: Generator, uniforms: Array, index: int) -> Array:
        """Return the noise w of one sample, (vertices,)."""
        return rng.standard_normal(len(self._mass))

    def evaluate(self, latent: Array) -> Array:
        """Return g at the points, (n,)."""
        g = self._scale * self._solve(np.sqrt(self._mass) * latent)
        return g if self._to_points is None else self._to_points @ g

    def features(self, latent: Array, count: int) -> Array:
        """Return the L² projections of g on the `count` smoothest eigenfunctions of −Δ.

        These are the leading Karhunen–Loève modes (of the field before `normalise`), so
        distances are L² distances over the mesh, up to the modes left out.
        """
        count = min(count, len(self._mass) - 1)
        if self._basis is None or self._basis.shape[1] != count:
            modes = self._mass[:, None] * self._modes(count)
            self._basis = self._adjoint(self._scale[:, None] * modes)
        with one_thread():
            return self._basis.T @ latent

    def _solve(self, b: Array) -> Array:
        """(A⁻¹ M)^(α/2 − 1) A⁻¹ b."""
        with one_thread():
            for i in range(self._solves):
                b = self._factor.solve(b if i == 0 else (self._mass * b.T).T)
        return b

    def _adjoint(self, b: Array) -> Array:
        """M^½ (A⁻¹ M)^(α/2 − 1) A⁻¹ b, the transpose of the map from w (this part of it)."""
        return np.sqrt(self._mass)[:, None] * self._solve(b)

    def _modes(self, count: int) -> Array:
        """The lowest eigenvectors of K v = λ M v, with vᵀ M v = 1, (vertices, count)."""
        n, root = len(self._mass), np.sqrt(self._mass)
        with one_thread():
            inverse = LinearOperator(
                (n, n), matvec=lambda x: root * self._factor.solve(root * x.ravel()), dtype=float
            )
            _, vectors = eigsh(inverse, count, which="LM", v0=np.ones(n) + np.arange(n) / n)
        return np.asarray(vectors[:, ::-1]) / root[:, None]


def _variances(A: Any, mass: Array, alpha: int) -> Array:
    """The diagonal of A⁻¹ (M A⁻¹)^(α−1), the covariance for s = 1."""
    try:
        return inverse_power_diagonal(A.tocsr(), mass, alpha - 1)
    except ValueError as error:
        raise SpecError([f"normalise: {error}; give normalise: false"]) from None
