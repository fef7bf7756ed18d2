"""From what the races found to the tables of `benchmarks.peers`."""

from pathlib import Path
from typing import Any

from benchmarks.skr_docs import markdown
from pipeline.provenance import provenance

__all__ = ["BEGIN", "END", "NOTES", "all_rows", "fastest", "main_row", "whole_row", "write_docs"]

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
_TITLES = {"peers": "Systems", "peers_whole": "Whole samples", "peers_all": "Every peer"}

NOTES = {
    "peers": "Milliseconds a sample (CPU time, one thread), true residual ≤ 1e-8; of a Newton step "
    "its own bound. ours: set-up, iterations, verification (of a peer not counted), sorting, and "
    "the pilot's share of the expected samples. ratio: the fastest peer of the goal's list over "
    "ours. pilot counted: the same with all of the pilot, and all of a peer's first set-up, on the "
    "samples run here. any peer: with those that the goal doesn't speak of.",
    "peers_whole": "Milliseconds a sample, wall time, drawing to writing. ours: `rekrylov solve`, "
    "from the records of its shards, and sorting. peer: DOLFINx' own reassembly, the fastest peer, "
    "the residual, the same writer. once: kernels, pilot, first set-up; its share is in ms. MiB: "
    "peak resident size of each process.",
    "peers_all": "All peers; *: the goals don't speak of it. ≥: stopped after a few systems. "
    "failed: true residual too large. residual: the largest over its bound. once: beyond the "
    "others' time in the first 16 samples.",
}


def fastest(found: dict[str, Any], beyond: bool = False, key: str = "ms") -> dict[str, Any] | None:
    """Return the row of the fastest peer that solved everything; None if there is none.

    Args:
        found: What a race found.
        beyond: With the peers that the goals don't speak of.
        key: What counts: "ms", or "all_ms" with all that is paid once.
    """
    rows = [
        row
        for row in found["peers"]
        if not row["failed"] and not row["stopped"] and (beyond or not row["beyond"])
    ]
    return min(rows, key=lambda row: row[key], default=None)


def main_row(case: Any, found: dict[str, Any]) -> dict[str, Any]:
    """A case's row: ours, the fastest peer, the verdict."""
    ours = found["ours"]
    ms = ours["ms"] + found["sort_ms"]
    peer, any_peer = fastest(found), fastest(found, beyond=True)
    counted = fastest(found, key="all_ms")
    made = {
        "case": case.name,
        "n": found["n"],
        "samples": found["samples"],
        "systems": round(found["systems"], 1),
        "picked": " → ".join(found["picked"]),
        "ours ms": ms,
        "sort ms": found["sort_ms"],
        "pilot s": ours["once_ms"] / 1e3,
        "failed": ours["failed"] + found["failed marches"],
        "fastest peer": peer["name"] if peer else "–",
        "peer ms": peer["ms"] if peer else float("nan"),
        "ratio": peer["ms"] / ms if peer else float("nan"),
        "goal": case.goal,
    }
    made["verdict"] = verdict(made["ratio"], case.goal, made["failed"])
    made["pilot counted"] = (
        counted["all_ms"] / (ours["all_ms"] + found["sort_ms"]) if counted else float("nan")
    )
    made["any peer"] = f"{any_peer['ms'] / ms:.3g} ({any_peer['name']})" if any_peer else "–"
    return made


def verdict(ratio: float, goal: float, failed: int = 0) -> str:
    """In a word; a case in which a sample of ours failed has not met its goal."""
    if failed:
        return f"{failed} failed"
    return "met" if ratio >= goal else "missed" if ratio < goal else "no peer"


def whole_row(case: Any, found: dict[str, Any]) -> dict[str, Any]:
    """A case's row of whole samples."""
    ours, peer = found["whole"]["ours"], found["whole"]["peer"]
    ms = ours["ms"] + found["sort_ms"]
    made = {"case": case.name, "n": found["n"]}
    for name, part in (("ours", ours), ("peer", peer)):
        split = (part[f"{key}_ms"] for key in ("draw", "assemble", "solve", "rest"))
        made[f"{name} draw + assemble + solve + rest"] = " + ".join(f"{x:.3g}" for x in split)
        made[f"{name} once s"] = part["once_ms"] / 1e3
    made |= {"sort ms": found["sort_ms"], "ours ms": ms, "peer": found["whole"]["name"]}
    made |= {"peer ms": peer["ms"], "ratio": peer["ms"] / ms, "goal": case.whole}
    made["verdict"] = verdict(made["ratio"], case.whole, ours["failed"])
    made["peer failed"] = peer["failed"]
    return made | {"ours MiB": ours["peak_mib"], "peer MiB": peer["peak_mib"]}


def all_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Every method of a case, the fastest first."""
    ours = found["ours"]
    shown = [_shown(found, ours | {"name": f"auto: {found['picked'][-1]}", "beyond": False})]
    peers = sorted(found["peers"], key=lambda row: (bool(row["stopped"]), row["ms"]))
    return shown + [_shown(found, row) for row in peers]


def _shown(found: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    slow = row["stopped"] == "too slow"
    time = f"≥ {row['ms']:.4g}" if slow else "–" if row["stopped"] else f"{row['ms']:.4g}"
    return {
        "case": found["case"],
        "n": found["n"],
        "method": row["name"] + (" *" if row["beyond"] else ""),
        "ms": time,
        "once ms": row.get("once_ms", float("nan")),
        "with all of once": row.get("all_ms", float("nan")),
        "failed": row["failed"],
        "residual": row["residual over rtol"],
        "note": row["stopped"],
    }


def write_docs(page: Path, tables: dict[str, list[dict[str, Any]]], note: str) -> None:
    """Put the tables between the markers of a page.

    Raises:
        ValueError: The page doesn't have each marker once, in order.
    """
    text = page.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{page}: expected {BEGIN} and then {END}, each once; put them in")
    made = provenance()
    commit = str(made["git_commit"])[:12]
    origin = f"{made['time'][:10]}, commit {commit}, {made['machine']}. {note}"
    pieces = [BEGIN, origin.strip()]
    for name, rows in tables.items():
        if rows:
            pieces += [f"## {_TITLES[name]}", NOTES[name], markdown(rows)]
    head, rest = text.split(BEGIN)
    page.write_text(head + "\n\n".join([*pieces, END]) + rest.split(END)[1])
