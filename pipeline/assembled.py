"""A spec's system as plain tables, affine in the data of a sample: what a residual loss needs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import spsolve

from pipeline.operators.errors import TrainingError
from pipeline.problem import input_fields, parameters
from pipeline.spec import Spec

if TYPE_CHECKING:
    from pipeline.operators.training.residual import AssembledOperators

__all__ = ["from_spec"]

Array = NDArray[np.float64]
Ranges = dict[str, tuple[int, int]]
Table = tuple[NDArray[np.int64], sp.csr_matrix, Array]
"""Keys of values, T and t₀: the values are t₀ + T z."""
Data = dict[int, Any]
"""`id` of a function or constant → CSR matrix from z to its local values."""


def from_spec(spec: Spec, spaces: Any) -> AssembledOperators:
    """Return A(z) and b(z) of a spec's problem on its stored mesh, in stored numbering. Serial.

    The forms are taken apart as in `meshes/affine.py`, once for each coefficient in a cell, and
    brought to canonical dofs: with w = P u, A = Pᵀ A_w P and b = Pᵀ b_w.

    Args:
        spec: The spec of the data set.
        spaces: The whole tree of its `spaces.h5` (`storage.read_spaces`).

    Raises:
        TrainingError: The problem marches in time, is nonlinear, moves its mesh, or its system is
            not affine in the data.
    """
    from mpi4py import MPI

    from pipeline.discretisation import Discretisation
    from pipeline.operators.training.residual import AssembledOperators
    from pipeline.sampler import Sampler

    _refuse_other_problems(spec)
    there = Discretisation(spec, spaces, MPI.COMM_SELF)
    first = Sampler(spec, spaces).inputs(0)
    there.set(first)  # tensors are taken apart at the size of real data
    problem = there.problem
    data, inputs = _data(spec, problem, spaces)
    P, outputs, lifted = _solution(problem, spaces)
    bilinear, linear = _tables(spec, problem, data)
    rows, columns, S, s0 = _canonical_matrix(bilinear, P)
    free = _free(spaces, outputs)
    place = np.full(P.shape[1], -1)
    place[free] = np.arange(len(free))
    kept = place[rows] >= 0
    indptr = np.searchsorted(place[rows[kept]], np.arange(len(free) + 1))
    matrix = {"indptr": indptr, "indices": columns[kept], "S": S[kept], "s0": s0[kept]}
    _, B, b0 = linear
    right = {"B": sp.csr_matrix(P.T @ B)[free], "b0": (P.T @ b0)[free]}
    made = AssembledOperators(
        inputs, outputs, free, **matrix, **right, gram=sp.csr_matrix((len(free), len(free)))
    )
    z = made.data({name: np.asarray(value)[None] for name, value in first.items()})[0]
    return replace(made, gram=_gram(spaces, made, z, lifted))


def _refuse_other_problems(spec: Spec) -> None:
    problem, why = spec.problem, None
    if problem.times():
        why = "marches in time"
    elif not problem.LINEAR:
        why = "is nonlinear in its solution"
    elif spec.mesh.moves:
        why = "has another mesh for each sample"
    if why is not None:
        raise TrainingError(
            f"residual loss: family {problem.family!r} {why}; expected one linear, stationary "
            "system on one mesh: take another train.loss"
        )


# --- u and z in the problem's own numbering ---


def _data(spec: Spec, problem: Any, spaces: Any) -> tuple[Data, Ranges]:
    """How the local values of functions and constants follow from z, and what z is made of."""
    import meshes

    maps, start, ranges = {}, 0, {}
    for field in input_fields(spec):
        V = problem.space_of(field.name)
        table = spaces["spaces"][spaces["fields"][field.name]["space"]]
        maps[field.name] = f"inputs/{field.name}", _from_canonical(meshes.CanonicalMap(V, table), V)
    for p in parameters(spec):
        maps[p.name] = f"parameters/{p.name}", sp.identity(max(1, int(np.prod(p.shape))))
    for column, local in maps.values():
        ranges[column] = (start, start + local.shape[1])
        start += local.shape[1]
    terminals, data = problem.terminals, {}
    for name, (column, local) in maps.items():
        before, after = ranges[column][0], start - ranges[column][1]
        zeros = [sp.csr_matrix((local.shape[0], width)) for width in (before, after)]
        data[id(terminals[name])] = sp.hstack([zeros[0], local, zeros[1]], format="csr")
    return data, ranges


def _solution(problem: Any, spaces: Any) -> tuple[sp.csr_matrix, Ranges, Array]:
    """P, what u is made of, and u_D of the present data."""
    import meshes

    problem.lift()
    triplets, ranges, start = [], {}, 0
    lifted: list[Any] = []
    for name, (V, dofs) in problem.parts.items():
        there = meshes.CanonicalMap(V, spaces["spaces"][spaces["fields"][name]["space"]])
        local = _from_canonical(there, V).tocoo()
        triplets.append((local.data, dofs[local.row], local.col + start))
        ranges[name] = (start, start + there.size)
        start += there.size
        lifted.append(there.to_canonical(problem.w.x.array[dofs]))
    values, rows, columns = (np.concatenate(part) for part in zip(*triplets, strict=True))
    shape = (len(problem.w.x.array), start)
    return sp.csr_matrix((values, (rows, columns)), shape=shape), ranges, np.concatenate(lifted)


def _from_canonical(there: Any, V: Any) -> sp.csr_matrix:
    """The matrix of `CanonicalMap.from_canonical`, blocks expanded."""
    return sp.kron(there.matrix, sp.identity(V.dofmap.bs), format="csr")


def _free(spaces: Any, outputs: Ranges) -> NDArray[np.int64]:
    free = np.ones(max(stop for _, stop in outputs.values()), dtype=bool)
    for name, (start, _) in outputs.items():
        free[start + np.asarray(spaces["fields"][name]["constrained"], dtype=np.int64)] = False
    return np.flatnonzero(free)


# --- the forms, taken apart ---


def _tables(spec: Spec, problem: Any, data: Data) -> tuple[Table, Table]:
    """Those of the bilinear and the linear form, in the problem's numbering.

    The value with key i n + j is that of row i and column j, that with key i is that of row i.
    """
    from meshes.affine_degree import is_affine
    from meshes.element_tensors import cell_dofs

    a, L = problem.stated_forms
    varying = [t for t in problem.terminals.values() if id(t) in data]
    for form, what in ((a, "operator"), (L, "right-hand side")):
        if not is_affine(form, varying):
            names = ", ".join(problem.terminals)
            raise TrainingError(
                f"residual loss: the {what} of family {spec.problem.family!r} is not affine in the "
                f"random data ({names}), such as k² in k; give what enters that way a number, or "
                "take another train.loss"
            )
    dofs = cell_dofs(problem.W).astype(np.int64)
    pairs = dofs[:, :, None] * len(problem.w.x.array) + dofs[:, None, :]
    try:
        return _table(a, varying, pairs.ravel(), data), _table(L, varying, dofs.ravel(), data)
    except ValueError as error:
        raise TrainingError(
            f"residual loss: family {spec.problem.family!r} has {error}; expected integrals over "
            "all cells and the boundary: take another train.loss"
        ) from None


def _table(form: Any, varying: list[Any], keys: NDArray[np.int64], data: Data) -> Table:
    """The sums t₀ + T z of the entries of a form's element tensors with equal keys, and those."""
    from meshes.affine_tensors import AffineTensors
    from meshes.affine_values import Slots
    from meshes.element_tensors import ElementTensors

    tensors = AffineTensors(ElementTensors(form), varying)
    slots, found = Slots.by_key(keys)
    width = next(iter(data.values())).shape[1] if data else 0
    T = sp.csr_matrix((len(found), width))
    for part in tensors.parts:
        T = T + _per_value(part, slots, len(found)) @ data[id(part.terminal)]
    return found, T, slots.sums(tensors.constant)


