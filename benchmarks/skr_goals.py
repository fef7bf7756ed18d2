"""The goals of `benchmarks.skr`, with a verdict each."""

from typing import Any

from benchmarks.skr_numbers import ratio

__all__ = ["goals"]

ITERATIONS, TIME = 19.0, 5.0
HELMHOLTZ = 13.9
SMALLEST = 2500  # the paper's smallest size: below it there is nothing to gain
MICROSECONDS = {2500: 80.0, 10_000: 280.0}
OURS = ("cold", "recycled", "sorted")


def goals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a goal: what was asked, what was found, whether it is reached.

    Of rows that differ in the number of systems only, the longest sequence counts.
    """
    made = []
    for row in _longest(rows, "darcy-released", ("none",), (1e-8,)):
        where = f"released Darcy, n = {row['n']}, none, 1e-8"
        made.append(_goal(f"{where}: iterations", f"≥ {ITERATIONS:g}×", ratio(row, "its"), 1))
        made.append(_goal(f"{where}: time", f"≥ {TIME:g}×", ratio(row, "ms"), 1))
    helmholtz = [
        row
        for row in rows
        if row["set"] == "helmholtz-released" and row["ranks"] == 1 and row["n"] >= SMALLEST
    ]
    if helmholtz:
        best = max(helmholtz, key=lambda r: ratio(r, "ms"))
        where = f"released Helmholtz, best case (n = {best['n']}, {best['pc']}, {best['tol']:.0e})"
        made.append(_goal(f"{where}: time", f"≥ {HELMHOLTZ:g}×", ratio(best, "ms"), 1))
    for n, most in MICROSECONDS.items():
        for row in _longest(rows, "darcy-released", ("none",), None):
            if row["n"] == n:
                found = 1e3 * row["recycled_ms"] / row["recycled_its"]
                made.append(
                    _goal(f"released Darcy, n = {n}, none: µs an iteration", f"≤ {most:g}", found)
                )
    failed = sum(row[f"{m}_failed"] for row in rows for m in OURS)
    solves = sum(row["systems"] * len(OURS) for row in rows)
    made.append(_goal(f"failures of GCRO-DR in {solves} solves", "≤ 0", float(failed)))
    return made


def _goal(what: str, asked: str, found: float, digits: int = 0) -> dict[str, Any]:
    bound = float(asked[1:].strip(" ×"))
    reached = found >= bound if asked[0] == "≥" else found <= bound
    text = f"{found:.{digits}f}"
    return {"goal": what, "asked": asked, "found": text, "verdict": "yes" if reached else "NO"}


def _longest(
    rows: list[dict[str, Any]],
    name: str,
    pcs: tuple[str, ...],
    tolerances: tuple[float, ...] | None,
) -> list[dict[str, Any]]:
    """The rows of a set on one rank, of each size the one with the most systems."""
    best: dict[int, dict[str, Any]] = {}
    for row in rows:
        fits = row["set"] == name and row["pc"] in pcs and row["ranks"] == 1
        fits = fits and row["n"] >= SMALLEST
        if fits and (tolerances is None or row["tol"] in tolerances):
            best[row["n"]] = max(best.get(row["n"], row), row, key=lambda r: r["systems"])
    return [best[n] for n in sorted(best)]
