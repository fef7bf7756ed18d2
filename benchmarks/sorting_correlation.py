"""Does a recycled space save more when the samples are alike? Real solves, per family.

Sample j is solved cold and after sample i, by the same GCRO-DR; a sample's Newton or time steps
are all counted. Saved is 1 − (applications after i) / (applications cold).
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from pipeline.discretisation import Discretisation
from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree
from pipeline.spec import Spec, load_spec
from pipeline.stages.solve import world

__all__ = ["CASES", "correlations"]

EXAMPLES = Path(__file__).parents[1] / "examples"
POOL = 256
RTOL = 1e-8
MAX_IT = 4000
P1 = "problem.output_space={family: P, degree: 1}"
CASES: dict[str, tuple[str, list[str]]] = {
    "convection-diffusion": ("jacobi", ["mesh.resolution=32"]),
    "curl-curl": ("jacobi", ["mesh.resolution=16"]),
    "darcy": ("jacobi", ["mesh.resolution=48"]),
    "darcy-two-phase": ("jacobi", ["mesh.resolution=48", P1]),
    "darcy-multiscale": ("jacobi", ["mesh.resolution=48"]),
    "darcy-3d": ("jacobi", []),
    "darcy-moving-hole": ("jacobi", ["mesh.size=0.025"]),
    "elasticity": ("jacobi", ["mesh.resolution=[24, 4]", P1]),
    "heat": ("jacobi", ["mesh.resolution=24", "problem.steps=4"]),
    "helmholtz": ("jacobi", ["mesh.resolution=24", P1]),
    "helmholtz-absorbing": ("jacobi", ["mesh.resolution=24", P1]),
    "poisson": ("jacobi", ["mesh.resolution=48"]),
    "reaction-diffusion": ("jacobi", ["mesh.resolution=32"]),
    "thermal": ("jacobi", ["mesh.resolution=24"]),
    "thermal-nonlinear": ("jacobi", ["mesh.resolution=24"]),
}
"""Preconditioner and size: weak and small, so that a solve takes more than one cycle."""


Pair = tuple[int, float, int, int]
"""Base, distance, applications cold, applications after the base."""


class Chain:
    """One KSP that solves systems in a row and keeps its recycled space."""

    def __init__(self, comm: Any, pc: str) -> None:
        from petsc4py import PETSc

        import solvers

        self.applications, self.failed = 0, False
        self._context = solvers.GCRODR(40, 20, verify=False, always=True)
        self._ksp: Any = PETSc.KSP().create(comm)
        self._ksp.setType("python")
        self._ksp.setPythonContext(self._context)
        self._ksp.getPC().setType(pc)
        self._ksp.setPCSide(PETSc.PC.Side.RIGHT)
        self._ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        self._ksp.setInitialGuessNonzero(True)

    def solve(self, system: Any) -> Any:
        """Return the Solution; the first guess holds the Dirichlet values and nothing else."""
        import solvers

        A, b, free = system.A, system.b, system.free
        x = b.duplicate()
        values = b.getArray(readonly=True)
        x.setArray(np.where(free, 0.0, values))
        rtol = system.rtol or RTOL
        goal = 0.95 * rtol * (float(np.linalg.norm(values[free])) or 1.0)
        self._ksp.setTolerances(rtol=0.0, atol=goal, divtol=1e10, max_it=MAX_IT)
        self._ksp.setOperators(A)
        self._ksp.solve(b, x)
        found = x.getArray().copy()
        x.destroy()
        rho = solvers.true_residual(A, b, found, free)
        self.failed |= not rho <= rtol
        self.applications += self._context.applications
        reason = solvers.Reason.CONVERGED if rho <= rtol else solvers.Reason.STAGNATED
        return solvers.Solution(system.id, found, reason, self._context.applications, rho, 0.0, ())

    def close(self) -> None:
        self._ksp.destroy()


def correlations(names: list[str] | None, bases: int, partners: int) -> list[dict[str, Any]]:
    """Return a row a family."""
    return [_family(name, bases, partners) for name in names or CASES]


def _family(name: str, bases: int, partners: int) -> dict[str, Any]:
    pc, changes = CASES[name]
    spec: Spec = load_spec(EXAMPLES / f"{name}.yaml", [*changes, f"samples={POOL}", f"rtol={RTOL}"])
    tree = spaces_tree(spec)
    sampler = Sampler(spec, tree)
    comm = world().Split(world().rank)
    there = Discretisation(spec, tree, comm)
    full = _full(sampler)
    rows: list[Pair] = []
    failed = 0
    for i in range(bases):
        for j, distance in _partners(full, i, partners):
            cold = _applications(there, sampler, comm, pc, [j])
            recycled = _applications(there, sampler, comm, pc, [i, j])
            if cold is None or recycled is None:
                failed += 1
            else:
                rows.append((i, distance, cold, recycled))
    return {"family": name, "dofs": there.problem.free.size} | _summary(rows, failed)


def _summary(rows: list[Pair], failed: int) -> dict[str, Any]:
    base, distance, cold, recycled = np.array(rows, dtype=float).reshape(-1, 4).T
    saved = 1 - recycled / np.maximum(cold, 1)
    order = np.argsort(distance, kind="stable")
    third = max(1, len(rows) // 3)
    rank, p = _spearman(distance, saved)
    within = [_spearman(distance[base == i], saved[base == i])[0] for i in np.unique(base)]
    return {
        "pairs": len(rows),
        "failed": failed,
        "applications cold": _mean(cold),
        "saved, nearest third %": 100 * _mean(saved[order[:third]]),
        "saved, farthest third %": 100 * _mean(saved[order[-third:]]),
        "Spearman": rank,
        "p": p,
        "mean of Spearman within a base": _mean(np.array(within)),
    }


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Coefficient and p-value; NaN where nothing varies."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan, np.nan
    found = spearmanr(x, y)
    return float(found[0]), float(found[1])


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan


def _full(sampler: Sampler) -> NDArray[np.float64]:
    """Input values of the pool, each input in units of its own scatter; a hole's numbers once."""
    names = [n for n in sorted(sampler.inputs(0)) if not n.startswith("parameters/hole_")]
    found = []
    for name in names:
        column = np.array([np.ravel(sampler.inputs(i)[name]) for i in range(POOL)])
        found.append(column / (np.linalg.norm(np.std(column, axis=0)) or 1.0))
    return np.concatenate(found, axis=1)


def _partners(full: NDArray[np.float64], i: int, count: int) -> list[tuple[int, float]]:
    """Samples from the nearest to the farthest, evenly by rank, with their distances."""
    distances = np.linalg.norm(full - full[i], axis=1)
    order = np.argsort(distances, kind="stable")
    order = order[order != i]
    chosen = order[np.linspace(0, len(order) - 1, count).astype(int)]
    return [(int(j), float(distances[j])) for j in chosen]


def _applications(
    there: Discretisation, sampler: Sampler, comm: Any, pc: str, path: list[int]
) -> int | None:
    """Applications of the last sample of a path solved in a row; None if one did not converge."""
    chain = Chain(comm, pc)
    try:
        for i in path:
            chain.applications = 0
            systems, solution = there.march(i, sampler.inputs(i)), None
            while True:
                try:
                    solution = chain.solve(systems.send(solution))
                except StopIteration as end:
                    if not end.value.converged:
                        return None
                    break
        return chain.applications
    finally:
        chain.close()
