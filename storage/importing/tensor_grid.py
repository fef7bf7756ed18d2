"""The tables of a regular grid as a mesh: lines, squares, cubes, and the functions Q1 on them.

Point (i, j, k) has number (i·Y + j)·Z + k, so that an array (X, Y, Z) in C order is a vector of
coefficients. Gram matrices are Kronecker products of those of the axes: exact, and made as quickly
as they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["CELLS", "grid_mesh", "grid_space"]

type Array = npt.NDArray[np.float64]

CELLS = {1: "interval", 2: "quadrilateral", 3: "hexahedron"}
_SIDES = {
    1: (("left", "right"),),
    2: (("left", "right"), ("bottom", "top")),
    3: (("left", "right"), ("front", "back"), ("bottom", "top")),
}


def grid_mesh(shape: Sequence[int], low: Sequence[float], high: Sequence[float]) -> dict[str, Any]:
    """Return the `mesh` tree of a grid: see docs/format.md.

    Args:
        shape: points along each axis, each at least 2.
        low: place of the first points.
        high: place of the last points.
    """
    dim = len(shape)
    number = np.arange(np.prod(shape)).reshape(shape)
    cells = np.stack([number[_corner(bits)].ravel() for bits in _bits(dim)], axis=1)
    facets: list[npt.NDArray[Any]] = []
    values: list[npt.NDArray[Any]] = []
    for axis, side in product(range(dim), (0, -1)):
        face = np.take(number, side, axis=axis)
        corners = [face[_corner(bits)].ravel() for bits in _bits(dim - 1)]
        facets.append(np.stack(corners, axis=1))
        values.append(np.full(len(facets[-1]), len(values) + 1, dtype=np.int32))
    names = [name for pair in _SIDES[dim] for name in pair]
    return {
        "cell_type": CELLS[dim],
        "gdim": dim,
        "tdim": dim,
        "points": _points(shape, low, high),
        "cells": cells.astype(np.int64),
        "original_cell_index": np.arange(len(cells)),
        "facet_tags": {
            "vertices": np.concatenate(facets).astype(np.int64),
            "values": np.concatenate(values),
            "names": {name: value for value, name in enumerate(names, start=1)},
        },
    }


def grid_space(
    mesh: dict[str, Any], shape: Sequence[int], low: Sequence[float], high: Sequence[float]
) -> dict[str, Any]:
    """Return the `spaces/<space>` tree of Q1 on a grid, with its Gram matrices and grid table."""
    from scipy.sparse import eye_array

    dim, count = len(shape), int(np.prod(shape))
    mass, stiffness = _grams(shape, np.subtract(high, low))
    return {
        "family": "P",
        "degree": 1,
        "value_shape": np.zeros(0, dtype=np.int64),
        "block_size": 1,
        "map_type": "identity",
        "needs_transformations": False,
        "dim": count,
        "cell_type": CELLS[dim],
        "lagrange_variant": "gll_warped",
        "dpc_variant": "unset",
        "discontinuous": False,
        "element": f"Basix element (P, {CELLS[dim]}, 1, gll_warped, unset, False, float64, [])",
        "dofmap": mesh["cells"].astype(np.int32),
        "cell_permutation_info": np.zeros(len(mesh["cells"]), dtype=np.uint32),  # Q1 has no use
        "points": mesh["points"],
        "grams": {"mass": mass, "stiffness": stiffness},
        "grid": {
            "shape": np.array(shape, dtype=np.int64),
            "points": mesh["points"],
            "matrix": eye_array(count, format="csr"),
            "inside": np.ones(count, dtype=bool),
        },
    }


def _bits(dim: int) -> list[tuple[int, ...]]:
    """Corners of a cell in Basix's order: the first axis runs fastest."""
    return [bits[::-1] for bits in product((0, 1), repeat=dim)]


def _corner(bits: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(1, None) if bit else slice(None, -1) for bit in bits)


def _points(shape: Sequence[int], low: Sequence[float], high: Sequence[float]) -> Array:
    sides = [np.linspace(a, b, n) for a, b, n in zip(low, high, shape, strict=True)]
    return np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, len(shape))


def _grams(shape: Sequence[int], lengths: Array) -> tuple[csr_matrix, csr_matrix]:
    """M = ⊗ M_d and K = Σ_d M ⊗ … K_d … ⊗ M, on one pattern: entries that vanish stay."""
    sides = [_line(n, length) for n, length in zip(shape, lengths, strict=True)]
    mass = _kron([m for m, _ in sides])
    stiffness = mass.copy()
    stiffness.data = np.zeros_like(mass.data)
    for axis in range(len(sides)):
        term = _kron([k if place == axis else m for place, (m, k) in enumerate(sides)])
        stiffness.data += term.data
    return mass, stiffness


def _line(points: int, length: float) -> tuple[csr_matrix, csr_matrix]:
    """M and K of linear functions on equal intervals, with all three diagonals stored."""
    from scipy.sparse import csr_matrix

    h = float(length) / (points - 1)
    inner = np.full(points, 2.0)
    inner[[0, -1]] = 1.0
    rows = np.concatenate([np.arange(points), np.arange(points - 1), np.arange(1, points)])
    columns = np.concatenate([np.arange(points), np.arange(1, points), np.arange(points - 1)])
    beside = np.ones(2 * (points - 1))
    made = []
    for diagonal, other in ((inner * h / 3, beside * h / 6), (inner / h, -beside / h)):
        matrix = csr_matrix(
            (np.concatenate([diagonal, other]), (rows, columns)), shape=(points, points)
        )
        matrix.sort_indices()
        made.append(matrix)
    return made[0], made[1]


def _kron(parts: Sequence[csr_matrix]) -> csr_matrix:
    from scipy.sparse import csr_matrix, kron

    found = parts[0]
    for part in parts[1:]:
        found = csr_matrix(kron(found, part, format="csr"))
        found.sort_indices()
    return found
