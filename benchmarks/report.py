"""A benchmark's result: a Markdown table on the terminal, JSON with versions in `results/`."""

import json
from pathlib import Path
from typing import Any

from pipeline.provenance import provenance

__all__ = ["report"]

RESULTS = Path(__file__).parent / "results"


def report(name: str, rows: list[dict[str, Any]], ranks: int | str = 1, note: str = "") -> None:
    """Print `rows` as a table and write them with versions, commit, host and ranks.

    Args:
        name: Name of the benchmark, of the JSON file too.
        rows: One dict a row, all with the same keys.
        ranks: MPI ranks that were used.
        note: What a reader has to know.
    """
    columns = list(rows[0])
    print(f"\n### {name}\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(_shown(row[c]) for c in columns) + " |")
    if note:
        print(f"\n{note}")
    RESULTS.mkdir(exist_ok=True)
    found = {"name": name, "ranks": ranks, "note": note, "rows": rows, "provenance": provenance()}
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1, default=str) + "\n")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
