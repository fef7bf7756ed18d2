"""Discrete derivatives between spaces of one mesh, as sparse matrices in canonical numbering.

Pull-backs commute with the derivatives of the de Rham complex, so that on every cell, curved or
not, one reference matrix D̂ = Π(d ψ) does it: c_target = T⁻ᵀ D̂ Tᵀ c_source. Where the target is DG
the values are divided by det J (divergence, curl in the plane) or multiplied by Kᵀ (gradient);
these are constant on affine cells, and only there is the derivative a function of the DG space.
D. Arnold, R. Falk, R. Winther, Acta Numerica 15 (2006) 1.
"""

from typing import Any

import basix
import numpy as np
import scipy.sparse as sp
from dolfinx.fem import FunctionSpace
from numpy.typing import NDArray

from meshes.interpolation import first_holders
from meshes.mappings import (
    cell_geometry,
    inverse_transposes,
    is_affine,
    local_cells,
    require_serial,
    transformations,
)

__all__ = ["derivative_matrix", "derivatives_tree", "natural_derivative"]

Array = NDArray[np.float64]

_IDENTITY = basix.MapType.identity
_COVARIANT = basix.MapType.covariantPiola
_CONTRAVARIANT = basix.MapType.contravariantPiola
_CURLS = (("N2E", "RT", 0), ("N1E", "BDM", -1))  # source, target, degree added; on simplices
_SIMPLICES = ("interval", "triangle", "tetrahedron")


def derivatives_tree(spaces: dict[str, FunctionSpace]) -> dict[str, Any]:
    """Return the `derivatives` tree: each derivative that leads from one space into another.

    The pairs are gradient P_k → N1curl_k, N2curl_{k−1}; rotated gradient (in the plane)
    P_k → RT_k, BDM_{k−1}; curl N1curl_k, N2curl_k → RT_k and N1curl_k → BDM_{k−1} in space,
    → DG_{k−1} in the plane; divergence
    RT_k, BDM_k, vector P_k → DG_{k−1} (RT_k on quadrilaterals and hexahedra → DG_{k-1} there,
    affine cells only; N2curl, BDM and vector P on simplices only); broken gradient P_k, DG_k →
    vector DG_{k−1} on affine simplices. Serial, not collective.

    Args:
        spaces: Serial spaces on one mesh, by name.

    Returns:
        `<source>-<target>` → {`operator`, `source`, `target`, `matrix`: CSR (dim target, dim
        source)}; empty if no pair is there.
    """
    tree: dict[str, Any] = {}
    for source, U in spaces.items():
        for target, V in spaces.items():
            operator = natural_derivative(U, V)
            if operator is not None:
                matrix = derivative_matrix(U, V)
                names = {"operator": operator, "source": source, "target": target}
                tree[f"{source}-{target}"] = names | {"matrix": matrix}
    return tree


def natural_derivative(U: FunctionSpace, V: FunctionSpace) -> str | None:
    """Return "grad", "rot", "curl" or "div", whichever maps U into V exactly; None if none does."""
    u, v = U.element.basix_element, V.element.basix_element
    into = (u.family.name, v.family.name, v.degree - u.degree)
    simplex, plane = u.cell_type.name in _SIMPLICES, U.mesh.geometry.dim == 2
    if "custom" in into:
        return None
    if U.dofmap.bs > 1:
        return _of_vectors(U, V)
    if v.family.name == "P" and v.discontinuous and v.map_type == _IDENTITY:
        return _into_discontinuous(U, V)
    if v.discontinuous or V.dofmap.bs > 1 or u.discontinuous:
        return None
    if into == ("P", "N1E", 0) or (simplex and into == ("P", "N2E", -1)):
        return "grad"
    if plane and (into == ("P", "RT", 0) or (simplex and into == ("P", "BDM", -1))):
        return "rot"
    spatial = U.mesh.geometry.dim == 3
    if spatial and (into == ("N1E", "RT", 0) or (simplex and into in _CURLS)):
        return "curl"
    return None


def derivative_matrix(U: FunctionSpace, V: FunctionSpace) -> sp.csr_matrix:
    """Return D (dim V, dim U) with D c the coefficients of the derivative of u = Σ c_i φ_i.

    Raises:
        ValueError: No derivative maps U into V exactly, or a space is distributed.
    """
    require_serial(U, V)
    operator = natural_derivative(U, V)
    if operator is None:
        raise ValueError(
            f"no derivative maps {U.ufl_element()} into {V.ufl_element()} exactly on these cells; "
            "see derivatives_tree for the pairs there are"
        )
    cells = local_cells(U.mesh)
    rows, columns = np.asarray(V.dofmap.list)[cells], np.asarray(U.dofmap.list)[cells]
    blocks = _cell_blocks(U, V, operator, cells)  # (n, bs·d of V, bs·d of U)
    bs = V.dofmap.bs
    columns = (columns[:, :, None] * U.dofmap.bs + np.arange(U.dofmap.bs)).reshape(len(rows), -1)
    rows = (rows[:, :, None] * bs + np.arange(bs)).reshape(len(rows), -1)
    keep = first_holders(rows)[:, :, None] & (np.abs(blocks) > 1e-14 * np.abs(blocks).max())
    n, i, j = np.nonzero(keep)
    shape = (V.dofmap.index_map.size_global * bs, U.dofmap.index_map.size_global * U.dofmap.bs)
    return sp.csr_matrix((blocks[keep], (rows[n, i], columns[n, j])), shape=shape)


