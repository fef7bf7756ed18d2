"""A stored finite-element function, evaluated with NumPy and Basix alone.

On stored cell K, u = Σ_i c_i φ_i with φ = F(T ψ): the reference basis ψ, the cell's dof
transformation T, the element's map F (docs/format.md). No MPI and no DOLFINx is started.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.elements import StoredElement, inverse, shape_functions

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["StoredFunction", "moved_mesh", "stored_function"]

type Array = NDArray[np.float64]

_SIMPLICES = ("interval", "triangle", "tetrahedron")
_TOLERANCE = 1e-8  # of a reference cell: how far outside a point may seem by round-off
_NEWTON_STEPS = 25


class StoredFunction:
    """A function from the tables of `spaces.h5` and its canonical coefficients.

    `u(points)` finds the cells; `u.evaluate(cells, reference_points)` is told them.

    Attributes:
        mesh: the mesh it lives on.
        space: its space.
        time: at which it is the solution, None without a time axis.
    """

    def __init__(
        self,
        mesh: Mapping[str, Any],
        space: Mapping[str, Any],
        coefficients: Array,
        time: float | None = None,
    ) -> None:
        """Make the function.

        Args:
            mesh: The stored `mesh`: `points`, `cells`, `cell_type`.
            space: The stored space.
            coefficients: (dim) canonical coefficients.
            time: Of a solution in time.

        Raises:
            ValueError: The number of coefficients is not the space's.
        """
        if np.shape(coefficients) != (int(space["dim"]),):
            raise ValueError(
                f"coefficients of shape {np.shape(coefficients)}; the space has "
                f"{int(space['dim'])}: give one sample, at one time"
            )
        self.mesh, self.space, self.time = mesh, space, time
        self._kind = str(mesh["cell_type"])
        self._vertices = np.asarray(mesh["points"])[np.asarray(mesh["cells"])]
        self._element = StoredElement(space)
        self._dofmap = np.asarray(space["dofmap"])
        self._info = np.asarray(space["cell_permutation_info"])
        self._nodes = np.asarray(coefficients, dtype=float).reshape(-1, int(space["block_size"]))
        self._bins: _Bins | None = None

    def evaluate(self, cells: NDArray[np.integer], reference_points: Array) -> Array:
        """Return the values (n, v) at one reference point (n, tdim) of each stored cell (n).

        v is the number of values at a point, in C order of the value shape.
        """
        phi = self.basis(cells, reference_points)
        values = np.einsum("ndv,ndb->nvb", phi, self._nodes[self._dofmap[cells]])
        return values.reshape(len(values), -1)

    def basis(self, cells: NDArray[np.integer], reference_points: Array) -> Array:
        """Return φ (n, d, v) of the cells' nodes, at one reference point of each cell.

        v is that of the element, blocks not expanded; the nodes are those of `dofmap`.
        """
        X = np.ascontiguousarray(reference_points, dtype=float)
        psi = self._element.tabulate(X)
        T = self._element.transformations(self._info[cells])
        psi = psi if T is None else T @ psi
        _, J = self._map(cells, X)
        return self._element.push_forward(psi, J)

    def __call__(self, points: Array) -> Array:
        """Return the values (n, v) at points (n, gdim); on a facet those of one of its cells.

        Raises:
            ValueError: A point is outside of the mesh.
        """
        points = np.ascontiguousarray(points, dtype=float)
        cells, X = self.locate(points)
        if (cells < 0).any():
            raise ValueError(
                f"point {points[np.argmin(cells)]} is outside of the mesh; `locate` gives the "
                "cells of points, -1 for those outside"
            )
        return self.evaluate(cells, X)

    def locate(self, points: Array) -> tuple[NDArray[np.int64], Array]:
        """Return the stored cell (n) that holds each point, -1 for none, and X (n, tdim)."""
        if self._bins is None:
            self._bins = _Bins(self._vertices)
        cells = np.full(len(points), -1, dtype=np.int64)
        reference, left = np.zeros_like(points), np.arange(len(points))
        start, count = self._bins.candidates(points)
        for turn in range(int(count.max(initial=0))):
            left = left[(cells[left] < 0) & (count[left] > turn)]
            tried = self._bins.cells[start[left] + turn]
            X = self.pull_back(tried, points[left])
            inside = _outside(self._kind, X) <= _TOLERANCE
            cells[left[inside]], reference[left[inside]] = tried[inside], X[inside]
        return cells, reference

    def _map(self, cells: NDArray[np.integer], X: Array) -> tuple[Array, Array]:
        """X (n, g) and J (n, g, g) at X (n, g)."""
        N, gradients = shape_functions(self._kind, X)
        vertices = self._vertices[cells]
        x = np.einsum("nk,nkg->ng", N, vertices)
        return x, np.einsum("nkg,nkj->ngj", vertices, gradients)

    def pull_back(self, cells: NDArray[np.integer], points: Array) -> Array:
        """Return X (n, tdim) of one point (n, gdim) in each cell, also outside of it.

        By Newton's method, one exact step on simplices; NaN where it fails.
        """
        affine = self._kind in _SIMPLICES
        X = np.full(points.shape, 1.0 / points.shape[1] if affine else 0.5)
        step = np.zeros_like(X)
        for _ in range(1 if affine else _NEWTON_STEPS):
            x, J = self._map(cells, X)
            step = np.einsum("nij,nj->ni", inverse(J), points - x)
            X = X + (step if affine else np.clip(step, -4.0, 4.0))  # or divergence overflows
            if np.abs(step).max(initial=0.0) < 1e-14:
                break
        if not affine:
            X[np.abs(step).max(axis=1) > 1e-10] = np.nan
        return X


def stored_function(dataset: Dataset, name: str, row: int, step: int = -1) -> StoredFunction:
    """Return a field of one sample, on the mesh of that sample; see `Dataset.function`."""
    fields = dataset.fields
    if name not in fields:
        raise KeyError(f"{name!r} is none of the fields {list(fields)}")
    values, mesh, time = dataset.read(name, row), dataset.mesh, None
    if "displacement" in dataset.inputs and name != "displacement":
        space = dataset.spaces[fields["displacement"].space]
        mesh = moved_mesh(mesh, space, dataset.read("displacement", row))
    if values.ndim == 2:
        kept = np.arange(len(values))
        if "times_mask" in dataset.columns:
            kept = np.flatnonzero(dataset.read("times_mask", row))
        if not -len(kept) <= step < len(kept):
            raise IndexError(f"step {step} of {name!r}: sample {row} has {len(kept)} time steps")
        times = dataset.read("times", row) if "times" in dataset.columns else dataset.times
        time = None if times is None else float(times[kept[step]])
        values = values[kept[step]]
    return StoredFunction(mesh, dataset.spaces[fields[name].space], values, time)


def moved_mesh(
    mesh: Mapping[str, Any], space: Mapping[str, Any], displacement: Array
) -> dict[str, Any]:
    """Return the reference mesh with its points moved by a displacement in P1.

    Args:
        mesh: The stored mesh.
        space: The stored space of the displacement.
        displacement: (dim) its coefficients.
    """
    points, cells = np.array(mesh["points"], dtype=float), np.asarray(mesh["cells"])
    moves = np.asarray(displacement, dtype=float).reshape(-1, points.shape[1])
    points[cells] += moves[np.asarray(space["dofmap"])]  # equal for all cells at a vertex
    kept = ("cell_type", "gdim", "tdim", "cells")
    return {key: mesh[key] for key in kept} | {"points": points}


class _Bins:
    """Cells by the boxes of a regular grid that their bounding boxes meet."""

    def __init__(self, vertices: Array) -> None:
        low, high = vertices.min(axis=1), vertices.max(axis=1)
        self._low, size = low.min(axis=0), np.ptp(vertices.reshape(-1, low.shape[1]), axis=0)
        gdim = low.shape[1]
        self._shape = np.full(gdim, max(1, int(len(low) ** (1.0 / gdim))))
        self._width = size * (1.0 + 1e-9) / self._shape
        pad = 1e-9 * size
        first, last = self._box(low - pad), self._box(high + pad)
        counts = np.prod(last - first + 1, axis=1)
        owner = np.repeat(np.arange(len(low)), counts)
        rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        box = np.empty((len(owner), gdim), dtype=np.int64)
        for axis in reversed(range(gdim)):
            extent = (last - first + 1)[owner, axis]
            box[:, axis] = first[owner, axis] + rank % extent
            rank //= extent
        flat = np.asarray(np.ravel_multi_index(tuple(box.T), tuple(self._shape)))
        order = np.argsort(flat, kind="stable")
        self.cells = owner[order]
        boxes = int(np.prod(self._shape))
        self._start: NDArray[np.int64] = np.searchsorted(flat[order], np.arange(boxes + 1))

    def candidates(self, points: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in `cells` the candidates of each point begin, and how many there are."""
        flat = np.ravel_multi_index(tuple(self._box(points).T), tuple(self._shape))
        return self._start[flat], self._start[flat + 1] - self._start[flat]

    def _box(self, points: Array) -> NDArray[np.int64]:
        where = np.floor((points - self._low) / self._width)
        return np.clip(where, 0, self._shape - 1).astype(np.int64)


def _outside(kind: str, X: Array) -> Array:
    beyond = (-X).max(axis=1)
    over = X.sum(axis=1) - 1.0 if kind in _SIMPLICES else (X - 1.0).max(axis=1)
    return np.nan_to_num(np.maximum(beyond, over), nan=np.inf)
