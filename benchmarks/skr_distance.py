"""How much a recycled space saves, against the distance between the two systems' parameters."""

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.skr_problems import PARTNERS, Sequence

__all__ = ["distances", "summary"]

MAX_IT = 100_000


def distances(sequence: Sequence, job: dict[str, Any], comm: Any) -> list[dict[str, Any]]:
    """Solve i, then j with i's space and j cold, for pairs at several distances. Collective.

    Returns:
        A row a pair: pc, tol, distance (root mean square), cold, recycled.
    """
    rows = []
    for pc in job["pcs"]:
        for rtol in job["tolerances"]:
            for i in range(job["bases"]):
                for k in range(PARTNERS):
                    found = _pair(sequence, i, k, pc, rtol, comm)
                    head = {"set": job["set"], "n": sequence.n, "pc": pc, "tol": rtol}
                    rows.append(head | found)
    return rows


def _pair(sequence: Sequence, i: int, k: int, pc: str, rtol: float, comm: Any) -> dict[str, Any]:
    """One pair; GCRO-DR uses its space even where its own rules would not."""
    from petsc4py import PETSc

    import solvers

    near, distance = sequence.partner(i, k)
    first = sequence.system(i)
    ksp: Any = PETSc.KSP().create(comm)
    ksp.setType("python")
    context = solvers.GCRODR(40, 20, always=True)
    ksp.setPythonContext(context)
    ksp.setPCSide(PETSc.PC.Side.LEFT)
    ksp.getPC().setType(pc)
    ksp.setTolerances(rtol=rtol, max_it=MAX_IT)
    counts = []
    x = first[1].duplicate()
    for A, b in (first, near):
        ksp.setOperators(A)
        ksp.solve(b, x)
        counts.append(ksp.getIterationNumber())
    context.forget()
    ksp.solve(near[1], x)
    cold = ksp.getIterationNumber()
    for each in (ksp, x):
        each.destroy()
    sequence.release(first)
    sequence.release(near)
    return {"distance": distance, "cold": cold, "recycled": counts[1]}


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a set, preconditioner and tolerance: Spearman's ρ and the saving near and far.

    The saving of a pair is 1 − recycled / cold.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in ("set", "n", "pc", "tol")), []).append(row)
    made = []
    for (name, n, pc, tol), pairs in groups.items():
        distance = np.array([p["distance"] for p in pairs])
        saved = np.array([1.0 - p["recycled"] / p["cold"] for p in pairs])
        same = np.ptp(distance) == 0 or np.ptp(saved) == 0
        rho, p_value = (np.nan, np.nan) if same else spearmanr(distance, saved)
        order = np.argsort(distance, kind="stable")
        third = max(1, len(pairs) // 3)
        made.append(
            {
                "set": name,
                "n": n,
                "pc": pc,
                "tol": tol,
                "pairs": len(pairs),
                "distance": f"{distance.min():.3g} … {distance.max():.3g}",
                "cold": float(np.mean([p["cold"] for p in pairs])),
                "saved, nearest third %": 100 * float(saved[order[:third]].mean()),
                "saved, farthest third %": 100 * float(saved[order[-third:]].mean()),
                "Spearman ρ": float(rho),
                "p": float(p_value),
            }
        )
    return made
