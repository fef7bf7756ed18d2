"""What a prediction should preserve and may not: boundary values, divergence, curl, mean.

With e = u_θ − u and the tables of the data set, for every sample:

- boundary: rms of e over the constrained dofs, relative to the rms of u there (to that over all
  dofs where u is zero there);
- div, curl: ‖D e‖_L2 / |u|, D the stored derivative, |u| = (uᵀKu)^½ the seminorm of the graph norm
  (‖div u‖ in H(div), ‖curl u‖ in H(curl), ‖∇u‖ of vector Lagrange fields), or ‖u‖_L2 where that
  is zero;
- conservation: of fluxes in H(div), the largest |⨍_K div e| of all cells K times |Ω|^½, relative
  to the same size: how much is made or lost in the worst cell;
- mean: |∫ u_θ| / (|Ω|^½ ‖u‖_L2) where ∫ u = 0.

Over time steps squares are added, as in the norms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from pipeline.operators.fe.constraints import zero_mean
from pipeline.operators.fe.norms import norm
from pipeline.operators.task import Task
from pipeline.operators.validation.errors import Errors, Predict, sample_errors
from storage import Dataset, Field
from storage.volumes import volumes

__all__ = ["Defect", "find_defects", "measure"]

Array = NDArray[np.float64]
VANISHES = 1e-6  # a seminorm against the L2 norm: round-off of solves to rtol ≤ 1e-6


@dataclass(frozen=True, eq=False)
class Defect:
    """One defect of one output.

    Attributes:
        name: `<kind>/<output>`.
        output: the field.
        measure: predicted and true coefficients (B, T, dim) → (B).
    """

    name: str
    output: str
    measure: Callable[[Array, Array], Array]


def find_defects(dataset: Dataset, task: Task) -> list[Defect]:
    """Return all defects that the tables of a data set allow to measure.

    Where the mesh moves by sample, those of boundary values alone: the other tables are those of
    the reference mesh.
    """
    return [defect for field in task.outputs for defect in _of_field(dataset, task, field)]


def measure(predict: Predict, dataset: Dataset, task: Task) -> Errors:
    """Return the errors of `sample_errors` and all defects: name → (samples)."""
    defects = find_defects(dataset, task)
    found = {defect.name: np.empty(len(dataset)) for defect in defects}

    def look(rows: NDArray[np.int64]) -> dict[str, Array]:
        predicted, truth = predict(rows), task.truth(dataset, rows)
        for defect in defects:
            name = defect.output
            found[defect.name][rows] = defect.measure(predicted[name], truth[name])
        return predicted

    return sample_errors(look, dataset, task) | found


def _of_field(dataset: Dataset, task: Task, field: Field) -> Iterator[Defect]:
    still = "displacement" not in dataset.inputs
    integral = zero_mean(field, dataset, task) if still else None
    fixed = np.asarray([] if field.constrained is None else field.constrained, dtype=np.int64)
    if len(fixed) and (integral is None or field.values is not None):  # else: a pinned dof
        yield Defect(f"boundary/{field.name}", field.name, _Boundary(fixed))
    if still:
        for kind in ("div", "curl"):
            table = _table(dataset, field, kind)
            if table is None:
                continue
            derived = _Derivative.of(dataset, task.space(field), table)
            yield Defect(f"{kind}/{field.name}", field.name, derived)
            if kind == "div" and str(task.space(field)["map_type"]) == "contravariantPiola":
                yield Defect(f"conservation/{field.name}", field.name, derived.worst_cell)
    if integral is not None:
        mass = csr_matrix(task.space(field)["grams"]["mass"])
        yield Defect(f"mean/{field.name}", field.name, _Mean(integral, mass))


def _table(dataset: Dataset, field: Field, operator: str) -> Mapping[str, Any] | None:
    """The stored derivative into the smallest space, None if there is none."""
    tables = [dataset.derivatives[key] for key in dataset.derivatives]
    mine = [t for t in tables if t["source"] == field.space and t["operator"] == operator]
    if not mine:
        return None
    return min(mine, key=lambda t: int(dataset.spaces[str(t["target"])]["dim"]))


def _rms(values: Array) -> Array:
    return np.sqrt(np.mean(values.reshape(len(values), -1) ** 2, axis=1))


@dataclass(frozen=True, eq=False)
class _Boundary:
    dofs: NDArray[np.int64]

    def __call__(self, predicted: Array, truth: Array) -> Array:
        there, everywhere = _rms(truth[..., self.dofs]), _rms(truth)
        size = np.where(there > 1e-12 * everywhere, there, everywhere)
        wrong = _rms(predicted[..., self.dofs] - truth[..., self.dofs])
        return np.asarray(wrong / np.maximum(size, 1e-300))


@dataclass(frozen=True, eq=False)
class _Derivative:
    """D from V to Q with mass matrices of both, the seminorm K of V, and the cells of Q."""

    matrix: csr_matrix
    target_mass: csr_matrix
    mass: csr_matrix
    seminorm: csr_matrix
    cells: NDArray[np.int64]
    volumes: Array

    @classmethod
    def of(
        cls, dataset: Dataset, space: Mapping[str, Any], table: Mapping[str, Any]
    ) -> _Derivative:
        target = dataset.spaces[str(table["target"])]
        grams = space["grams"]
        return cls(
            csr_matrix(table["matrix"]),
            csr_matrix(target["grams"]["mass"]),
            csr_matrix(grams["mass"]),
            csr_matrix(grams["stiffness"]),
            np.asarray(target["dofmap"], dtype=np.int64),
            volumes(dataset.mesh),
        )

    def __call__(self, predicted: Array, truth: Array) -> Array:
        return norm(self.target_mass, self._derived(predicted - truth)) / self._size(truth)

    def worst_cell(self, predicted: Array, truth: Array) -> Array:
        """max_K |⨍_K D e| |Ω|^½ / size; the basis of Q sums to 1 in every cell."""
        derived = self._derived(predicted - truth)
        flat = derived.reshape(-1, derived.shape[-1])
        loads = np.asarray(self.target_mass @ flat.T).T[:, self.cells].sum(axis=2)
        means = np.abs(loads / self.volumes).reshape(*derived.shape[:2], -1)
        worst = np.sqrt((means.max(axis=2) ** 2).sum(axis=1))
        return np.asarray(worst * np.sqrt(self.volumes.sum()) / self._size(truth))

    def _derived(self, values: Array) -> Array:
        flat = values.reshape(-1, values.shape[-1])
        return np.asarray(self.matrix @ flat.T).T.reshape(*values.shape[:2], -1)

    def _size(self, truth: Array) -> Array:
        own, whole = norm(self.seminorm, truth), norm(self.mass, truth)
        return np.maximum(np.where(own > VANISHES * whole, own, whole), 1e-300)


@dataclass(frozen=True, eq=False)
class _Mean:
    integral: Array
    mass: csr_matrix

    def __call__(self, predicted: Array, truth: Array) -> Array:
        mean = np.sqrt(((predicted @ self.integral) ** 2).sum(axis=1))
        size = norm(self.mass, truth) * np.sqrt(self.integral.sum())
        return np.asarray(mean / np.maximum(size, 1e-300))
