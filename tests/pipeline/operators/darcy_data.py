"""Small Darcy data sets written by the real writer, solved by SciPy: P1 or P2, DG0 or P inputs.

−∇·(a ∇u) = 1 on the unit square, u = g on the boundary; a = exp(field) in the space of u, or
a ∈ {3, 12} cell by cell. Run as a script it makes larger sets for timing:
python darcy_data.py FOLDER log|two RESOLUTION SAMPLES DEGREE
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from storage import (
    DataFolder,
    ShardHeader,
    append_segment,
    build_manifest,
    set_path,
    write_shard,
    write_spaces,
)

KEY = "0123456789"
A1, B1, W1 = 0.445948490915965, 0.108103018168070, 0.223381589678011
A2, B2, W2 = 0.091576213509771, 0.816847572980459, 0.109951743655322
QUADRATURE = [
    *(((B1, A1, A1), W1), ((A1, B1, A1), W1), ((A1, A1, B1), W1)),
    *(((B2, A2, A2), W2), ((A2, B2, A2), W2), ((A2, A2, B2), W2)),
]
GRADIENTS = np.array([[-1.0, -1.0], [1.0, 0.0], [0.0, 1.0]])


def square(n: int, distort: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of the unit square; inner vertices moved at random if asked."""
    x = np.linspace(0.0, 1.0, n + 1)
    points = np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)
    corner = (np.arange(n)[:, None] * (n + 1) + np.arange(n)).ravel()
    low = np.stack([corner, corner + n + 1, corner + n + 2], 1)
    high = np.stack([corner, corner + n + 2, corner + 1], 1)
    inner = ((points > 0) & (points < 1)).all(axis=1)
    shift = np.random.default_rng(5).uniform(-1, 1, points.shape) * distort / n
    return points + shift * inner[:, None], np.concatenate([low, high])


