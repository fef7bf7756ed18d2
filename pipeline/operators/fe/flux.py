"""Fluxes that conserve mass whatever a network says: div σ = f_h, σ·n given on walls.

    σ = σ_p(f) + C ψ + H c

C: curls of admissible potentials ψ, H: harmonic fluxes (`pipeline.operators.fe.cohomology`), both
without divergence and without flow through walls; σ_p: the flux of least L² norm with
div σ_p = f_h and the walls' values, f_h the L² projection of the source on div V. Each flux of a
data set has exactly this form (exact sequence of V, Arnold, Falk, Winther, Acta Numerica 2006), so
ψ (per dof of the potential) and c may be learnt freely. NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import splu

from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.cohomology import (
    CurlProjection,
    DivergenceInverse,
    admissible_potentials,
    harmonic_fluxes,
)
from pipeline.operators.fe.complex import derivative, flux_space
from pipeline.operators.fe.source import source_loads

if TYPE_CHECKING:
    from storage import Dataset

__all__ = ["DivergenceConstraint"]

Array = NDArray[np.float64]
EXACT = 1e-12  # of D C, D H, C on walls, relative to the sum of absolute terms
FITS = {"f8": 1e-8, "f4": 1e-4}  # defect of stored samples, by the type they are stored in
CHUNK = 64
POTENTIALS = ("rot", "curl")


class DivergenceConstraint:
    """The fluxes of one data set with the divergence and the wall values that the PDE asks for.

    Attributes:
        potential: name of the potential's space Ψ in `dataset.spaces`.
        reduction: (dim Ψ, columns) how admissible unknowns expand to all dofs of Ψ.
        curl: (dim V, columns) their curls; rows of walls are empty.
        cohomology: (dim V, q) M-orthonormal harmonic fluxes.
        source: name of the input (or parameter) f with div σ = ± f_h; None if all samples share
            one divergence.
        sign: of f.
    """

    def __init__(
        self,
        divergence: tuple[csr_matrix, csr_matrix],
        mass: csr_matrix,
        walls: tuple[NDArray[Any], Array],
        potential: tuple[str, csr_matrix, csr_matrix, bool],
    ) -> None:
        """Factorise what all samples share; `fit_source` is still to come.

        Args:
            divergence: D (dim Q, dim V), and the mass matrix of Q.
            mass: M (dim V, dim V).
            walls: (k) constrained dofs, (k) their values.
            potential: name of Ψ, C (dim V, dim Ψ), the mass matrix of Ψ, whether Ψ is scalar.

        Raises:
            TrainingError: the tables are no exact sequence.
        """
        self._D, self._Q = divergence
        self._M, (self._walls, self._values) = mass, walls
        self.potential, C, R, plane = potential
        self.reduction = admissible_potentials(C, self._walls, plane)
        self.curl = self._without_walls(csr_matrix(C @ self.reduction))
        B = csr_matrix(self._Q @ self._D)
        self._inverse = DivergenceInverse(B, mass, self._Q, self._walls)
        reduced = csr_matrix(self.reduction.T @ R @ self.reduction)
        self._curls = CurlProjection(self.curl, mass, reduced)
        self.cohomology = harmonic_fluxes(self._inverse, self._curls, B, mass, self._walls)
        self._check_exact("curls", abs(self._D @ self.curl), abs(self._D) @ abs(self.curl))
        size = abs(self._D) @ abs(self.cohomology)
        self._check_exact("harmonic fluxes", abs(self._D @ self.cohomology), size)
        self.source: str | None = None
        self.sign = 0
        self._load: Callable[[Array], Array] = lambda values: values  # f (dim, B) → ∫ q_i f
        self._constant = np.zeros(self._D.shape[0])

    @classmethod
    def from_dataset(cls, dataset: Dataset, field: str) -> Self:
        """Build from the tables of `spaces.h5`, find the source, and verify it on all samples.

        Args:
            dataset: the training split.
            field: a flux in RT or BDM.

        Raises:
            TrainingError: the field has no such form; the message says why.
        """
        space, known = flux_space(dataset, field), dataset.fields[field]
        walls = known.constrained if known.constrained is not None else np.zeros(0, np.int32)
        if len(walls) and known.values is None:
            raise TrainingError(
                f"output {field!r}: its wall values differ by sample and aren't stored; expected "
                "common ones: give the walls one flux, or learn without conservation"
            )
        values = np.zeros(0) if known.values is None else np.asarray(known.values, np.float64)
        D, target = derivative(dataset, field, "source", ("div",))
        C, potential = derivative(dataset, field, "target", POTENTIALS)
        before, after = dataset.spaces[potential], dataset.spaces[target]
        made = cls(
            (D, csr_matrix(after["grams"]["mass"])),
            csr_matrix(space["grams"]["mass"]),
            (walls, values),
            (potential, C, csr_matrix(before["grams"]["mass"]), before["map_type"] == "identity"),
        )
        made._fit_source(dataset, field, after)
        return made

    def particular(self, inputs: Mapping[str, Array]) -> Array:
        """Return σ_p (B, dim V), the flux of least L² norm that satisfies the constraints.

        Args:
            inputs: (B, dim) coefficients by name; the source has to be among them, and any one
                where all samples share it.

        Raises:
            TrainingError: the source is missing, has another shape, or doesn't balance on a part
                of the domain with walls all around.
        """
        return self._particular(self._divergence(inputs))

    def defect(self, sigma: Array, inputs: Mapping[str, Array]) -> Array:
        """Return (B) the imbalance of σ (B, dim V) beside what flows in and out.

        ‖div σ − f_h‖ / ‖ |D||σ| + |f_h| ‖ in L², with D and σ by absolute values of coefficients:
        round-off at 1e-16 on any mesh, also where f = 0.
        """
        return self._defect(self._shaped(sigma), self._divergence(inputs))

    def coordinates(self, sigma: Array) -> tuple[Array, Array]:
        """Return ψ (B, columns) of least L² norm and c (B, q) of fluxes σ (B, dim V).

        σ = σ_p + Cψ + Hc for a σ that satisfies the constraints; else the closest that does. σ_p
        isn't needed, as it is M-orthogonal to the rest.
        """
        columns = self._shaped(sigma).T
        c = (self._M @ self.cohomology).T @ columns
        return self._curls.potentials(columns).T, c.T

    def _particular(self, d: Array) -> Array:
        target = self._Q @ d.T
        sigma = np.zeros((self._D.shape[1], len(d)))
        sigma[self._walls] = self._values[:, None]
        for _ in range(2):  # the second is a step of refinement
            sigma += self._inverse(target - self._Q @ (self._D @ sigma))
        sigma -= self._curls(sigma)
        sigma -= self.cohomology @ ((self._M @ self.cohomology).T @ sigma)
        sigma += self._inverse(target - self._Q @ (self._D @ sigma))
        if (self._defect(sigma.T, d) > EXACT).any():
            raise TrainingError(
                "no flux has this divergence and these wall values: the source of a sample doesn't "
                "balance inside closed walls; leave a side open, or correct the source"
            )
        return sigma.T

    def _defect(self, sigma: Array, d: Array) -> Array:
        lost = self._D @ sigma.T - d.T
        flow = abs(self._D) @ np.abs(sigma.T) + np.abs(d.T)
        above, below = self._norm(lost), self._norm(flow)
        return above / np.where(below > 0, below, 1.0)

    def _norm(self, q: Array) -> Array:
        """L² norms (B) of divergences (dim Q, B)."""
        return np.sqrt(np.einsum("ib,ib->b", q, self._Q @ q).clip(0.0))

    def _divergence(self, inputs: Mapping[str, Array]) -> Array:
        """f_h (B, dim Q), signed."""
        name = self.source if self.source is not None else next(iter(inputs), None)
        if name is None or name not in inputs:
            raise TrainingError(
                f"inputs {list(inputs)}: the divergence follows from {self.source!r}; expected "
                "(B, dim) coefficients of it: add it to the inputs"
            )
        values = np.asarray(inputs[name], dtype=np.float64)
        if self.source is None:
            return np.tile(self._constant, (len(values), 1))
        return self.sign * self._projection(self._load, values)

    def _projection(self, load: Callable[[Array], Array], values: Array) -> Array:
        return np.asarray(self._solve_mass(load(values.reshape(len(values), -1).T)).T)

    @cached_property
    def _solve_mass(self) -> Callable[[Array], Array]:
        return splu(self._Q.tocsc()).solve  # block-diagonal, no fill

    def _fit_source(self, dataset: Dataset, field: str, target: Mapping[str, Any]) -> None:
        """Take the first of 0, ± each input, ± each parameter, a common divergence that fits."""
        tolerance = FITS[np.dtype(dataset.columns[f"outputs/{field}"]["dtype"]).str[1:]]
        first = np.arange(min(CHUNK, len(dataset)))
        sigma = self._shaped(dataset.read(field, first))
        div = (self._D @ sigma.T).T
        best: dict[str, float] = {}

        def fits(d: Array, label: str) -> bool:
            best[label] = float(self._defect(sigma, d).max())
            return best[label] <= tolerance

        if not fits(np.zeros_like(div), "0"):
            for name, load in source_loads(dataset, target):
                projected = self._projection(load, _real(dataset, name, first))
                for sign in (1, -1):
                    if self.source is None and fits(sign * projected, f"{'-+'[sign > 0]}{name}"):
                        self.source, self.sign, self._load = name, sign, load
            shared = len(div) > 1 and self.source is None and fits(div[:1], "that of the first")
            if self.source is None and not shared:
                raise TrainingError(_no_source(field, best, tolerance))
            self._constant = np.zeros_like(div[0]) if self.source else div.mean(axis=0)
        self._verify(dataset, field, tolerance)

    def _verify(self, dataset: Dataset, field: str, tolerance: float) -> None:
        names = [self.source] if self.source else [field]
        for shard in dataset.by_shard():
            for rows in np.array_split(shard, -(-len(shard) // CHUNK)):
                sigma = self._shaped(dataset.read(field, rows))
                found = self.defect(sigma, {n: _real(dataset, n, rows) for n in names})
                walls = np.abs(sigma[:, self._walls] - self._values).max(initial=0.0)
                if found.max() > tolerance or walls > tolerance * np.abs(sigma).max():
                    worst = dataset.ids[rows][np.argmax(found)]
                    raise TrainingError(
                        f"output {field!r}, sample {worst}: divergence off by {found.max():.1e}, "
                        f"walls by {walls:.1e}; expected {tolerance:.0e}: run `rekrylov check`, "
                        "or learn without conservation"
                    )

    def _without_walls(self, C: csr_matrix) -> csr_matrix:
        """C with empty rows on walls, once they are seen to be round-off."""
        keep = np.ones(C.shape[0], dtype=bool)
        keep[self._walls] = False
        self._check_exact("wall rows of the curl", abs(C[self._walls]), abs(C))
        entries = C.tocoo()
        at = keep[entries.row] & (entries.data != 0.0)
        return csr_matrix((entries.data[at], (entries.row[at], entries.col[at])), shape=C.shape)

    def _check_exact(self, what: str, value: Any, scale: Any) -> None:
        high = [float(m.max()) if 0 not in m.shape else 0.0 for m in (value, scale)]
        if high[0] > EXACT * high[1]:
            raise TrainingError(
                f"the {what} of {self.potential} reach {high[0]:.1e} where 0 is expected (beside "
                f"{high[1]:.1e}); run the spec again to make `spaces.h5` anew"
            )

    def _shaped(self, sigma: Array) -> Array:
        sigma = np.asarray(sigma, dtype=np.float64)
        if sigma.ndim != 2 or sigma.shape[1] != self._D.shape[1]:
            raise TrainingError(
                f"flux coefficients of shape {sigma.shape}; expected (B, {self._D.shape[1]}): "
                "give samples of one flux, without a time axis"
            )
        return sigma


def _real(dataset: Dataset, name: str, rows: NDArray[Any]) -> Array:
    return np.asarray(dataset.read(name, rows), dtype=np.float64)


def _no_source(field: str, best: Mapping[str, float], tolerance: float) -> str:
    tried = ", ".join(f"{label} ({value:.0e})" for label, value in best.items())
    return (
        f"output {field!r}: its divergence is none of {tried}; expected a defect up to "
        f"{tolerance:.0e}: give the source as an input of the samples, or learn without "
        "conservation"
    )
