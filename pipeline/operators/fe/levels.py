"""The levels below the places: coarser places, and prolongations between them.

Where all outputs share one continuous Lagrange space, the levels are that space on the data set's
coarser meshes, and the prolongations are the stored matrices. Otherwise the coarser levels are the
vertices of these meshes: P evaluates the coarse P1 function at the fine places, each in the parent
of a cell that it lies in. Restriction is Pᵀ with rows scaled to sum 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.evaluation import evaluation_matrix
from pipeline.operators.fe.graph import message_kernels
from pipeline.operators.fe.modes import Modes, low_modes
from pipeline.operators.fe.places import DofPlaces, adjacency, dof_places
from pipeline.operators.task import Task
from storage.volumes import volumes

__all__ = ["Level", "Levels", "make_levels"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Level:
    """Places of one level with what processors need of them.

    Attributes:
        places: points, cells and features.
        kernels: of messages between neighbours.
        stiffness, mass: (n, n), whose low modes carry messages far.
        free: (n) False where every output is fixed.
    """

    places: DofPlaces
    kernels: tuple[csr_matrix, ...]
    stiffness: csr_matrix
    mass: csr_matrix
    free: NDArray[np.bool_]

    def modes(self, count: int) -> Modes:
        """About `count` modes of lowest frequency."""
        return low_modes(self.stiffness, self.mass, self.free, count)


@dataclass(frozen=True, eq=False)
class Levels:
    """Levels, the finest first, and prolongations[l] (n_l, n_{l+1}) from level l + 1 to l."""

    levels: tuple[Level, ...]
    prolongations: tuple[csr_matrix, ...]

    def restriction(self, number: int) -> csr_matrix:
        """Return (n_{l+1}, n_l): means over what a coarse place reaches."""
        transpose = csr_matrix(self.prolongations[number].T)
        total = np.asarray(transpose.sum(axis=1)).ravel()
        return csr_matrix(diags(1.0 / np.maximum(total, 1e-300)) @ transpose)


def make_levels(task: Task, places: DofPlaces, count: int) -> Levels:
    """Make `count` levels, the places first.

    Raises:
        TrainingError: the data set has fewer meshes.
    """
    if count > 1 and not len(task.hierarchy):
        raise TrainingError(
            "the data set's mesh has one level, multigrid operators need more; make it with "
            "`mesh.levels` of 3 or 4 in the spec, or train another operator"
        )
    known = 1 + len(task.hierarchy)
    if count > known:
        raise TrainingError(
            f"`levels: {count}` of the operator: the data set's mesh has {known} levels; use at "
            "most that many, or refine more often with `mesh.levels`"
        )
    finest = _finest(task, places)
    levels, prolongations, mesh = [finest], [], places.mesh
    stored = _stored_space(task)
    coarser = sorted(task.hierarchy, key=int, reverse=True)[: count - 1]
    for name in coarser:
        tables = task.hierarchy[name]
        if stored is not None:
            matrix = _component(tables["prolongations"][stored]["matrix"], task, stored)
            below = dof_places(tables["mesh"], [tables["spaces"][stored]])
        else:
            matrix = _through_parents(mesh, tables["mesh"], levels[-1].places)
            below = dof_places(tables["mesh"], [_p1(tables["mesh"])])
        levels.append(_coarser(levels[-1], matrix, below))
        prolongations.append(matrix)
        mesh = tables["mesh"]
    return Levels(tuple(levels), tuple(prolongations))


def _finest(task: Task, places: DofPlaces) -> Level:
    volume = volumes(places.mesh)
    kernels = message_kernels(places.points, places.cells, volume)
    space = task.space(task.outputs[0])
    own = len(places.groups) == 1 and places.holds(space)
    if own and str(space["map_type"]) == "identity":
        b = int(space["block_size"])
        grams = space["grams"]
        mass, stiffness = (csr_matrix(grams[k][::b, ::b]) for k in ("mass", "stiffness"))
    else:
        shared = adjacency(places.cells, len(places.points), volume)
        mass = diags(np.asarray(shared.sum(axis=1)).ravel(), format="csr")
        stiffness = csr_matrix(mass - shared)
    return Level(places, kernels, stiffness, mass, _free(task, places))


def _free(task: Task, places: DofPlaces) -> NDArray[np.bool_]:
    """False at nodes of outputs that are all fixed there, in all of their components."""
    free, owned = np.zeros((2, len(places.points)), bool)
    for field in task.outputs:
        if not places.holds(task.space(field)):
            return np.ones(len(free), bool)  # a potential is learnt instead
        matrix, v = places.coefficients(task.space(field))
        dofs = np.ones(matrix.shape[0], bool)
        if field.constrained is not None:
            dofs[np.asarray(field.constrained, dtype=np.int64)] = False
        reach = abs(matrix).T
        free |= (reach @ dofs.astype(float)).reshape(-1, v).any(axis=1)
        owned |= (reach @ np.ones(len(dofs))).reshape(-1, v).any(axis=1)
    free |= ~owned  # vertices that join the nodes: without them no mode would leave its cell
    return free if free.any() else ~free


def _coarser(fine: Level, matrix: csr_matrix, places: DofPlaces) -> Level:
    """The level below, with the Galerkin matrices Pᵀ K P and Pᵀ M P."""
    kernels = message_kernels(places.points, places.cells, volumes(places.mesh))
    same = csr_matrix(matrix > 1 - 1e-9)  # a fine place at a coarse one
    fixed = np.asarray(same.T @ (~fine.free).astype(float)).ravel() > 0
    stiffness = csr_matrix(matrix.T @ fine.stiffness @ matrix)
    mass = csr_matrix(matrix.T @ fine.mass @ matrix)
    return Level(places, kernels, stiffness, mass, ~fixed if not fixed.all() else fixed)


def _stored_space(task: Task) -> str | None:
    """The one continuous Lagrange space of all outputs, if its prolongations are stored."""
    names = {field.space for field in task.outputs}
    if len(names) != 1 or not len(task.hierarchy):
        return None
    (name,) = names
    space = task.spaces[name]
    lagrange = str(space["family"]) == "P" and not space["discontinuous"]
    known = all(name in task.hierarchy[level]["prolongations"] for level in task.hierarchy)
    return name if lagrange and known else None


def _component(matrix: Any, task: Task, name: str) -> csr_matrix:
    b = int(task.spaces[name]["block_size"])
    return csr_matrix(csr_matrix(matrix)[::b, ::b])


def _through_parents(
    fine: Mapping[str, Any], coarse: Mapping[str, Any], places: DofPlaces
) -> csr_matrix:
    """Values at the places of P1 functions on the coarser mesh."""
    corners = np.asarray(coarse["cells"])[np.asarray(fine["parents"])]
    parents = {key: coarse[key] for key in ("points", "cell_type", "gdim", "tdim")}
    return evaluation_matrix(
        parents | {"cells": corners},
        _p1(parents | {"cells": corners}),
        places.points,
        places.cells,
    )


def _p1(mesh: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of P1 on a mesh."""
    cells = np.asarray(mesh["cells"])
    return {
        "family": "P",
        "degree": 1,
        "block_size": 1,
        "map_type": "identity",
        "needs_transformations": False,
        "dim": len(mesh["points"]),
        "cell_type": mesh["cell_type"],
        "lagrange_variant": "gll_warped",
        "dpc_variant": "unset",
        "discontinuous": False,
        "dofmap": cells,
        "cell_permutation_info": np.zeros(len(cells), np.uint32),
        "points": np.asarray(mesh["points"]),
    }
