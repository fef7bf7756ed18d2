"""Coordinate maps and basis functions of many cells at once.

On a cell with vertices p_k the map is x = Σ_k N_k(X) p_k, J = ∂x/∂X, K = J⁻¹. The basis functions
of an element are φ = F(T ψ): the reference basis ψ, the cell's dof transformation T (DOLFINx
applies it where an element's dofs can't be permuted), and the map F of the element:

    identity φ = ψ      covariant Piola φ = Kᵀψ      contravariant Piola φ = Jψ / det J

Everything here is serial and not collective. Shapes: n cells, q points a cell, d dofs a cell, v
values, g = gdim = tdim.
"""

from dataclasses import dataclass
from typing import Any

import basix
import numpy as np
from dolfinx.fem import FunctionSpace
from dolfinx.mesh import Mesh
from numpy.typing import NDArray

__all__ = [
    "CellGeometry",
    "basis_functions",
    "cell_geometry",
    "inverse_transposes",
    "is_affine",
    "local_cells",
    "outside",
    "pull_back_values",
    "require_serial",
    "transformations",
]

Array = NDArray[np.float64]
Cells = NDArray[np.int32]

_NEWTON_STEPS = 25
_SIMPLICES = ("interval", "triangle", "tetrahedron")


@dataclass(frozen=True, eq=False)
class CellGeometry:
    """The coordinate maps of n cells.

    Attributes:
        kind: Cell type, as Basix names it.
        vertices: (n, k, g) in the cell's own order.
    """

    kind: str
    vertices: Array

    def __getitem__(self, rows: Any) -> "CellGeometry":
        """Return the maps of some of the cells."""
        return CellGeometry(self.kind, self.vertices[rows])

    def push_forward(self, X: Array) -> Array:
        """Return x (n, q, g) of the reference points X (n, q, g) or (q, g)."""
        return self._tables(X)[0] @ self.vertices

    def jacobians(self, X: Array) -> Array:
        """Return J (n, q, g, g) with J_ij = ∂x_i/∂X_j; q is 1 on affine cells."""
        X = X[..., :1, :] if self.kind in _SIMPLICES else X
        gradients = self._tables(X)[1:]  # (g, n or 1, q, k)
        columns = [table @ self.vertices for table in gradients]
        return np.stack(columns, axis=-1)

    def pull_back(self, x: Array) -> Array:
        """Return X (n, q, g) of the points x (n, q, g); NaN where Newton's method fails.

        Affine cells take one step of it, exactly; on others a point far from its cell may have
        no X at all.
        """
        X = np.full(x.shape, 1.0 / x.shape[-1] if self.kind in _SIMPLICES else 0.5)
        steps = 1 if self.kind in _SIMPLICES else _NEWTON_STEPS
        for _ in range(steps):
            residual = x - self.push_forward(X)
            step = (_inverse(self.jacobians(X)) @ residual[..., None])[..., 0]
            X = X + (step if steps == 1 else np.clip(step, -4.0, 4.0))  # or divergence overflows
            if np.abs(step).max(initial=0.0) < 1e-14:
                break
        if steps > 1:
            X[np.abs(step).max(axis=-1) > 1e-10] = np.nan
        return X

    def _tables(self, X: Array) -> Array:
        """Values and gradients of the N_k, (1 + g, n or 1, q, k)."""
        cell = basix.CellType[self.kind]
        element = basix.create_element(basix.ElementFamily.P, cell, 1)
        flat = np.asarray(element.tabulate(1, X.reshape(-1, X.shape[-1])))[..., 0]
        batch = X.shape[0] if X.ndim == 3 else 1
        return flat.reshape(len(flat), batch, X.shape[-2], -1)


def cell_geometry(mesh: Mesh, cells: Cells) -> CellGeometry:
    """Return the maps of some local cells.

    Raises:
        ValueError: The mesh is curved, or a surface in a higher dimension.
    """
    gdim, tdim = mesh.geometry.dim, mesh.topology.dim
    nodes = np.asarray(mesh.geometry.dofmaps[0])
    kind = mesh.topology.cell_type.name
    corners = len(basix.topology(basix.CellType[kind])[0])
    if gdim != tdim or nodes.shape[1] != corners:
        raise ValueError(
            f"a mesh with {nodes.shape[1]} nodes a cell, dimension {tdim} in {gdim}: only "
            f"straight {kind} cells ({corners} nodes) that fill their space have tables"
        )
    return CellGeometry(kind, np.asarray(mesh.geometry.x)[nodes[cells]][:, :, :gdim])


