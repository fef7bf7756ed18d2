"""Single facts of a data set, in the form that the catalogue keeps them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from storage import files
from storage.errors import DamagedFile
from storage.folder import DataFolder

__all__ = [
    "LONGEST",
    "beside",
    "group",
    "last_spec",
    "number",
    "read_spec",
    "sequence",
    "strategy",
    "text",
    "time_of",
    "whole",
    "words",
]

LONGEST = 20_000
"""Characters of a text that are kept."""
_VERDICT, _SPEC = 1 << 22, 1 << 17  # bytes that are read; YAML takes 20 s a megabyte


def beside(folder: DataFolder) -> dict[str, Any]:
    """Return what files beside the manifest say: first run, trainings, comparisons, last check.

    A verdict that is older than the manifest is of another state, and left out.
    """
    found: dict[str, Any] = {
        "trained": sum(1 for _ in folder.training.glob("*/report.json")),
        "compared": sum(1 for _ in (folder.path / "comparison").glob("*/comparison.json")),
    }
    stamps = [re.match(r"\d{8}T\d{6}", path.name) for path in sorted(folder.runs.glob("*.yaml"))]
    if first := next(filter(None, stamps), None):
        stamp = datetime.strptime(first[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        found["created"] = time_of(stamp.timestamp())
    verdict = folder.path / "check.json"
    if verdict.is_file() and _is_newer(verdict, folder):
        value = files.read_json(verdict, _VERDICT)
        day = text(value.get("time"))[:10] or time_of(verdict.stat().st_mtime)[:10]
        found["checked"] = f"{'sound' if value['sound'] is True else 'damaged'} {day}"
    return found


def _is_newer(path: Path, folder: DataFolder) -> bool:
    manifest = folder.manifest
    return not manifest.exists() or path.stat().st_mtime >= manifest.stat().st_mtime


def strategy(written: Mapping[str, Any]) -> str:
    """Return what solved it: the spec's strategy, or what pilots picked, the most frequent first.

    Args:
        written: `strategy` of a manifest.
    """
    pilots = written.get("pilots")
    picked = Counter(text(group(p).get("picked")) for p in pilots) if pilots else Counter()
    if picked:
        return ", ".join(name for name, _ in picked.most_common(3))
    chosen = group(written.get("strategy"))
    if not chosen:
        return ""
    pc, block = text(chosen.get("pc")), chosen.get("block", 1)
    reuse, guess = chosen.get("reuse", "fresh"), chosen.get("guess", "zero")
    parts = ["" if block == 1 else f"{block} × ", text(chosen.get("ksp")), "+"]
    parts += ["" if reuse == "fresh" else f"{reuse} ", pc]
    if pc in ("cholesky", "lu") and block == 1:
        parts.append(f" ({chosen.get('factor_solver', 'mumps')})")
    parts.append(", scaled" if chosen.get("scaling", "none") != "none" else "")
    parts.append("" if guess == "zero" else f", guess {guess}")
    return text("".join(parts))


def last_spec(folder: DataFolder) -> dict[str, Any]:
    """Return the spec of the last run, empty if there is none; raises DamagedFile."""
    runs = sorted(folder.runs.glob("*.yaml"))
    return read_spec(runs[-1], _SPEC) if runs else {}


def read_spec(path: Path, most: int = files.LARGEST) -> dict[str, Any]:
    """Return the spec of a run; raises DamagedFile if the file, of `most` bytes, holds none."""
    import yaml

    try:
        return group(yaml.safe_load(files.read_bytes(path, most).decode()))
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DamagedFile(f"{path}: is no spec ({reason}); remove it") from error


def words(manifest: Mapping[str, Any]) -> str:
    """Return equations, symbols, fields and definitions of a manifest, as text to search in."""
    problem, fields = group(manifest.get("problem")), group(manifest.get("fields"))
    found = [*_leaves(problem), *_leaves(fields), *fields, *group(problem.get("symbols"))]
    found += group(manifest.get("definitions"))
    return text(" ".join(dict.fromkeys(found)))


def _leaves(value: Any, depth: int = 8) -> Sequence[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list) or not depth:
        return []
    return [text for item in value[:1000] for text in _leaves(item, depth - 1)]


def group(value: Any) -> dict[str, Any]:
    """Return a dict as it is; an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """Return a list as it is; an empty one for what is none."""
    return value if isinstance(value, list) else []


def text(value: Any) -> str:
    """Return a text that SQLite, JSON and a terminal can hold; empty for what is no text."""
    if not isinstance(value, str):
        return ""
    value = value[:LONGEST].encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else " " for c in value)


def whole(value: Any) -> int:
    """Return a count that SQLite can hold, 0 for None; raises ValueError for anything else."""
    value = 0 if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < 2**63:
        raise ValueError(f"{str(value)[:40]!r} is no count")
    return int(value)


def number(value: Any) -> float | None:
    """Return a finite number, None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 else None


def time_of(seconds: float) -> str:
    """Return a time as text that sorts: `2026-11-29T16:03:18Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
