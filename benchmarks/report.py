"""A benchmark's result: a Markdown table on the terminal, JSON with versions in `results/`."""

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline.provenance import provenance

__all__ = ["parser", "report"]

RESULTS = Path(__file__).parent / "results"


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return the arguments that all benchmarks have."""
    made = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--results", type=Path, default=RESULTS, help="where the JSON goes")
    made.add_argument("--place", help="folder on the disk to write data sets to")
    return made


def report(
    name: str,
    rows: list[dict[str, Any]],
    results: Path,
    ranks: int | str = 1,
    note: str = "",
) -> None:
    """Print `rows` as a table and write them with versions, commit, host and ranks.

    Args:
        name: Name of the benchmark, of the JSON file too.
        rows: One dict a row, all with the same keys.
        results: Folder of the JSON file.
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
    results.mkdir(parents=True, exist_ok=True)
    found = {"name": name, "ranks": ranks, "note": note, "rows": rows, "provenance": provenance()}
    (results / f"{name}.json").write_text(json.dumps(found, indent=1, default=str) + "\n")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