def is_affine(mesh: Mesh) -> bool:
    """Whether every cell's map is affine: simplices, parallelograms and parallelepipeds."""
    if mesh.topology.cell_type.name in _SIMPLICES:
        return True
    cells = np.arange(len(mesh.geometry.dofmaps[0]), dtype=np.int32)
    geometry = cell_geometry(mesh, cells)
    corners = np.asarray(basix.geometry(basix.CellType[geometry.kind]))
    J = geometry.jacobians(corners)
    return bool(np.abs(J - J[:, :1]).max() <= 1e-10 * np.abs(J).max())


def local_cells(mesh: Mesh) -> NDArray[np.int64]:
    """Return the local cell of each stored cell of a serial mesh."""
    return np.argsort(mesh.topology.original_cell_index)


def require_serial(*spaces: FunctionSpace) -> None:
    """Refuse a distributed space.

    Raises:
        ValueError: A space's mesh is on several ranks.
    """
    for V in spaces:
        if V.mesh.comm.size > 1:
            raise ValueError(
                f"space tables are made on one rank, not on {V.mesh.comm.size}: "
                "build the mesh on MPI.COMM_SELF"
            )


def outside(kind: str, X: Array) -> Array:
    """How far reference points (…, g) are outside of the reference cell, (…); NaN counts as inf."""
    beyond = np.maximum(-X, 0.0).max(axis=-1)
    over = X.sum(axis=-1) - 1.0 if kind in _SIMPLICES else (X - 1.0).max(axis=-1)
    return np.nan_to_num(np.maximum(beyond, over), nan=np.inf)


def basis_functions(V: FunctionSpace, cells: Cells, geometry: CellGeometry, X: Array) -> Array:
    """Return all basis functions of each cell at its own points, blocks not expanded.

    Args:
        V: A serial space.
        cells: (n) local cells.
        geometry: Their maps.
        X: (n, q, g) reference points.

    Returns:
        (n, q, d, v) physical values.
    """
    element = V.element.basix_element
    flat = np.asarray(element.tabulate(0, np.ascontiguousarray(X.reshape(-1, X.shape[-1]))))[0]
    psi = flat.reshape(*X.shape[:2], *flat.shape[1:])
    T = transformations(V, cells)
    psi = psi if T is None else T[:, None] @ psi
    if element.map_type == basix.MapType.identity:
        return psi
    J = geometry.jacobians(X)
    if element.map_type == basix.MapType.covariantPiola:
        return psi @ _inverse(J)
    return psi @ (np.swapaxes(J, -1, -2) / np.linalg.det(J)[..., None, None])


def pull_back_values(V: FunctionSpace, geometry: CellGeometry, X: Array, u: Array) -> Array:
    """Return the reference values F⁻¹(u) of physical values u (n, q, m, v) of m functions."""
    map_type = V.element.basix_element.map_type
    if map_type == basix.MapType.identity:
        return u
    J = geometry.jacobians(X)
    if map_type == basix.MapType.covariantPiola:
        return u @ J
    return u @ (np.swapaxes(_inverse(J), -1, -2) * np.linalg.det(J)[..., None, None])


def transformations(V: FunctionSpace, cells: Cells) -> Array | None:
    """Return T of each cell, (n, d, d); None where it is the identity everywhere."""
    found = _distinct_transformations(V, cells)
    return None if found is None else found[0][found[1]]


def inverse_transposes(V: FunctionSpace, cells: Cells) -> Array | None:
    """Return T⁻ᵀ of each cell, that takes reference coefficients r = Tᵀc to c; None as above."""
    found = _distinct_transformations(V, cells)
    if found is None:
        return None
    return np.linalg.inv(np.swapaxes(found[0], 1, 2))[found[1]]


def _distinct_transformations(V: FunctionSpace, cells: Cells) -> tuple[Array, NDArray] | None:
    """The few different T there are, and which of them each cell has."""
    if not V.element.needs_dof_transformations:
        return None
    V.mesh.topology.create_entity_permutations()
    info = np.asarray(V.mesh.topology.get_cell_permutation_info(), dtype=np.uint32)[cells]
    kinds, inverse = np.unique(info, return_inverse=True)
    d = V.element.basix_element.dim
    T = np.tile(np.eye(d), (len(kinds), 1, 1))
    V.element.T_apply(T.reshape(-1), kinds, d)
    return T, inverse


def _inverse(J: Array) -> Array:
    """Inverses of small matrices; inf where one is singular (a diverging Newton step)."""
    try:
        return np.linalg.inv(J)
    except np.linalg.LinAlgError:
        det = np.linalg.det(J)
        safe = np.where((det == 0.0)[..., None, None], np.eye(J.shape[-1]), J)
        return np.where((det == 0.0)[..., None, None], np.nan, np.linalg.inv(safe))
