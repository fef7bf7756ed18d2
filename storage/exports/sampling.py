"""Finite-element functions on a regular grid: evaluated, not the values of nearest nodes.

A grid covers the bounding box of the mesh, its ends included, so that it meets the nodes of a
lattice of that many cells less one. On one mesh for all samples, evaluation is a sparse matrix
for each space, made once. Where two cells meet, a function that jumps has the value of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import BadSelection
from storage.function import StoredFunction

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["Evaluation", "Grid", "regular_grid"]

type Array = NDArray[np.float64]

_BLOCK = 1 << 15  # points whose basis functions are tabulated at once
_MOST_POINTS = 1 << 28  # their coordinates alone are gigabytes


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid.

    Attributes:
        axes: the coordinates of each direction, ascending.
    """

    axes: tuple[Array, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Points in each direction."""
        return tuple(len(axis) for axis in self.axes)

    @cached_property
    def points(self) -> Array:
        """(∏ shape, gdim), first direction slowest."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), -1).reshape(-1, len(self.axes))


def regular_grid(dataset: Dataset, resolution: tuple[int, ...] | None = None) -> Grid:
    """Return the grid over the bounding box of the (reference) mesh.

    Args:
        dataset: with the mesh.
        resolution: points in each direction, or one number for all; by default those of the
            grid that is stored with the spaces.

    Raises:
        BadSelection: the resolution is of another dimension than the mesh or beyond any memory,
            or there is no default.
    """
    points = np.asarray(dataset.mesh["points"])
    gdim = points.shape[1]
    if resolution is None:
        spaces = dataset.spaces.values()
        stored = next((space["grid"]["shape"] for space in spaces if "grid" in space), None)
        if stored is None:
            raise BadSelection(f"{dataset.path}: no grid is stored; name a resolution, as 64")
        resolution = tuple(int(n) for n in stored)
    shape = resolution * gdim if len(resolution) == 1 else resolution
    if len(shape) != gdim:
        raise BadSelection(f"resolution {resolution}: the mesh has {gdim} dimensions")
    if math.prod(shape) > _MOST_POINTS:
        raise BadSelection(
            f"resolution {'x'.join(map(str, shape))}: {math.prod(shape):.1e} points; expected at "
            f"most {_MOST_POINTS:.1e}"
        )
    ends = zip(points.min(axis=0), points.max(axis=0), shape, strict=True)
    return Grid(tuple(np.linspace(low, high, n) for low, high, n in ends))


class Evaluation:
    """Functions on one mesh at fixed points.

    Attributes:
        inside: (points) which of them are in the mesh.
    """

    def __init__(
        self, mesh: Mapping[str, Any], spaces: Mapping[str, Mapping[str, Any]], points: Array
    ) -> None:
        """Find the cells of the points.

        Args:
            mesh: of a sample.
            spaces: space → its tables.
            points: (points, gdim).

        Raises:
            BadSelection: no point is in the mesh.
        """
        self._mesh, self._spaces = mesh, spaces
        self._matrices: dict[str, Any] = {}
        some = next(iter(spaces))
        self._cells, self._X = self._function(some).locate(points)
        self.inside: NDArray[np.bool_] = self._cells >= 0
        if not self.inside.any():
            raise BadSelection(f"none of {len(points)} grid points is in the domain; use more")

    def __call__(self, space: str, coefficients: Array) -> Array:
        """Return the values (points, v) of a function with these coefficients; NaN outside."""
        block = int(self._spaces[space]["block_size"])
        values = self.matrix(space) @ coefficients.reshape(-1, block)
        found = np.full((len(self.inside), values.size // self.inside.sum()), np.nan)
        found[self.inside] = values.reshape(-1, found.shape[1])
        return found

    def matrix(self, space: str) -> Any:
        """CSR (points inside · v, nodes) of the functions of a space, blocks not expanded."""
        if space not in self._matrices:
            self._matrices[space] = self._make(space)
        return self._matrices[space]

    def _make(self, space: str) -> Any:
        from scipy.sparse import csr_matrix, vstack

        function, dofmap = self._function(space), np.asarray(self._spaces[space]["dofmap"])
        nodes = int(self._spaces[space]["dim"]) // int(self._spaces[space]["block_size"])
        chosen, blocks = np.flatnonzero(self.inside), []
        for at in range(0, len(chosen), _BLOCK):
            part = chosen[at : at + _BLOCK]
            basis = np.moveaxis(function.basis(self._cells[part], self._X[part]), 2, 1)
            n, v, d = basis.shape
            columns = np.repeat(dofmap[self._cells[part]], v, axis=0).reshape(-1)
            rows = np.arange(0, n * v * d + 1, d)
            blocks.append(csr_matrix((basis.reshape(-1), columns, rows), shape=(n * v, nodes)))
        return vstack(blocks, format="csr")

    def _function(self, space: str) -> StoredFunction:
        tables = self._spaces[space]
        return StoredFunction(self._mesh, tables, np.zeros(int(tables["dim"])))
