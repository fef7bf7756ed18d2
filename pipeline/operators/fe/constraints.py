"""Exact constraints of an output field, found in its tables and confirmed on training samples.

- Dirichlet values and normal or tangential traces: constrained dofs take u_i = g_i, common to all
  samples, or g_i = c_i e_i(z) with an input's value at the dof or a parameter of the sample.
- Zero mean: ∫ u = 0, where the integral of each training sample vanishes (pressures).
- Periodic: slave dofs equal their masters, where `fields/<field>/periodic` says so.

They are applied in float64, after everything that is learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.evaluation import evaluation_matrix
from pipeline.operators.fe.nodes import space_nodes
from pipeline.operators.task import Task
from storage import Dataset, Field

__all__ = ["Constraint", "find_constraint", "zero_mean"]

Array = NDArray[np.float64]
SAMPLES = 256  # training samples that a constraint is confirmed on
MEAN = {8: 1e-9, 4: 1e-6}  # of a pressure against its size, by the bytes of a stored number
PROPORTIONAL = {8: 1e-12, 4: 1e-6}  # round-off of a boundary value against the largest


@dataclass(frozen=True, eq=False)
class Constraint:
    """What holds exactly for one field.

    Attributes:
        dofs: (k) constrained dofs.
        values: (k), or (T, k) where they change in time; 0 where a source applies.
        sources: input or parameter → (size of values, its length) matrix; products are added.
        integral: (dim) weights m with mᵀu = ∫ u if that is 0, else None.
        slaves, masters: dofs that are equal.
    """

    dofs: NDArray[np.int64]
    values: Array
    sources: Mapping[str, Any] = field(default_factory=dict)
    integral: Array | None = None
    slaves: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    masters: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def apply(self, u: Array, inputs: Mapping[str, Array]) -> Array:
        """Impose it on coefficients u (B, T, dim), in place; inputs by name (B, length)."""
        u[..., self.dofs] = self.wanted(inputs, len(u))
        u[..., self.slaves] = u[..., self.masters]
        if self.integral is not None:  # last, and on free dofs alone: the others stay as they are
            free = np.ones(u.shape[-1])
            free[self.dofs] = 0.0
            u -= (u @ self.integral / (self.integral @ free))[..., None] * free
        return u

    def wanted(self, inputs: Mapping[str, Array], count: int) -> Array:
        """Values (B, T or 1, k) of the constrained dofs."""
        values = np.tile(self.values.ravel(), (count, 1))
        for name, matrix in self.sources.items():
            values += np.asarray(matrix @ np.asarray(inputs[name]).reshape(count, -1).T).T
        return values.reshape(count, -1, len(self.dofs)) if len(self.dofs) else values[:, None]


def find_constraint(output: Field, train: Dataset, task: Task) -> Constraint:
    """Find the constraint of an output field.

    Args:
        output: the field.
        train: training samples; the first 256 have to agree.
        task: the fields.

    Raises:
        TrainingError: constrained dofs differ by sample and no input or parameter gives them.
    """
    dofs = np.asarray([] if output.constrained is None else output.constrained, dtype=np.int64)
    rows = np.arange(min(len(train), SAMPLES))
    integral = zero_mean(output, train, task)
    if integral is not None and output.values is None:
        dofs = dofs[:0]  # a pinned dof only fixed the constant
    periodic = _periodic(output, task)
    if output.values is not None or not len(dofs):
        values = np.zeros(0) if output.values is None else np.asarray(output.values)[: len(dofs)]
        return Constraint(dofs, values, {}, integral, *periodic)
    stored = train.read(output.name, rows)
    steps = stored.reshape(len(rows), -1, stored.shape[-1])[..., dofs].astype(np.float64)
    if np.allclose(steps, steps[:, :1], rtol=1e-12, atol=0):
        steps = steps[:, :1]
    times, found = steps.shape[1], steps.reshape(len(rows), -1)
    tolerance = PROPORTIONAL[stored.dtype.itemsize]
    values, sources = _sources(found, output, np.tile(dofs, times), train, rows, task, tolerance)
    return Constraint(dofs, values.reshape(times, -1), sources, integral, *periodic)


def zero_mean(output: Field, train: Dataset, task: Task) -> Array | None:
    """Weights of ∫ u (dim) if it vanishes for the first 256 samples, else None.

    Of spaces whose dofs are point values of one number.
    """
    rows = np.arange(min(len(train), SAMPLES))
    space = task.spaces[output.space]
    if str(space["map_type"]) != "identity" or int(space["block_size"]) > 1:
        return None
    mass = space["grams"]["mass"]
    ones = _one(space)
    if ones is None:
        return None
    weights = np.asarray(mass @ ones).ravel()
    u = task.truth(train, rows)[output.name].reshape(-1, len(weights))
    size = np.sqrt(np.maximum(np.einsum("ij,ji->i", u, mass @ u.T), 0) * weights.sum())
    vanish = np.all(
        np.abs(u @ weights) <= MEAN[train.read(output.name, rows[:1]).dtype.itemsize] * size
    )
    return weights if vanish and size.any() else None


def _one(space: Mapping[str, Any]) -> Array | None:
    """Coefficients of the constant 1 where all dofs are point values."""
    return np.ones(int(space["dim"])) if "points" in space else None


def _periodic(output: Field, task: Task) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    maps = task.periodic.get(output.name)
    if maps is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.asarray(maps["slaves"], np.int64), np.asarray(maps["masters"], np.int64)


def _sources(
    found: Array,
    output: Field,
    dofs: NDArray[np.int64],
    train: Dataset,
    rows: NDArray[np.int64],
    task: Task,
    tolerance: float,
) -> tuple[Array, dict[str, Any]]:
    """For each dof the one input or parameter that its value is proportional to."""
    scale = np.abs(found).max()
    constant = np.ptp(found, axis=0) <= 1e-13 * scale
    values, left = np.where(constant, found[0], 0.0), ~constant
    sources: dict[str, Any] = {}
    for name, candidates in _candidates(output, dofs, task):
        if not left.any():
            break
        given = train.read(name, rows).astype(np.float64).reshape(len(rows), -1)
        for matrix in candidates:
            e = np.asarray(matrix @ given.T).T
            c = (found * e).sum(axis=0) / np.maximum((e**2).sum(axis=0), 1e-300)
            hit = left & (np.abs(found - c * e).max(axis=0) <= tolerance * scale)
            if hit.any():
                part = matrix.multiply((c * hit)[:, None]).tocsr()
                sources[name] = sources[name] + part if name in sources else part
                left &= ~hit
    if left.any():
        raise TrainingError(
            f"output {output.name!r}: {int(left.sum())} boundary values differ by sample and are "
            "proportional to no input or parameter, so they can't be predicted exactly; store "
            "them as an input, or choose other `train.outputs`"
        )
    return values, sources


def _candidates(output: Field, dofs: NDArray[np.int64], task: Task) -> Any:
    """Input or parameter → matrices (k, its length) that could give the constrained values."""
    from scipy.sparse import csr_matrix

    space = task.spaces[output.space]
    nodes = space_nodes(task.mesh, space)
    at = dofs // int(space["block_size"])
    if str(space["map_type"]) == "identity":
        for given in task.inputs:
            table = task.spaces[given.space]
            E = evaluation_matrix(task.mesh, table, nodes.points, nodes.cells)
            v = E.shape[0] // len(nodes.points)
            yield given.name, [csr_matrix(E[at * v + j]) for j in range(v)]
    for name in task.parameters:
        yield name, [csr_matrix(np.ones((len(dofs), 1)))]
