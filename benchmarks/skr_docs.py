"""The tables of `benchmarks.skr` as they are printed and as they stand in `docs/skr.md`."""

from pathlib import Path
from typing import Any

from benchmarks.skr_numbers import bounded, ratio
from benchmarks.skr_paper import paper_ratio
from pipeline.provenance import provenance

__all__ = ["BEGIN", "END", "NOTE", "SIDES", "shown", "write_docs"]

BEGIN, END = "<!-- skr: begin -->", "<!-- skr: end -->"

NOTE = (
    "Means a system. its: applications of the preconditioned operator, PETSc's own count for "
    "GMRES. ms: set-up and iterations, the sort too for sorted. ratio: GMRES over sorted. "
    "≥: GMRES was stopped at 10,000 iterations, as in the paper, on some systems. failed: "
    "GMRES/cold/recycled/sorted. residual: the largest ‖b − A x‖/‖b‖, recomputed. paper: its time "
    "ratio / iteration ratio at this size."
)
SIDES = {
    "left": "Left preconditioning, the preconditioned residual is tested, as in the paper",
    "right": "Right preconditioning, the residual itself is tested",
}
_METHODS = ("gmres", "cold", "recycled", "sorted")


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `skr_run` for readers."""
    made = {k: row[k] for k in ("set", "n", "pc")}
    made |= {"tol": f"{row['tol']:.0e}", "ranks": row["ranks"], "systems": row["systems"]}
    for unit in ("its", "ms"):
        made[f"GMRES {unit}"] = bounded(row[f"gmres_{unit}"], row)
        made |= {f"{m} {unit}": row[f"{m}_{unit}"] for m in _METHODS[1:]}
        made[f"{unit} ratio"] = ratio(row, unit)
    made["failed"] = "/".join(str(row[f"{m}_failed"]) for m in _METHODS)
    made["GMRES residual"] = row["gmres_residual"]
    made["GCRO-DR residual"] = max(row[f"{m}_residual"] for m in _METHODS[1:])
    paper = paper_ratio(row["set"], row["n"], row["pc"], row["tol"])
    made["paper"] = f"{paper[0]:g} / {paper[1]:g}" if paper else "–"
    return made


def markdown(rows: list[dict[str, Any]], leave_out: tuple[str, ...] = ()) -> str:
    """A Markdown table, of three digits or whole numbers."""
    columns = [c for c in rows[0] if c not in leave_out]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        lines.append("| " + " | ".join(_cell(row[c]) for c in columns) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def write_docs(
    page: Path,
    rows: list[dict[str, Any]],
    distances: list[dict[str, Any]],
    goals: list[dict[str, Any]],
    side: str,
) -> None:
    """Put the tables between the markers of a page.

    Raises:
        ValueError: The page doesn't have each marker once, in order.
    """
    text = page.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{page}: expected {BEGIN} and then {END}, each once; put them in")
    head, rest = text.split(BEGIN)
    pieces = [BEGIN, _origin(side)]
    if goals:
        pieces += ["### Goals", markdown(goals)]
    for name in dict.fromkeys(row["set"] for row in rows):
        chosen = [row for row in rows if row["set"] == name]
        chosen.sort(key=lambda r: (r["ranks"], r["n"], -r["systems"], float(r["tol"]) * -1))
        pieces += [f"### {name}", markdown(chosen, ("set",))]
    if distances:
        pieces += ["### Distance and saving", markdown(distances)]
    page.write_text(head + "\n\n".join([*pieces, END]) + rest.split(END)[1])


def _origin(side: str) -> str:
    made = provenance()
    commit = str(made["git_commit"])[:12]
    return (
        f"{made['time'][:10]}, commit {commit}, PETSc {made['versions']['petsc']}, "
        f"{made['machine']}, one thread a rank; {side}{NOTE}"
    )