def basis(degree: int, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and reference gradients of the basis at barycentric coordinates b (Basix order)."""
    if degree == 1:
        return b, GRADIENTS
    pairs = [(1, 2), (0, 2), (0, 1)]
    values = np.r_[b * (2 * b - 1), [4 * b[i] * b[j] for i, j in pairs]]
    edges = [4 * (b[i] * GRADIENTS[j] + b[j] * GRADIENTS[i]) for i, j in pairs]
    return values, np.r_[(4 * b - 1)[:, None] * GRADIENTS, edges]


class Square:
    """P1 or P2 on the unit square: dof map, points, element matrices."""

    def __init__(self, n: int, degree: int, distort: float = 0.0) -> None:
        self.vertices, self.cells = square(n, distort)
        self.degree, self.dofmap, self.points = degree, self.cells, self.vertices
        if degree == 2:
            self._add_midpoints()
        corners = self.vertices[self.cells]
        jacobian = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], -1)
        self.det, inverse = np.abs(np.linalg.det(jacobian)), np.linalg.inv(jacobian)
        self.values = np.stack([basis(degree, np.array(b))[0] for b, _ in QUADRATURE])
        self.weights = np.array([w for _, w in QUADRATURE])[:, None] / 2 * self.det
        gradients = [basis(degree, np.array(b))[1] @ inverse for b, _ in QUADRATURE]
        self.local_k = np.stack(
            [
                w[:, None, None] * g @ g.swapaxes(1, 2)
                for w, g in zip(self.weights, gradients, strict=True)
            ]
        )
        self.edge = np.flatnonzero(((self.points == 0) | (self.points == 1)).any(axis=1))

    def _add_midpoints(self) -> None:
        ends = np.sort(
            np.concatenate([self.cells[:, [1, 2]], self.cells[:, [0, 2]], self.cells[:, [0, 1]]]), 1
        )
        unique, inverse = np.unique(ends, axis=0, return_inverse=True)
        middle = inverse.reshape(3, -1).T + len(self.vertices)
        self.dofmap = np.concatenate([self.cells, middle], axis=1)
        self.points = np.concatenate([self.vertices, self.vertices[unique].mean(axis=1)])

    def assemble(self, local: np.ndarray) -> sp.csr_matrix:
        k, n = self.dofmap.shape[1], len(self.points)
        i, j = np.repeat(self.dofmap, k, axis=1).ravel(), np.tile(self.dofmap, (1, k)).ravel()
        return sp.csr_matrix((local.ravel(), (i, j)), shape=(n, n))

    def mass(self) -> sp.csr_matrix:
        return self.assemble(np.einsum("qc,qi,qj->cij", self.weights, self.values, self.values))

    def stiffness(self, a: np.ndarray | None = None) -> sp.csr_matrix:
        """∫ a ∇φ·∇ψ; a by cells or by dofs."""
        if a is None:
            return self.assemble(self.local_k.sum(axis=0))
        at = a[None, :] if len(a) == len(self.cells) else self.values @ a[self.dofmap].T
        return self.assemble((at[:, :, None, None] * self.local_k).sum(axis=0))

    def load(self) -> np.ndarray:
        local = np.einsum("qc,qi->ci", self.weights, self.values)
        return np.bincount(self.dofmap.ravel(), local.ravel(), minlength=len(self.points))

    def space(self) -> dict[str, Any]:
        grams = {"mass": self.mass(), "stiffness": self.stiffness()}
        return _tables(self.degree, f"P{self.degree}", self.dofmap, self.points, grams)

    def constants(self) -> dict[str, Any]:
        dofmap, middle = np.arange(len(self.cells))[:, None], self.vertices[self.cells].mean(axis=1)
        grams = {"mass": sp.diags(self.det / 2, format="csr")}
        grams["stiffness"] = sp.csr_matrix(grams["mass"].shape)
        return _tables(0, "DG0", dofmap, middle, grams)

    def mesh(self) -> dict[str, Any]:
        known = {"cell_type": "triangle", "gdim": 2, "tdim": 2, "points": self.vertices}
        return known | {"cells": self.cells, "original_cell_index": np.arange(len(self.cells))}


def _tables(degree: int, name: str, dofmap: np.ndarray, points: np.ndarray, grams: dict) -> dict:
    return {
        "family": "P",
        "degree": degree,
        "value_shape": np.zeros(0, np.int64),
        "block_size": 1,
        "map_type": "identity",
        "needs_transformations": False,
        "dim": len(points),
        "element": name,
        "cell_type": "triangle",
        "lagrange_variant": "gll_warped",
        "dpc_variant": "unset",
        "discontinuous": degree == 0,
        "dofmap": dofmap.astype(np.int32),
        "cell_permutation_info": np.zeros(len(dofmap), np.uint32),
        "points": points,
        "grams": grams,
    }


def gaussian(points: np.ndarray, i: int, modes: int) -> np.ndarray:
    """Sample i of the random field of `pipeline.fields` (α = 2, τ = 3, zero mean)."""
    k = np.arange(modes)
    root = 3.0 / (np.pi**2 * (k[:, None] ** 2 + k**2) + 9)
    root[0, 0] = 0
    norm = np.where(k == 0, 1.0, np.sqrt(2.0))
    xi = np.random.default_rng(np.random.SeedSequence(1, spawn_key=(i,)))
    weights = xi.standard_normal((modes, modes)) * root * norm[:, None] * norm
    x, y = (np.cos(np.pi * np.outer(c, k)) for c in points.T)
    return np.einsum("pk,kp->p", x, weights @ y.T)


def make_data(
    root: Path,
    kind: str = "log",
    n: int = 4,
    samples: int = 32,
    *,
    degree: int = 1,
    boundary: float = 0.0,
    shard: int = 16,
    modes: int = 4,
    distort: float = 0.0,
    fractions: dict[str, float] | None = None,
    tree: dict[str, Any] | None = None,
    permutation: np.ndarray | None = None,
) -> Path:
    """Write a data set and return its folder. Dof i of u's space is renamed permutation[i]."""
    fe = Square(n, degree, distort)
    g = np.full(len(fe.edge), boundary) * (1 + fe.points[fe.edge, 0])
    order = np.arange(len(fe.points)) if permutation is None else permutation
    tree = _tree(fe, kind, g, order) if tree is None else tree
    folder = DataFolder(Path(root))
    folder.create()
    spaces_hash = write_spaces(folder.spaces, tree)
    back = np.argsort(order)
    ids = np.arange(samples)
    append_segment(folder.order, ids)
    offsets = [*range(0, samples, shard), samples]
    set_path(folder.order, 0, ids, offsets)
    for b, (low, high) in enumerate(pairwise(offsets)):
        columns = _columns(fe, kind, ids[low:high], g, modes, back)
        write_shard(folder, ShardHeader(KEY, 0, b, spaces_hash), columns)
    common = {"name": "darcy", "data_key": KEY, "rtol": 1e-8}
    build_manifest(folder, common, **({"fractions": fractions} if fractions else {}))
    return folder.path


def _tree(fe: Square, kind: str, g: np.ndarray, order: np.ndarray) -> dict[str, Any]:
    back = np.argsort(order)
    space = fe.space()
    space["dofmap"] = order[space["dofmap"]].astype(np.int32)
    space["points"] = space["points"][back]
    space["grams"] = {k: m[back][:, back].tocsr() for k, m in space["grams"].items()}
    where = np.argsort(order[fe.edge])
    field = {"units": "1", "description": ""}
    fixed = {"constrained": order[fe.edge][where].astype(np.int32), "values": g[where]}
    spaces = {"p": space} | ({"dg0": fe.constants()} if kind == "two" else {})
    a = field | {"role": "input", "space": "dg0" if kind == "two" else "p"}
    u = field | fixed | {"role": "output", "space": "p"}
    return {"mesh": fe.mesh(), "spaces": spaces, "fields": {"a": a, "u": u}}


def _columns(
    fe: Square, kind: str, ids: np.ndarray, g: np.ndarray, modes: int, back: np.ndarray
) -> dict[str, np.ndarray]:
    a, u = zip(*(_solve(fe, kind, int(i), g, modes) for i in ids), strict=True)
    given = np.stack(a) if kind == "two" else np.stack(a)[:, back]
    return {"samples/id": ids, "inputs/a": given, "outputs/u": np.stack(u)[:, back]}


def _solve(
    fe: Square, kind: str, i: int, g: np.ndarray, modes: int
) -> tuple[np.ndarray, np.ndarray]:
    middle = fe.vertices[fe.cells].mean(axis=1)
    field = gaussian(middle if kind == "two" else fe.points, i, modes)
    a = np.where(field >= 0, 12.0, 3.0) if kind == "two" else np.exp(field)
    matrix, u = fe.stiffness(a), np.zeros(len(fe.points))
    u[fe.edge] = g
    free = np.setdiff1d(np.arange(len(u)), fe.edge)
    rest = (fe.load() - matrix @ u)[free]
    u[free] = splu(matrix[free][:, free].tocsc()).solve(rest)
    return a, u


if __name__ == "__main__":
    where, law, size, count, p = sys.argv[1:]
    make_data(Path(where), law, int(size), int(count), degree=int(p), modes=48, shard=64)