def _of_vectors(U: FunctionSpace, V: FunctionSpace) -> str | None:
    """The divergence of vectors of P_k, which lies in DG_{k−1} on affine simplices."""
    u, v = U.element.basix_element, V.element.basix_element
    gdim, simplex = U.mesh.geometry.dim, u.cell_type.name in _SIMPLICES
    fits = (u.family.name, v.family.name, v.degree) == ("P", "P", u.degree - 1)
    fits &= v.discontinuous and not u.discontinuous and simplex and is_affine(U.mesh)
    return "div" if fits and U.value_shape == (gdim,) and not V.value_shape else None


def _into_discontinuous(U: FunctionSpace, V: FunctionSpace) -> str | None:
    u, v = U.element.basix_element, V.element.basix_element
    simplex, gdim = u.cell_type.name in _SIMPLICES, U.mesh.geometry.dim
    if v.degree != u.degree - 1 or not is_affine(U.mesh):
        return None
    if u.family.name in ("P", "CR") and simplex and V.value_shape == (gdim,):
        return "grad"
    if V.dofmap.bs > 1 or V.value_shape:
        return None
    if u.family.name == "RT" or (u.family.name == "BDM" and simplex):
        return "div"
    plane_curl = u.family.name == "N1E" or (u.family.name == "N2E" and simplex)
    return "curl" if plane_curl and gdim == 2 else None


def _cell_blocks(U: FunctionSpace, V: FunctionSpace, operator: str, cells: NDArray) -> Array:
    """Cell matrices (n, bs·d of V, d of U)."""
    D = _reference_matrices(U, V, operator)  # (m, d of V, d of U)
    blocks = _mapped(U, V, operator, D, cells)
    T, S = inverse_transposes(V, cells), transformations(U, cells)
    blocks = blocks if T is None else T @ blocks
    return blocks if S is None else blocks @ np.swapaxes(S, 1, 2)


def _mapped(U: FunctionSpace, V: FunctionSpace, operator: str, D: Array, cells: NDArray) -> Array:
    """The reference matrices on each cell; a Piola target needs nothing."""
    if V.element.basix_element.map_type != _IDENTITY:
        return np.broadcast_to(D[0], (len(cells), *D.shape[1:]))
    centre = np.full((1, U.mesh.geometry.dim), 0.25)
    J = cell_geometry(U.mesh, cells).jacobians(centre)[:, 0]
    if operator != "grad" and U.dofmap.bs == 1:
        return D[0] / np.linalg.det(J)[:, None, None]
    K = np.linalg.inv(J)  # (∇u)_c = Σ_m K_mc ∂u/∂X_m
    if U.dofmap.bs > 1:  # Σ_c (∇u_c)_c
        return np.einsum("nmc,mij->nijc", K, D).reshape(len(cells), D.shape[1], -1)
    gradient = np.einsum("nmc,mij->nicj", K, D)
    return gradient.reshape(len(cells), -1, D.shape[2])


def _reference_matrices(U: FunctionSpace, V: FunctionSpace, operator: str) -> Array:
    """D̂ = Π(d ψ); for a gradient into DG one matrix for each partial derivative."""
    element = V.element.basix_element
    tables = np.asarray(U.element.basix_element.tabulate(1, np.asarray(element.points)))[1:]
    partial = tables[..., 0] if tables.shape[-1] == 1 else tables  # (g, q, d[, v])
    fields = _reference_derivative(operator, partial, element.map_type)
    Pi = np.asarray(element.interpolation_matrix)
    stacked = [np.moveaxis(f, 2, 0).reshape(-1, f.shape[1]) for f in fields]  # (v·q, d)
    return np.stack([Pi @ f for f in stacked])


def _reference_derivative(operator: str, partial: Array, target: basix.MapType) -> list[Array]:
    """Reference derivative as fields (q, d, v), from ∂_m ψ (g, q, d) or ∂_m ψ_j (g, q, d, v)."""
    if operator == "div" and partial.ndim == 3 or operator == "grad" and target == _IDENTITY:
        return [each[..., None] for each in partial]
    if operator == "grad":
        return [np.stack(list(partial), axis=-1)]
    if operator == "rot":
        return [np.stack([partial[1], -partial[0]], axis=-1)]
    if operator == "div":
        return [np.einsum("mqdm->qd", partial)[..., None]]
    if len(partial) == 2:
        return [(partial[0, ..., 1] - partial[1, ..., 0])[..., None]]
    pairs = [(1, 2), (2, 0), (0, 1)]
    return [np.stack([partial[a, ..., b] - partial[b, ..., a] for a, b in pairs], axis=-1)]