def _per_value(part: Any, slots: Any, size: int) -> sp.csr_matrix:
    """∂(sums of slots) / ∂(local values of one function or constant)."""
    from dolfinx.fem import Function

    from meshes.element_tensors import cell_dofs

    slot = np.repeat(np.arange(size), np.diff(slots.indptr))
    values = part.tensors.reshape(len(part.tensors), -1)[:, slots.entries].T
    if isinstance(part.terminal, Function):
        dofs = cell_dofs(part.terminal.function_space)
        cell = slots.entries // (part.tensors[0].size // len(dofs))
        columns, count = dofs[cell], len(part.terminal.x.array)
        values = values if part.weights is None else values * part.weights
    else:
        columns, count = np.tile(np.arange(len(part.tensors)), (len(slot), 1)), len(part.tensors)
    rows = np.repeat(slot, columns.shape[1])
    made = sp.csr_matrix((values.ravel(), (rows, columns.ravel())), shape=(size, count))
    made.eliminate_zeros()
    return made


def _canonical_matrix(
    table: Table, P: sp.csr_matrix
) -> tuple[NDArray[np.int64], NDArray[np.int64], sp.csr_matrix, Array]:
    """Rows, columns, T and t₀ of Pᵀ A P: each value of A goes to Σ_pq P_ip P_jq of the others'."""
    keys, T, base = table
    i, j = np.divmod(keys, P.shape[0])
    left = P[i].tocoo()  # (values of A, p)
    right = P[j[left.row]].tocoo()  # (values and p, q)
    target, slot = np.unique(
        left.col[right.row].astype(np.int64) * P.shape[1] + right.col, return_inverse=True
    )
    weights = left.data[right.row] * right.data
    R = sp.csr_matrix((weights, (slot, left.row[right.row])), shape=(len(target), len(keys)))
    rows, columns = np.divmod(target, P.shape[1])
    return rows, columns, sp.csr_matrix(R @ T), R @ base


# --- the norm of the space of tests ---


def _gram(spaces: Any, made: AssembledOperators, z: Array, lifted: Array) -> sp.csr_matrix:
    """G on free dofs: M + K of each field, over that form of the first sample's solution.

    So errors of all fields count relative to the fields, whatever their units. A field without a
    diagonal block in A is a multiplier, whose derivatives nothing bounds: its norm is that of M.
    """
    A = made.matrix(z)
    inside = A[:, made.free]
    u = lifted.copy()
    if len(made.outputs) > 1:  # one field's weight cancels in a relative residual
        rest = made.B @ z + made.b0 - A @ lifted
        u[made.free] += spsolve(inside.tocsc(), rest)
    blocks = []
    for name, (start, stop) in made.outputs.items():
        grams = spaces["spaces"][spaces["fields"][name]["space"]]["grams"]
        low, high = np.searchsorted(made.free, [start, stop])
        multiplier = len(made.outputs) > 1 and not inside[low:high, low:high].count_nonzero()
        gram = sp.csr_matrix(grams["mass"] if multiplier else grams["mass"] + grams["stiffness"])
        square = float(u[start:stop] @ (gram @ u[start:stop])) if len(made.outputs) > 1 else 1.0
        local = made.free[low:high] - start
        blocks.append(gram[local][:, local] / (square or 1.0))
    return sp.csr_matrix(sp.block_diag(blocks, format="csr"))
